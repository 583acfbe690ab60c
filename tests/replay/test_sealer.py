"""Logs become entries, blobs and a report; what must not answer does not become one."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from support import unit_logs
from support.bench import LONG, SHORT, Bench
from support.unit_logs import Said, at, environment, hosted, program, step, write
from velo.router import config
from velo.router.replaying import Replay
from velo.shards.replay import analysis, answers, json_files
from velo.shards.replay import unit_log as log
from velo.shards.replay.entries import FACT, SIGNED
from velo.shards.replay.environments import Environments
from velo.shards.replay.outcomes import label_of
from velo.shards.replay.reports import NOT_CACHED, REPLAYED, RUN
from velo.shards.replay.rules import Rules
from velo.shards.replay.sealer import Sealer, directory_of


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def outcomes(sealer: Sealer) -> list[tuple[str, str]]:
    report = sealer.finish(["ninja"])
    return [(each["outcome"], each["reason"]) for each in report["steps"]]


def test_what_one_pass_found_of_a_file_is_asked_again_by_the_next(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    before = bench.source.stat()
    bench.source.write_text("int b;\n")
    os.utime(bench.source, ns=(before.st_atime_ns, before.st_mtime_ns))
    bench.unit(content=LONG)

    sealer.finish(["ninja"])

    index = sealer._there()
    first, second = (set(index.facts_of(entry)) for entry in index.live())
    assert len(first) == len(second) and len(first - second) == 1


def test_a_command_that_may_have_no_more_threads_is_sealed_at_its_end(bench, monkeypatch):
    def refused(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    settings = config.load(environment={})
    settings = settings._replace(workspace=str(bench.root), cas_dir=str(bench.store))
    monkeypatch.setattr(threading.Thread, "start", refused)

    # The first seals from the start, the second when there is something to seal.
    first = Replay(settings, str(bench.memory))
    bench.unit()
    assert first.finish(["ninja"])["steps"][0]["reason"] == "new"
    second = Replay(settings, str(bench.memory))
    bench.unit(content=LONG)
    second.poll()

    assert len(second.finish(["ninja"])["steps"]) == 1


def test_a_unit_becomes_an_entry_once(bench):
    sealer = bench.sealer()
    bench.unit()
    bench.unit()

    assert outcomes(sealer) == [(RUN, "new"), (RUN, "it was run again before it was known")]
    assert bench.upkeep().status().entries == 1


def test_a_long_output_is_a_blob_and_a_short_one_is_not(bench):
    sealer = bench.sealer()
    bench.unit(content=SHORT)
    bench.unit(content=LONG)
    sealer.finish(["ninja"])

    status = bench.upkeep().status()

    assert (status.blobs, status.blob_bytes) == (1, len(LONG))
    (blob,) = [each for each in bench.ledger().blobs.rglob("*") if each.is_file()]
    assert blob.read_bytes() == LONG


def test_sealed_logs_are_gone(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])

    assert not list(Path(directory_of(str(bench.memory))).glob("*.f"))


def test_an_input_that_is_as_young_as_the_step_makes_no_entry(bench):
    sealer = bench.sealer()
    bench.unit(began_ns=os.stat(bench.source).st_mtime_ns)

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "a.c was changed while the step ran, or right" in reason


def test_a_step_during_which_the_clock_was_set_back_makes_no_entry(bench):
    # Goal: an input that is changed meanwhile has a time before the step. Method: the step began
    # when the clock was an hour ahead of where it is now.
    ahead_ns = time.time_ns() + 3600 * 10**9
    sealer = bench.sealer()
    bench.unit(began_ns=ahead_ns, began_at=time.monotonic_ns())

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "the clock was set back" in reason


def test_an_input_that_somebody_has_mapped_to_write_makes_no_entry(bench):
    with bench.source.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    sealer = bench.sealer()
    bench.unit()

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "a.c is open to be written" in reason
    mapped.close()


def test_an_input_that_went_away_makes_no_entry(bench):
    sealer = bench.sealer()
    bench.unit()
    bench.source.unlink()

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "was removed meanwhile" in reason


def test_a_file_that_was_absent_and_appeared_makes_no_entry(bench):
    sealer = bench.sealer()
    bench.unit(at(log.ABSENT, str(bench.root / "a.h"), flags=log.OPENED))
    (bench.root / "a.h").write_text("")

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "appeared meanwhile" in reason


def test_an_output_whose_bytes_are_not_there_makes_no_entry(bench):
    sealer = bench.sealer()
    bench.unit(content=LONG)
    for path in Path(directory_of(str(bench.memory))).glob("*.b"):
        path.write_bytes(b"other bytes")

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "could not be kept" in reason
    assert bench.upkeep().status().entries == 0


def test_a_torn_log_is_told_and_the_next_one_is_sealed(bench):
    sealer = bench.sealer()
    (Path(directory_of(str(bench.memory))) / "1-0.f").write_bytes(b"torn")
    bench.unit()

    assert outcomes(sealer) == [(NOT_CACHED, "a process of it was killed"), (RUN, "new")]


def test_randomness_needs_a_second_run_that_makes_the_same(bench):
    ours = program(str(bench.root / "gen"), process=5)
    Path(bench.root / "gen").write_text("")
    random = at(log.ASKED, flags=log.RANDOM, process=5)
    said = []
    for content in (SHORT, LONG, LONG):
        sealer = bench.sealer()
        bench.unit(ours, random, content=content, started=2, enlisted=2, vouched=2)
        said += outcomes(sealer)

    assert [outcome for outcome, _ in said] == [NOT_CACHED, NOT_CACHED, RUN]
    assert "randomness" in said[0][1]


def test_the_fact_that_was_false_is_the_reason(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    again = bench.sealer()
    facts = {len(again._there().facts_of(each)) for each in again._there().live()}
    numbers = range(max(facts))
    named = {again._there().fact_numbered(each)[1]: each for each in numbers}
    why = Said(log.WHY, named[str(bench.source)].to_bytes(4, "little"))
    bench.unit(why, content=LONG)

    assert outcomes(again) == [(RUN, f"{bench.source} has changed")]


def test_the_variable_that_differs_is_the_reason_and_its_value_is_not_kept(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    environments = Environments(bench.ledger().environments)
    directory = Path(directory_of(str(bench.memory)))
    write(directory / "x", step("sh", "-c", "cc a.c"), environment(LANG="secret", NEW="1"))

    differing = environments.differing(log.read(str(directory / "x")))

    assert differing == ["LANG", "NEW"]
    kept = "".join(each.read_text() for each in bench.ledger().directory.glob("*.json"))
    assert "LANG" in kept and "secret" not in kept


def test_a_step_that_makes_something_else_loses_its_entry(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    checking = bench.sealer(mode="verify")
    bench.unit(content=b"other", expected=1)

    report = checking.finish(["ninja"])

    assert report["differing"] == ["cc a.c"]
    (entry,) = checking._there().live()
    assert checking._there().outputs_of(entry)[0].digest == hashlib.sha256(b"other").digest()


def test_answers_are_counted_with_what_they_saved(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    again = bench.sealer()
    Path(directory_of(str(bench.memory)), "answers").write_text("0 250 9\n7 1 9\nnonsense\n")

    report = again.finish(["ninja"])

    assert (report["replayed"], report["run"], report["saved_s"]) == (1, 0, 0.05)
    (told,) = report["steps"]
    assert (told["outcome"], told["makes"], told["ms"]) == (REPLAYED, [bench.out], 0.25)


def answered(bench, *, number: int = 0, offset: int | None = None) -> dict[str, Any] | None:
    """What is told without a sealer, after one answer."""
    directory = directory_of(str(bench.memory))
    if offset is None:
        ((offset, _),) = bench.sealer()._there().walk()
    Path(directory, "answers").write_text(f"{number} 250 {offset}\n")
    return answers.Telling(directory).tell(bench.ledger(), ["ninja"], "on")


def test_a_command_that_only_answered_is_told_without_a_sealer(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    (entry,) = sealer._there().live()
    sealer._there().use(entry, int(time.time()) - 60)

    report = answered(bench)

    assert report == bench.ledger().report()
    assert (report["replayed"], report["entries"], report["command"]) == (1, 1, ["ninja"])
    (told,) = report["steps"]
    assert (told["outcome"], told["makes"], told["ms"]) == (REPLAYED, [bench.out], 0.25)
    assert bench.ledger().totals()["replayed"] == 1
    (entry,) = bench.sealer()._there().live()
    assert entry.used_at > time.time() - 30
    assert not Path(directory_of(str(bench.memory)), "answers").exists()


def test_a_full_disk_keeps_the_report_and_no_command(bench, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    monkeypatch.setattr("velo.shards.replay.ledger.Ledger.add", refuse)

    assert answered(bench)["replayed"] == 1


@pytest.mark.parametrize(
    "why", ["a unit waits", "long ago", "another index", "an offset beyond it", "no index"]
)
def test_what_needs_the_sealer_is_left_to_it(bench, why):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    where = {}
    if why == "a unit waits":
        bench.unit()
    elif why == "long ago":
        (entry,) = sealer._there().live()
        sealer._there().use(entry, int(time.time()) - answers.USED_S)
    elif why == "another index":
        where = {"number": 3}
    elif why == "an offset beyond it":
        where = {"offset": sealer._there().used}
    else:
        ((offset, _),) = sealer._there().walk()
        where = {"offset": offset}
        Path(directory_of(str(bench.memory)), "index").unlink()

    assert answered(bench, **where) is None

    assert Path(directory_of(str(bench.memory)), "answers").exists()


def test_totals_add_up_and_a_command_without_steps_is_none(bench):
    for count in (1, 0, 2):
        sealer = bench.sealer()
        for _ in range(count):
            bench.unit()
        sealer.finish(["ninja"])

    totals = bench.ledger().totals()

    assert (totals["commands"], totals["run"]) == (2, 3)
    assert bench.ledger().report()["run"] == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 99}', "[" * 100_000])
def test_a_damaged_report_or_totals_are_none(bench, text):
    bench.sealer().finish(["ninja"])
    for path in bench.ledger().directory.glob("*.json"):
        path.write_text(text)

    assert bench.ledger().report() is None
    assert bench.ledger().totals()["commands"] == 0
    unit = log.UnitLog(*range(21), [], [], [], [], [])
    assert Environments(bench.ledger().environments).differing(unit) is None


def test_what_the_store_cannot_take_is_no_failure_of_the_command(bench, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    sealer = bench.sealer()
    bench.unit(content=LONG)
    monkeypatch.setattr(json_files, "write", full)
    monkeypatch.setattr("velo.shards.replay.blobs.Blobs._write", full)

    ((outcome, reason),) = outcomes(sealer)

    assert outcome == NOT_CACHED and "No space left" in reason


def test_an_entry_without_its_blob_is_made_again(bench):
    sealer = bench.sealer()
    bench.unit(content=LONG)
    sealer.finish(["ninja"])
    (blob,) = [each for each in bench.ledger().blobs.rglob("*") if each.is_file()]
    blob.unlink()
    again = bench.sealer()
    bench.unit(content=LONG)

    again.finish(["ninja"])

    assert blob.read_bytes() == LONG


def test_names_of_chance_that_are_gone_are_no_difference(bench):
    """rustc takes other names for what it removes each time, and its threads have no order."""
    first, second = (f"{bench.root}/build/{name}" for name in ("tmpa1", "tmpb2"))
    sealer = bench.sealer()
    bench.unit(at(log.GONE, first), hosted(first, log.OUTPUT, None))
    sealer.finish(["ninja"])
    checking = bench.sealer(mode="verify")
    bench.unit(at(log.GONE, second), hosted(second, log.OUTPUT, None), expected=1)

    report = checking.finish(["ninja"])

    assert [each["verify"] for each in report["steps"]] == [True]


def test_verify_drops_entries_of_the_image_too(bench):
    sealer = bench.sealer()
    bench.unit(content=LONG)
    sealer.finish(["ninja"])
    Path(directory_of(str(bench.memory)), "index").unlink()  # the arena ended
    (blob,) = [each for each in bench.ledger().blobs.rglob("*") if each.is_file()]
    blob.write_bytes(LONG.upper())

    found = bench.upkeep().verify()

    assert (found.entries, found.unsound, found.dropped) == (1, 1, 1)
    assert bench.upkeep().status().entries == 0 and not blob.exists()


def test_never_drops_what_its_program_made_before(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer.finish(["ninja"])
    assert bench.upkeep().status().entries == 1

    never = bench.sealer(never=["g*c"])
    bench.unit()

    ((outcome, reason),) = outcomes(never)
    assert outcome == NOT_CACHED and reason.startswith("velo.toml says never (gcc")
    assert bench.upkeep().status().entries == 0


def test_a_clear_meanwhile_is_not_undone_by_who_was_sealing(bench):
    sealer = bench.sealer()
    bench.unit()
    sealer._seal_all()

    bench.upkeep().clear()
    sealer.finish(["ninja"])

    assert bench.upkeep().status().entries == 0


def test_a_label_is_the_command_as_the_shell_got_it():
    assert label_of(["/bin/sh", "-c", "cc -c a.c"]) == "cc -c a.c"
    assert label_of(["cc", "-c", "a.c"]) == "cc -c a.c"
    assert label_of([]) == ""


def test_bytes_of_a_unit_are_made_by_hand_as_the_library_makes_them():
    assert len(unit_logs.data()) == log.HEAD.size == 776
    assert analysis.FILE == 1


def test_entries_are_of_the_rules_that_they_were_made_by(bench):
    """A program is no longer called blind: what was cached because of that is not."""
    rules = Rules(blind=("gen",))
    first = bench.sealer(rules=rules)
    bench.unit()
    first.finish(["ninja"])
    assert bench.sealer(rules=rules).finish(["ninja"])["entries"] == 1
    assert bench.upkeep().status().entries == 1

    bench.sealer().finish(["ninja"])

    assert bench.upkeep().status().entries == 0


def test_a_program_that_is_installed_anew_is_known_by_its_bytes(bench, tmp_path):
    tool = tmp_path / "tool"
    tool.write_bytes(b"\x7fELF" + bytes(2 << 20))
    sealer = bench.sealer()
    bench.unit(at(log.READ, str(tool)))

    report = sealer.finish(["ninja"])

    assert report["run"] == 1
    index = sealer._there()
    (entry,) = index.live()
    of = {
        index.fact_at(each)[1]: FACT.unpack(index.raw(each, FACT.size))
        for each in index.facts_of(entry)
    }
    assert of[str(tool)][-1] == hashlib.sha256(tool.read_bytes()).digest()
    assert of[str(tool)][1] & SIGNED


def test_who_seals_when_the_rules_are_others_keeps_nothing(bench):
    """A build goes on while velo.toml is edited, and another command begins."""
    first = bench.sealer(rules=Rules(blind=("gen",)))
    bench.unit()
    second = bench.sealer()

    assert first.finish(["ninja"])["not_cached"] == 1
    second.finish(["ninja"])
    assert bench.upkeep().status().entries == 0

"""Build steps are answered when their inputs did not change, and only then.

In: a project of ten C files that ninja or make builds. Out: which steps were replayed and which
were run, as `velo stats --json` and `velo explain` tell; trees against the recorded build's.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from typing import Any

import pytest

from support.harness import run_native, sentence, tool
from support.replayed import NINJA, ODD, PROJECTS, STEPS, TOML, UNITS, Project, until_old

NO_OVERLAY = 77
# A machine of another name, whose compilers lie on another device; $0 is an empty directory.
CONTAINER = f"""
echo elsewhere > /proc/sys/kernel/hostname
mount -t overlay overlay -o lowerdir=/usr:"$0" /usr || exit {NO_OVERLAY}
exec "$@"
"""


def same_but_for_logs(before: Any, after: Any) -> bool:
    """Ninja's own files tell how long its steps took."""
    return {name: each for name, each in before.items() if "ninja" not in name} == {
        name: each for name, each in after.items() if "ninja" not in name
    }


@PROJECTS
def test_a_build_that_was_removed_is_replayed_and_equal(project, builder):
    project = project(builder)
    project.run()
    assert project.reasons()["app"] == "new"
    recorded = project.tree()
    project.clean()

    project.run()

    assert project.reasons() == project.reasons("not cached") == {}
    assert project.counts()[0] >= STEPS
    assert same_but_for_logs(recorded, project.tree())
    project.assert_up_to_date()


def test_an_edited_header_reruns_what_includes_it_and_says_so(project):
    project = project("ninja")
    project.run()
    project.clean()
    project.edit(f"inc/{ODD}", "#define N 2\n")

    project.run()

    because = f"{project.root}/inc/{ODD} has changed"
    made = project.reasons()
    assert {name: made[name] for name in sorted(made) if name != "app"} == dict.fromkeys(
        sorted(f"u{number}.o" for number in range(UNITS) if number % 2), because
    )
    assert "build/u1.o has changed" in made["app"] or ".o has changed" in made["app"]
    assert project.counts() == (UNITS // 2, UNITS // 2 + 1, 0)
    assert f"because inc/{ODD} has changed" in project.explain("build/u3.o")
    assert f"{UNITS // 2}  run" in project.explain("--summary")
    (step,) = project.steps("build/u3.o")
    assert step["path"] == f"{project.root}/inc/{ODD}"


@pytest.mark.long
def test_a_header_that_appears_earlier_in_the_path_is_seen(project):
    project = project("ninja")
    project.run()
    project.clean()
    project.edit(f"src/{ODD}", "#define N 3\n")

    project.run()

    assert project.reasons()["u1.o"] == f"{project.root}/src/{ODD} is there now"
    assert project.counts() == (UNITS // 2, UNITS // 2 + 1, 0)


@pytest.mark.long
def test_what_was_built_before_an_edit_and_its_undoing_is_replayed(project):
    project = project("ninja")
    project.run()
    project.edit(f"inc/{ODD}", "#define N 2\n")
    project.run()
    project.edit(f"inc/{ODD}", "#define N 1\n")

    project.run()

    assert project.counts() == (UNITS // 2 + 1, 0, 0)


def test_warnings_are_said_again(project):
    project = project("ninja")
    project.edit("src/u1.c", '#include "odd.h"\n#warning look here\nint u1(void) { return N; }\n')
    first = project.run()
    project.clean()

    second = project.run()

    assert "look here" in first.stdout and second.stdout.count("look here") == 2
    assert project.counts() == (STEPS, 0, 0)


def test_a_file_outside_counts_by_its_bytes_and_not_by_its_times(project, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(b"a" * (1 << 20))
    project = project("ninja")
    rules = f"{NINJA}rule head\n  command = head -c 9 {large} > $out\nbuild build/u0.o: head\n"
    project.edit("build.ninja", rules)
    project.run()
    os.utime(large)
    project.clean()
    project.run()
    assert project.counts() == (1, 0, 0)
    before = large.stat()
    large.write_bytes(b"b" * (1 << 20))
    os.utime(large, ns=(before.st_atime_ns, before.st_mtime_ns))
    project.clean()
    until_old([large])

    project.run()

    assert project.reasons() == {"u0.o": f"{large} has changed"}
    assert (project.build / "u0.o").read_bytes() == b"b" * 9


def test_a_step_that_fails_runs_each_time(project):
    project = project("ninja")
    project.edit("src/u1.c", "int u1(void) { return wrong; }\n")
    for _ in range(2):
        done = project.run(check=False)
        assert done.returncode == 1 and "wrong" in done.stdout
        assert project.reasons("not cached") in ({"u1.o": "it failed"}, {"u1.o.d": "it failed"})


@pytest.mark.parametrize("where", ["src", "build"])
def test_a_huge_sparse_input_holds_nobody_up(workspace, velo, where):
    root = workspace(toml=TOML)
    (root / "build").mkdir()
    (root / "src").mkdir()
    rule = f"rule first\n  command = head -c 1 {where}/huge >$out\n"
    (root / "build.ninja").write_text(f"{rule}build build/one: first\n")
    with open(root / where / "huge", "w") as file:
        file.truncate(2 << 40)
    until_old([root / where / "huge"])
    for _ in range(2):
        (root / "build/one").unlink(missing_ok=True)
        velo.exec(tool("ninja"), cwd=root, timeout_s=60)

        assert (root / "build/one").read_bytes() == b"\0"
    last = json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"]
    assert last["replayed"] == (where == "src") and last["not_cached"] == (where == "build")


def test_verify_runs_everything_and_finds_no_difference(project):
    project = project("ninja")
    project.run()
    project.clean()

    done = project.run(VELO_REPLAY="verify", VELO_SUMMARY="1")

    assert project.counts() == (0, STEPS, 0)
    assert all(step["verify"] is True for step in project.steps())
    assert sentence(done) == f"velo: replayed 0 of {STEPS} steps"


@pytest.mark.long
def test_entries_outlive_the_server(project, velo):
    project = project("ninja")
    project.run()
    velo.stop(cwd=project.root)
    project.clean()

    done = project.run(VELO_SUMMARY="1")

    assert project.counts() == (STEPS, 0, 0)
    assert f"replayed {STEPS} of {STEPS} steps" in sentence(done)


@pytest.mark.long
@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="root alone mounts, and names the machine")
def test_a_store_that_was_restored_in_another_container_answers(project, velo, tmp_path):
    made = project("ninja")
    made.run(PWD=str(made.root))  # as a shell says
    velo.stop(cwd=made.root)
    made.clean()
    for place in (made.root, tmp_path / "cache"):  # new inodes and times
        place.rename(tmp_path / "before")
        shutil.copytree(tmp_path / "before", place, copy_function=shutil.copy)
        shutil.rmtree(tmp_path / "before")
    (tmp_path / "empty").mkdir()
    until_old(each for each in made.root.rglob("*") if each.is_file())
    words = ["unshare", "--uts", "--mount", "sh", "-c", CONTAINER, str(tmp_path / "empty")]

    done = run_native(*words, velo.executable, "exec", "--", "ninja", cwd=made.root, check=False)

    if done.returncode == NO_OVERLAY:
        pytest.skip("needs overlayfs")
    assert done.returncode == 0, done
    assert made.counts() == (STEPS, 0, 0)


def test_without_a_server_explain_and_stats_still_tell(project, velo):
    project = project("ninja")
    project.run()
    velo.stop(cwd=project.root)

    assert project.explain("app").startswith("ninja: 0 replayed, 11 run, 0 not cached") or (
        "0 replayed, 11 run" in project.explain("app")
    )
    assert project.counts() == (0, STEPS, 0)
    assert velo.left() == []


def test_nothing_recorded_is_said_and_no_failure(workspace, velo):
    root = workspace(toml=TOML)

    assert "nothing to explain" in velo.run("explain", cwd=root).stdout
    assert json.loads(velo.run("explain", "--json", cwd=root).stdout) is None
    assert json.loads(velo.run("stats", "--json", cwd=root).stdout)["last"] is None
    assert velo.run("replay", "verify", cwd=root).returncode == 0


def test_a_command_without_steps_is_the_last_one_and_explains_nothing_away(project, velo):
    project = project("ninja")
    project.run()
    assert project.counts() == (0, STEPS, 0)

    velo.exec("true", cwd=project.root)

    assert project.counts() == (0, 0, 0)
    assert len(project.steps()) == STEPS


MEASURES = {
    "clock_gettime": "struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); took = t.tv_nsec;",
    "clock": "took = clock();",
    "times": "struct tms t; took = times(&t);",
    "getrusage": "struct rusage r; getrusage(RUSAGE_SELF, &r); took = r.ru_minflt;",
    "timespec_get": "struct timespec t; timespec_get(&t, TIME_UTC); took = t.tv_nsec;",
    "arc4random": "took = arc4random();",
}
BENCHMARK = """\
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>
#include <unistd.h>
int main(void) {{ long took; {} printf("%ld %d\\n", took, getpid()); }}
"""
ONE_STEP = "rule made\n  command = ./measure > $out\nbuild build/took: made\n"


@pytest.mark.parametrize("how", MEASURES)
def test_a_step_that_tells_durations_or_chances_is_run_each_time(workspace, velo, how):
    if how == "arc4random" and not hasattr(ctypes.CDLL(None), how):
        pytest.skip("needs arc4random, of glibc 2.36")
    root = workspace(toml=TOML)
    (root / "measure.c").write_text(BENCHMARK.format(MEASURES[how]))
    (root / "build.ninja").write_text(ONE_STEP)
    run_native("gcc", "measure.c", "-o", "measure", cwd=root)
    (root / "build").mkdir(exist_ok=True)
    seen = set()
    for _ in range(3):
        (root / "build/took").unlink(missing_ok=True)
        velo.exec("ninja", cwd=root)
        seen.add((root / "build/took").read_text())

    assert len(seen) == 3


@pytest.mark.long
def test_a_name_that_no_step_makes_is_a_sentence_and_a_status(project, velo):
    project = project("ninja")
    project.run()

    done = velo.run("explain", "nowhere.o", cwd=project.root, check=False)

    assert done.returncode == 1 and "nowhere.o" in sentence(done)


@pytest.mark.long
def test_programs_that_never_count_are_run_although_they_are_known(project):
    project = project("ninja")
    project.run()
    project.clean()

    project.run(VELO_REPLAY_NEVER="collect*")

    assert project.counts() == (UNITS, 0, 1)
    assert "velo.toml says never (collect2" in project.reasons("not cached")["app"]


@pytest.mark.long
def test_off_in_a_variable_wins_over_the_file(project):
    project = project("ninja")

    project.run(VELO_REPLAY="off")

    assert "nothing to explain" in project.explain()


def test_a_mode_that_there_is_not_is_refused(workspace, velo):
    root = workspace(toml=TOML)

    done = velo.run("exec", "--replay", "onn", "--", "true", cwd=root, check=False)

    assert done.returncode != 0 and "none of off, record, on, verify" in done.stderr


def test_a_store_that_is_first_used_by_a_command_of_another_servers_is_a_store(
    workspace, velo, tmp_path
):
    root, other = workspace(toml=TOML), tmp_path / "another-store"
    velo.run("exec", "--", "true", cwd=root)
    elsewhere = {"VELO_CAS_DIR": str(other)}
    velo.run("exec", "--", "true", cwd=root, env=elsewhere)
    velo.run("stop", cwd=root)

    done = velo.run("exec", "--require", "--", "true", cwd=root, env=elsewhere)

    assert "not a store" not in done.stderr
    assert (other / "velo-store").is_file()


def test_a_directory_that_is_no_store_is_left_alone_and_each_step_runs(workspace, velo, tmp_path):
    root, other = workspace(toml=TOML), tmp_path / "another-store"
    velo.run("exec", "--", "true", cwd=root)
    other.mkdir()
    (other / "letter").write_text("not velo's\n")

    done = velo.run("exec", "--", "true", cwd=root, env={"VELO_CAS_DIR": str(other)})

    assert "every step is run" in sentence(done)
    assert [each.name for each in other.iterdir()] == ["letter"]


@pytest.mark.long
def test_a_damaged_output_in_the_store_is_found_and_its_step_runs(project, tmp_path):
    project = project("ninja")
    project.run()
    blobs = [path for path in (tmp_path / "cache/cas/replay/blobs").rglob("*") if path.is_file()]
    assert blobs  # the program; the objects are short and in the index
    for blob in blobs:
        blob.write_bytes(b"x" * blob.stat().st_size)
    project.clean()

    done = project.replay("verify", check=False)
    project.run()

    assert done.returncode == 1 and "1 of 11 entries dropped" in done.stdout
    assert project.counts() == (UNITS, 1, 0)


@pytest.mark.long
def test_clear_forgets_and_the_next_build_runs(project, tmp_path):
    project = project("ninja")
    project.run()
    project.clean()

    cleared = project.replay("clear")
    told = project.replay("status", "--json")
    project.run()

    assert cleared.stdout.startswith(f"{STEPS} entries forgotten")
    assert json.loads(told.stdout)["entries"] == 0
    assert project.counts() == (0, STEPS, 0)
    assert project.reasons()["app"] == "new"


@pytest.mark.long
def test_clear_spares_what_another_workspace_has(project, workspace, velo, tmp_path):
    first = project("ninja")
    first.run()
    second = Project(workspace("second", toml=TOML), velo, "ninja")
    second.run()  # another program, since its path is in the objects' debug information or not
    kept = json.loads(second.replay("status", "--json").stdout)

    first.replay("clear")

    assert json.loads(second.replay("status", "--json").stdout) == kept
    assert second.replay("verify").returncode == 0


@pytest.mark.long
def test_above_its_size_the_least_recently_used_go_and_the_rest_answers(project):
    project = project("ninja")
    project.run()
    kept = json.loads(project.replay("status", "--json").stdout)
    project.edit(f"inc/{ODD}", "#define N 2\n")
    room_bytes = kept["bytes"] + 22_000  # for one program more, which has 16 KB, and not for all
    project.run(VELO_REPLAY_MAX_SIZE=str(room_bytes))

    left = json.loads(project.replay("status", "--json").stdout)
    assert left["bytes"] <= room_bytes and STEPS // 2 < left["entries"] < STEPS + UNITS // 2
    assert project.replay("verify").returncode == 0
    project.clean()
    project.run()

    assert project.counts()[0] >= UNITS // 2 and sum(project.counts()) == STEPS
    project.assert_up_to_date()


def test_gc_forgets_steps_of_a_workspace_that_is_gone(project, velo, tmp_path):
    project = project("ninja")
    project.run()
    velo.stop(cwd=project.root)
    shutil.rmtree(project.root)
    replay = tmp_path / "cache/cas/replay"
    for path in replay.rglob("*"):
        os.utime(path, (1e9, 1e9))

    done = velo.run("gc", cwd=tmp_path)

    assert "of steps that nobody can replay; 1 of their workspaces are gone" in done.stdout
    assert [path.name for path in replay.rglob("*") if path.is_file()] == ["lock"]


def test_a_size_that_is_none_is_refused_with_its_place(workspace, velo):
    root = workspace(toml=TOML + 'max_size = "much"\n')

    done = velo.run("replay", "status", cwd=root, check=False)

    assert done.returncode == 2 and "replay.max_size" in done.stderr and "much" in done.stderr


def test_an_index_that_was_damaged_is_told_and_can_be_cleared(project, velo):
    project = project("ninja")
    project.run()
    (index,) = velo.root.rglob("r/index")
    with index.open("r+b") as file:
        file.seek(8)
        file.write((1 << 40).to_bytes(8, "little"))  # its used bytes
    index.with_name("answers").write_text("0 1 99999999\n")
    project.clean()

    done = project.run(check=False)
    project.replay("clear")
    project.run()

    assert "r/index" in done.stderr and "'velo replay clear' makes another" in done.stderr
    assert "Traceback" not in done.stderr
    assert (project.build / "app").exists()

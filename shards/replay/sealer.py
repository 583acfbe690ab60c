"""From logs of finished units to entries of the index, blobs of the store, and a report.

`velo exec` seals while its command runs and once more at its end. Units wait in the arena, so a
sealer that is killed loses nothing, and one that comes later goes on; a lock lets one work at a
time.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any

from .. import deaf, plain
from . import (
    analysis,
    answers,
    commons,
    compaction,
    entries,
    outcomes,
    portable,
    programs,
    reports,
    spool,
    unit_log,
    variables,
)  # fmt: skip
from .analysis import Analysed, NotCached
from .blobs import Blobs, forget_kept
from .clones import Clones
from .environments import Environments, names_of
from .facts import RACY_NS
from .finder import Finder
from .index import FULL_BYTES, Body, Index, Owner, empty, flags_of
from .ledger import Ledger
from .refusals import refuse_early
from .reports import NOT_CACHED, RUN, Outcome, Reason
from .rules import NO_RULES, Rules
from .spool import SUFFIX, directory_of, locked, salt
from .unit_log import Torn, UnitLog

POLL_S = 1.0
BATCH, WAIT_S, KEPT_BYTES = 64, 10.0, 64 << 20  # what is not left for later: units, time, outputs
MAX_BYTES = 4 << 30  # of one workspace, when it is not set


class Sealer:
    """One `velo exec`'s view of the replay data of its arena."""

    def __init__(
        self,
        *,
        memory: str,
        workspace: str,
        store: str,
        mode: str = "on",
        never: Sequence[str] = (),
        max_bytes: int = MAX_BYTES,
        rules: Rules = NO_RULES,
    ) -> None:
        """Make ready what programs map.

        Args:
            memory: the arena's directory that programs use.
            workspace: its physical path.
            store: the directory of the store.
            mode: as `[replay] mode` has it.
            never: patterns of programs whose steps are always run.
            max_bytes: what entries and outputs of this workspace may take in the store.
            rules: what the user says of programs and directories.

        Raises:
            OSError: a directory or the index cannot be made; then there is no replay.
        """
        self.directory = directory_of(memory)
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        self.ledger = Ledger(store, workspace)
        self.ledger.make_room()
        self._blobs = Blobs(self.ledger.blobs)
        self._owner = Owner(salt(), str(self.ledger.blobs))
        self._index_path = os.path.join(self.directory, "index")
        self._mode, self._never, self._max_bytes = mode, never, max_bytes
        self._rules = rules
        self._environments = Environments(self.ledger.environments)
        self._finder = Finder(workspace)
        self._place = portable.Place(workspace)
        self._clones = Clones(self.ledger, workspace, self._owner, rules)
        self._index: Index | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_changed = False
        self._added: set[int] = set()  # numbers of entries
        self.outcomes: list[Outcome] = []
        with locked(self.directory):
            self._make_ready()
            with suppress(OSError):  # after a kill before this, the next finds the old rules
                self.ledger.claim(self._index_path, rules)
                self._take_over()

    def start(self) -> None:
        """Seal in the background until `finish`, which seals all where no thread is to be had."""
        thread = threading.Thread(target=self._run, daemon=True)
        with deaf.starting_threads(), suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def finish(self, command: Sequence[str]) -> dict[str, Any]:
        """Seal what is left; what happened during `command`, as a report."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with locked(self.directory):
            self._seal_all()
            self.outcomes += self._answered()
            report = reports.report_of(self.outcomes)
            report |= reports.head(command, self._mode)
            why = self._keep()
            report |= {"index_bytes": self._there().used, "entries": self._there().head.entries}
            self.ledger.add_or_tell(report)
            if why is not None:
                report["lost"] = why
            forget_kept(self.directory)
        return report

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        last = time.monotonic()
        while not self._stop.wait(POLL_S):
            with suppress(OSError), locked(self.directory):
                if self._is_due(time.monotonic() - last):
                    self._seal_all()
                    last = time.monotonic()

    def _is_due(self, waited_s: float) -> bool:
        """Units that are sealed together share what is found of files; few wait for the end."""
        units = kept_bytes = 0
        for entry in os.scandir(self.directory):
            units += entry.name.endswith(spool.FROZEN)
            if entry.name.endswith(SUFFIX):
                with suppress(OSError):
                    kept_bytes += entry.stat().st_size
        return units >= BATCH or kept_bytes >= KEPT_BYTES or (units > 0 and waited_s >= WAIT_S)

    def _keep(self) -> str | None:
        """Keep what is to outlive the arena; why that failed."""
        try:
            if self._is_changed:
                self._make_room()
                self._clones.keep_sources(self._there())
            self._environments.save()
        except OSError as error:
            return f"{self.ledger.image}: {error.strerror}"
        return None

    # ---- the index -----------------------------------------------------------------------------

    def _make_ready(self) -> None:
        self._sweep()
        if self._there().used > FULL_BYTES:  # the process that filled it was killed
            with suppress(OSError):
                self._make_room()
        index = self._there()
        if not self.ledger.has_rules(self._rules):
            for entry in index.live():
                index.drop(entry.number)
            with suppress(OSError):
                index.save()
        if self._never:
            self._drop_never(index)

    def _take_over(self) -> None:
        """What clones of this workspace have learned since the last time."""
        index = self._there()
        self._is_changed |= self._clones.take(index) > 0
        if self._is_changed and self._never:
            self._drop_never(index)

    def _make_room(self) -> None:
        """Keep the index, without what was not used for longest if there is too much."""
        index = self._there()
        before = index.live()
        stay = compaction.staying(
            index, max_bytes=self._max_bytes, index_bytes=FULL_BYTES, more_bytes=self.ledger.bytes
        )
        if len(stay) == len(before):
            index.save()
            return
        named = {digest for entry in before for digest in index.blobs_of(entry)}
        named -= {digest for entry in stay for digest in index.blobs_of(entry)}
        index.replace(compaction.compacted(index, stay, empty(self._owner)))
        commons.remove_unnamed(self.ledger.directory, named)

    def _there(self) -> Index:
        if self._index is not None and not self._index.is_current():
            self._index = None
        if self._index is None:
            self._index = Index(self._index_path, owner=self._owner, image=self.ledger.image)
            self._added.clear()
        return self._index

    def _sweep(self) -> None:
        """Logs of steps whose build tool is dead will never be whole."""
        for entry in os.scandir(self.directory):
            pid, dash, _ = entry.name.partition("-")
            left = entry.name.endswith(".u") and dash
            pid = pid if left else entry.name.partition(".")[0] if entry.name.endswith(".t") else ""
            if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                with suppress(OSError):
                    os.unlink(entry.path)

    def _drop_never(self, index: Index) -> None:
        """Entries that programs made of which the user has said so since."""
        of_never: dict[int, bool] = {}
        for entry in index.live():
            for offset in index.facts_of(entry):
                if offset not in of_never:
                    kind, path = index.fact_at(offset)
                    of_never[offset] = kind == analysis.CONTENT and self._is_never(path)
                if of_never[offset]:
                    index.drop(entry.number)
                    self._is_changed = True
                    break

    def _is_never(self, path: str) -> bool:
        name = os.path.basename(path)
        names = {name, programs.name_of(path, name)}
        return any(fnmatchcase(each, pattern) for each in names for pattern in self._never)

    # ---- sealing -------------------------------------------------------------------------------

    def _seal_all(self) -> None:
        names = [name for name in os.listdir(self.directory) if name.endswith(spool.FROZEN)]
        self._finder.begin_pass()
        has_rules = self.ledger.has_rules(self._rules)
        for name in sorted(names, key=lambda name: (len(name), name)):
            path = os.path.join(self.directory, name)
            try:
                self.outcomes.append(self._seal(unit_log.read(path), keeps=has_rules))
            except Torn:
                reason = Reason("a process of it was killed")
                self.outcomes.append(Outcome("", NOT_CACHED, reason, 0))
            except OSError:
                continue
            finally:
                with suppress(OSError):
                    os.unlink(path)
        if names:
            forget_kept(self.directory)

    def _seal(self, unit: UnitLog, *, keeps: bool) -> Outcome:
        label = outcomes.label_of(unit.words[2])
        took_ms = unit.took_ns / 1e6
        try:
            if not keeps:
                raise NotCached("another command began meanwhile, and velo.toml has changed")
            self._refuse_never(unit)
            refuse_early(unit)
            why = self._why(unit)
            analysed = analysis.analyse(unit, self._rules)
            verify = self._verify(unit, analysed) if unit.expected >= 0 else None
            self._publish(unit, analysed, label, took_ms)
        except NotCached as reason:
            why = outcomes.named(str(reason), reason.process, unit)
            return Outcome(label, NOT_CACHED, why, took_ms, makes=outcomes.made_by(unit))
        self._environments.learn(unit)
        makes = [each.path for each in analysed.outputs if each.kind != analysis.GONE]
        return Outcome(label, RUN, why, took_ms, verify=verify, makes=makes)

    def _refuse_never(self, unit: UnitLog) -> None:
        for record in unit.deeds if self._never else ():
            if record.kind == unit_log.PROGRAM:
                path, invoked = record.paths
                if self._is_never(path) or self._is_never(invoked):
                    raise NotCached("velo.toml says never", record.process)

    def _publish(self, unit: UnitLog, analysed: Analysed, label: str, took_ms: float) -> None:
        index = self._there()
        facts = self._finder.places(index, unit, analysed)
        _refuse_set_clock(unit)
        environment = variables.digest_of(unit, analysed.variables, self._place.path)
        if analysed.provisional and not self._confirmed(unit, analysed):
            raise NotCached(
                "it asked for randomness or durations: cached when a second run makes the same"
            )
        with self._naming():
            if self._is_known(index, unit, analysed, facts, environment):
                return
            bound = portable.why_bound(unit, analysed, self._place, self._bytes_of)
            inline = self._blobs.keep(analysed.outputs, self.directory)
            number = index.add_entry(
                key=unit.key, environment=environment, rest=unit.rest, facts=facts,
                analysed=analysed, label=label, cost_ms=int(took_ms), inline=inline, bound=bound,
                outlets=unit.outlets,
            )  # fmt: skip
        self._added.add(number)
        self._is_changed = True

    def _bytes_of(self, digest: bytes) -> bytes | None:
        """The bytes of an output, as the library left it, or as it was kept before."""
        for path in (os.path.join(self.directory, digest.hex() + SUFFIX), self._blobs.path(digest)):
            with suppress(OSError):
                return plain.read(path)
        return None

    @contextmanager
    def _naming(self) -> Iterator[None]:
        """Blobs in the store stay there until an entry names them."""
        try:
            with commons.naming(self.ledger.directory):
                yield
        except OSError as error:
            raise NotCached(f"the store cannot be used: {error.strerror}") from None

    def _confirmed(self, unit: UnitLog, analysed: Analysed) -> bool:
        """Two native runs with the same inputs made the same."""
        made = left_of(made_of(analysed))
        names = sorted(
            {
                (each.fact.kind, each.fact.path, each.fact.link, essence_of(each.body))
                for each in self._finder.all_of(self._there(), unit, analysed)
                if each.fact.path not in analysed.temporary
            }
        )
        seen = (names, made, analysed.text, analysed.errors)
        mark = hashlib.sha256(repr(seen).encode()).digest()
        path = self.ledger.unsure / hashlib.sha256(unit.key + unit.counted).hexdigest()
        before = b""
        with suppress(OSError):
            before = path.read_bytes()
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(mark)
        return before == mark

    def _is_known(
        self, index: Index, unit: UnitLog, analysed: Analysed, facts: list[int], environment: bytes
    ) -> bool:
        """Some entry of this key says the same already, and its bytes are there.

        That it did not answer may be their fault, so they are read."""
        return any(
            entry.flags == flags_of(analysed)
            and (not analysed.needs_rest or entry.rest == unit.rest)
            and entry.environment == environment
            and index.variables_of(entry) == variables.packed(analysed.variables)
            and entry.suits(unit.outlets)
            and index.facts_of(entry) == facts
            and index.outputs_of(entry) == made_of(analysed)
            and self._blobs.hold(index.sizes_of(entry), read=self._should_answer(entry))
            for entry in index.of_key(unit.key)
        )

    def _should_answer(self, entry: entries.Entry) -> bool:
        return self._mode == "on" and entry.number not in self._added

    def _verify(self, unit: UnitLog, analysed: Analysed) -> bool:
        """A step that would have been answered ran: did it make what the entry says?"""
        index = self._there()
        entry = index.numbered(unit.expected)
        if entry is None:
            return True
        said = (analysed.text, analysed.errors)
        made = left_of(made_of(analysed)), left_of(index.outputs_of(entry))
        same = made[0] == made[1] and index.said_by(entry) == said
        if not same:
            index.drop(unit.expected)
            self._is_changed = True
        return same

    # ---- why -----------------------------------------------------------------------------------

    def _why(self, unit: UnitLog) -> Reason:
        """Why no entry answered. To be asked before the step has one."""
        index = self._there()
        for record in unit.deeds:
            if record.kind == unit_log.WHY:
                found = index.fact_numbered(int.from_bytes(record.payload[:4], "little"))
                if found is not None:
                    return outcomes.false_fact(*found)
        if unit.expected >= 0:
            return Reason("to be verified")
        before = index.of_key(unit.key)
        if not before:
            return self._why_new(unit)
        if self._mode == "record":
            return Reason("steps are recorded only")
        if all(each.number in self._added for each in before):
            return Reason("it was run again before it was known")
        same = [each for each in before if self._has_environment_of(unit, each)]
        if not same:
            return self._why_new(unit, index.variables_of(before[0]))
        before = [each for each in same if each.suits(unit.outlets)]
        if not before:
            return Reason("its output goes elsewhere (terminal, pipe, file), and it may tell")
        if any(not each.flags & entries.NEEDS_REST or each.rest == unit.rest for each in before):
            return Reason("its outputs could not be put back")
        return Reason("a variable of the session is another one, and a script may read it")

    def _has_environment_of(self, unit: UnitLog, entry: entries.Entry) -> bool:
        names = variables.unpacked(self._there().variables_of(entry))
        return entry.environment == variables.digest_of(unit, names, self._place.path)

    def _why_new(self, unit: UnitLog, listed: bytes | None = None) -> Reason:
        """`listed`: the variables that count, where these are known."""
        changed = self._environments.differing(unit)
        if changed is None:
            bound = self._clones.bound(unit.key)
            return Reason(f"new here, and not taken from a clone: {bound}" if bound else "new")
        names = variables.unpacked(listed)
        if names is not None:
            changed = [each for each in changed if os.fsencode(each) in names] or changed
        if not changed:
            return Reason("new: its umask, limits or user are others")
        told = [each for each in changed if os.fsencode(each) != variables.MACHINE]
        if not told:
            return Reason("new: the machine has another name, and it may have asked for that")
        return Reason(f"new: {names_of(told)} in the environment changed", "", told[0])

    # ---- what was answered ---------------------------------------------------------------------

    def _answered(self) -> list[Outcome]:
        found = answers.taken(self.directory)
        index = self._there()
        known = {entry.number: entry for _, entry in index.walk()} if found else {}
        told = []
        for answer in found:
            entry = known.get(answer.number)
            if entry is not None:
                self._note_use(entry)
                told.append(answers.outcome_of(index, entry, answer.micros))
        return told

    def _note_use(self, entry: entries.Entry) -> None:
        now = time.time()
        if now - entry.used_at >= answers.USED_S:
            self._is_changed = True
            for digest in self._there().blobs_of(entry):
                self._blobs.use(digest)
        self._there().use(entry, now)


def _refuse_set_clock(unit: UnitLog) -> None:
    """What is younger than a step is told by its times, which is wrong once the clock went back."""
    now_ns = -time.monotonic_ns() + time.time_ns()  # in this order a pause between is no step back
    if now_ns < unit.clock_ns - RACY_NS:
        raise NotCached("the clock was set back while it ran, or since")


def essence_of(body: Body) -> Body | tuple[int, int, bytes]:
    """Without what says which file it was when its bytes are known."""
    kind, digest = body[0], body[-1]
    return (kind, body[7], digest) if kind in (analysis.CONTENT, analysis.F_NAMES) else body


def made_of(analysed: Analysed) -> list[entries.Made]:
    """The outputs as entries have them."""
    return [
        entries.Made(each.kind, each.path, each.hosted.mode, each.hosted.digest)
        for each in analysed.outputs
        if each.hosted is not None
    ]


def left_of(outputs: list[entries.Made]) -> list[entries.Made]:
    """The outputs that two runs have in common: a removed name may have been random, and threads
    have no order."""
    left = (each for each in outputs if each.kind != analysis.GONE)
    return sorted(left, key=lambda each: (each.path, each.kind))

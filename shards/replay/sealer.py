"""What logs of finished units become: entries of the index, blobs of the store, a report.

`velo exec` seals while its command runs and once more at its end. Units wait in the arena, so a
sealer that is killed loses nothing, and one that comes later goes on; a lock lets one work at a
time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from . import analysis, entries, outcomes, programs, unit_log
from .analysis import Analysed, Fact, NotCached
from .blobs import Blobs, forget_kept
from .facts import RACY_NS, WINDOW_S, Looker
from .index import FULL_BYTES, Body, Index, Owner
from .ledger import Ledger, names_of
from .outcomes import NOT_CACHED, REPLAYED, RUN, Outcome, Reason
from .unit_log import Hosted, Torn, UnitLog

VERSION = b"velo-replay-1"
POLL_S = 1.0  # units of one pass share what is found of files
ORDER = {  # of facts: what an edit changes first
    (True, analysis.CONTENT): 0,
    (True, analysis.F_ABSENT): 1,
    (False, analysis.CONTENT): 3,
}


def directory_of(memory: str) -> str:
    """Where the library and the sealer meet, in an arena's memory."""
    return os.path.join(memory, "r")


def salt() -> bytes:
    """Entries of another machine, kernel or version of this code answer nothing here."""
    cpu: set[str] = set()
    wanted = ("model name", "flags", "CPU part", "Features")
    with suppress(OSError), open("/proc/cpuinfo") as file:
        cpu = {line for line in file if line.startswith(wanted)}
    machine = "\0".join([*os.uname(), *sorted(cpu)])
    return hashlib.sha256(VERSION + machine.encode()).digest()


@contextmanager
def locked(directory: str) -> Iterator[None]:
    """While one seals, clears or checks, the others wait.

    Raises:
        OSError: there is no such directory.
    """
    path = os.path.join(directory, "lock")
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


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
    ) -> None:
        """Make ready what programs map.

        Args:
            memory: the arena's directory that programs use.
            workspace: its physical path.
            store: the directory of the store.
            mode: as `[replay] mode` has it.
            never: patterns of programs whose steps are always run.

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
        self._mode, self._never = mode, never
        self._environments = self.ledger.environments()
        self._looker = Looker(workspace)
        self._index: Index | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_changed = False
        self._found: dict[Fact, _Found] = {}
        self._offsets: dict[tuple[Fact, Body], int] = {}
        self._added: set[int] = set()  # numbers of entries
        self._began = 0.0  # the pass over the logs that is under way
        self.outcomes: list[Outcome] = []
        with locked(self.directory):
            self._make_ready()

    def start(self) -> None:
        """Seal in the background until `finish`."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self, command: Sequence[str]) -> dict[str, Any]:
        """Seal what is left; what happened during `command`, as a report."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with locked(self.directory):
            self._seal_all()
            self.outcomes += self._answered()
            report = outcomes.report_of(self.outcomes)
            report |= {"command": list(command), "mode": self._mode, "at": int(time.time())}
            with suppress(OSError):
                self._keep(report)
        return report

    def _run(self) -> None:
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while not self._stop.wait(POLL_S):
            with suppress(OSError), locked(self.directory):
                self._seal_all()

    def _keep(self, report: dict[str, Any]) -> None:
        """What outlives the arena."""
        index = self._there()
        if self._is_changed:
            index.save()
        self._environments.save()
        report |= {"index_bytes": index.used, "entries": index.head.entries}
        self.ledger.add(report)

    # ---- the index -----------------------------------------------------------------------------

    def _make_ready(self) -> None:
        self._sweep()
        with suppress(FileNotFoundError):
            if os.stat(self._index_path).st_blocks * 512 > FULL_BYTES:
                os.unlink(self._index_path)  # programs that have it mapped keep theirs
        index = self._there()
        if self._never:
            self._drop_never(index)

    def _there(self) -> Index:
        if self._index is not None and not self._index.is_current():
            self._index = None
        if self._index is None:
            image = str(self.ledger.image)
            self._index = Index(self._index_path, owner=self._owner, image=image)
            self._offsets.clear()
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
        self._began = time.monotonic()
        names = [name for name in os.listdir(self.directory) if name.endswith(".f")]
        for name in sorted(names, key=lambda name: (len(name), name)):
            path = os.path.join(self.directory, name)
            try:
                self.outcomes.append(self._seal(unit_log.read(path)))
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

    def _seal(self, unit: UnitLog) -> Outcome:
        label = outcomes.label_of(unit.words[2])
        took_ms = unit.took_ns / 1e6
        try:
            self._refuse_never(unit)
            why = self._why(unit)
            analysed = analysis.analyse(unit)
            verify = self._verify(unit, analysed) if unit.expected >= 0 else None
            self._publish(unit, analysed, label, took_ms)
        except NotCached as reason:
            why = outcomes.named(str(reason), reason.process, unit)
            return Outcome(label, NOT_CACHED, why, took_ms, makes=made_by(unit))
        self._environments.learn(unit)
        makes = [each.path for each in analysed.outputs if each.kind != analysis.GONE]
        return Outcome(label, RUN, why, took_ms, verify=verify, makes=makes)

    def _refuse_never(self, unit: UnitLog) -> None:
        for record in unit.records if self._never else ():
            if record.kind == unit_log.PROGRAM:
                path, invoked = record.paths
                if self._is_never(path) or self._is_never(invoked):
                    raise NotCached("velo.toml says never", record.process)

    def _publish(self, unit: UnitLog, analysed: Analysed, label: str, took_ms: float) -> None:
        index = self._there()
        bodies = self._bodies(unit, analysed)
        if analysed.provisional and not self._confirmed(unit, analysed, bodies):
            raise NotCached("it asked for randomness: cached when a second run makes the same")
        facts = list(dict.fromkeys(self._offset(index, *each) for each in bodies))
        if self._is_known(index, unit.key, analysed, facts):
            return
        inline = self._blobs.keep(analysed.outputs, self.directory)
        number = index.add_entry(
            key=unit.key, rest=unit.rest, facts=facts, analysed=analysed, label=label,
            cost_ms=int(took_ms), inline=inline,
        )  # fmt: skip
        self._added.add(number)
        self._is_changed = True

    def _offset(self, index: Index, fact: Fact, body: Body) -> int:
        offset = self._offsets.get((fact, body))
        if offset is None:
            offset = self._offsets[fact, body] = index.add_fact(body, fact.path, fact.link)
        return offset

    def _bodies(self, unit: UnitLog, analysed: Analysed) -> list[tuple[Fact, Body]]:
        """The facts as they are stored, those first that an edit changes first."""
        found = []
        now, racy = time.monotonic(), unit.began_ns - RACY_NS
        for fact in self._spelled_out(analysed.facts):
            known = self._found.get(fact)
            if known is not None and known.newest_ns <= racy and known.holds(self._began, now):
                found.append(known.ordered)
                continue
            hosted = hosted_at(analysed, fact)
            body = self._looker.body(fact, hosted, unit.began_ns)
            inside = body[1] & entries.IN_WORKSPACE != 0
            ordered = ORDER.get((inside, body[0]), 2 if inside else 4), fact, body
            found.append(ordered)
            if hosted is None:
                self._found[fact] = _Found(now, max(body[5], body[6]), ordered, inside)
        for fact in analysed.before:
            body = self._looker.absent(fact)
            inside = body[1] & entries.IN_WORKSPACE != 0
            found.append((ORDER.get((inside, body[0]), 4), fact, body))
        found.sort(key=lambda each: each[0])
        return [(fact, body) for _, fact, body in found]

    def _spelled_out(self, facts: list[Fact]) -> list[Fact]:
        every: dict[Fact, None] = {}
        for fact in facts:
            if fact.kind == analysis.RESOLVED:
                every.update(dict.fromkeys(self._looker.steps_of(fact.path, fact.link)))
            else:
                every[fact] = None
        return list(every)

    def _confirmed(
        self, unit: UnitLog, analysed: Analysed, bodies: list[tuple[Fact, Body]]
    ) -> bool:
        """Two native runs with the same inputs made the same."""
        made = tuple((each.kind, each.path, digest_of(each)) for each in analysed.outputs)
        seen = (tuple(body for _, body in bodies), made, analysed.text, analysed.errors)
        mark = hashlib.sha256(repr(seen).encode()).digest()
        path = self.ledger.unsure / unit.key.hex()
        before = b""
        with suppress(OSError):
            before = path.read_bytes()
        with suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.write_bytes(mark)
        return before == mark

    def _is_known(self, index: Index, key: bytes, analysed: Analysed, facts: list[int]) -> bool:
        """Some entry of this key says the same already, and its bytes are there."""
        return any(
            index.facts_of(entry) == facts
            and index.outputs_of(entry) == made_of(analysed)
            and all(self._blobs.path(digest).exists() for digest in index.blobs_of(entry))
            for entry in index.of_key(key)
        )

    def _verify(self, unit: UnitLog, analysed: Analysed) -> bool:
        """A step that would have been answered ran: did it make what the entry says?"""
        index = self._there()
        entry = index.numbered(unit.expected)
        if entry is None:
            return True
        said = (analysed.text, analysed.errors)
        same = made_of(analysed) == index.outputs_of(entry) and index.said_by(entry) == said
        if not same:
            index.drop(unit.expected)
            self._is_changed = True
        return same

    # ---- why -----------------------------------------------------------------------------------

    def _why(self, unit: UnitLog) -> Reason:
        """Why no entry answered. To be asked before the step has one."""
        index = self._there()
        for record in unit.records:
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
        if any(not each.flags & entries.NEEDS_REST or each.rest == unit.rest for each in before):
            return Reason("its outputs could not be put back")
        return Reason("a variable of the session is another one, and a script may read it")

    def _why_new(self, unit: UnitLog) -> Reason:
        variables = self._environments.differing(unit)
        if variables is None:
            return Reason("new")
        if not variables:
            return Reason("new: its umask, limits, user or standard streams are others")
        return Reason(f"new: {names_of(variables)} in the environment changed", "", variables[0])

    # ---- what was answered ---------------------------------------------------------------------

    def _answered(self) -> list[Outcome]:
        answers = self._answers()
        index = self._there()
        known = {entry.number: entry for _, entry in index.walk()} if answers else {}
        found = []
        for number, micros in answers:
            entry = known.get(number)
            if entry is not None:
                makes = [
                    each.path for each in index.outputs_of(entry) if each.kind != analysis.GONE
                ]
                found.append(
                    Outcome(index.label_of(entry), REPLAYED, Reason(""), micros / 1000,
                            saved_ms=entry.cost_ms, makes=makes)
                )  # fmt: skip
        return found

    def _answers(self) -> list[tuple[int, int]]:
        """Entry's number and microseconds of each step that was answered since the last report."""
        path = os.path.join(self.directory, "answers")
        try:
            os.rename(path, path + ".taken")
            with open(path + ".taken") as file:
                lines = [line.split() for line in file]
            os.unlink(path + ".taken")
        except (OSError, ValueError):
            return []
        return [(int(line[0]), int(line[1])) for line in lines if len(line) == 2]


class _Found(NamedTuple):
    """A fact as it was found. All units of a pass ended before it began, so it serves them all."""

    at: float
    newest_ns: int
    ordered: tuple[int, Fact, Body]
    inside: bool  # of the workspace

    def holds(self, began: float, now: float) -> bool:
        """Files outside of the workspace are asked for once in a while."""
        return self.at >= began or (not self.inside and now - self.at < WINDOW_S)


def hosted_at(analysed: Analysed, fact: Fact) -> Hosted | None:
    """What the library says of a hosted path; None of one outside."""
    why = unit_log.LISTED if fact.kind == analysis.F_NAMES else unit_log.INPUT
    return analysed.hosted.get((fact.path, why))


def made_of(analysed: Analysed) -> list[entries.Made]:
    """The outputs as entries have them."""
    return [
        entries.Made(each.kind, each.path, each.hosted.mode, each.hosted.digest)
        for each in analysed.outputs
        if each.hosted is not None
    ]


def digest_of(output: analysis.Output) -> bytes | None:
    return output.hosted and output.hosted.digest


def made_by(unit: UnitLog) -> list[str]:
    """Paths that a step wrote which is not cached."""
    made: dict[str, None] = {}
    for record in unit.records:
        if record.kind == unit_log.RENAME:
            old, new = record.paths
            made.pop(old, None)
            made[new] = None
        elif record.kind in (unit_log.WRITE, unit_log.SYMLINK):
            made[record.path] = None
        elif record.kind == unit_log.GONE:
            made.pop(record.path, None)
    return [path for path in made if not path.startswith("/dev/")]

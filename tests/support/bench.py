"""A workspace, an arena's memory and a store without a server; and entries made by hand."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from support import unit_logs
from support.unit_logs import Said, at, environment, hosted, program, step, write
from velo.shards.replay import analysis
from velo.shards.replay import unit_log as log
from velo.shards.replay.analysis import Analysed, Fact, Output
from velo.shards.replay.index import Index, Owner
from velo.shards.replay.ledger import Ledger
from velo.shards.replay.sealer import Sealer, directory_of
from velo.shards.replay.unit_log import Hosted
from velo.shards.replay.upkeep import Upkeep

OWNER = Owner(b"s" * 32, "/store/replay/blobs")
KEY, REST = unit_logs.KEY, unit_logs.REST
SHORT, LONG = b"short", b"l" * 5000
GCC = program("/usr/bin/gcc")
LATER_NS = 10**15  # the unit began long after its inputs were made


class Bench:
    """A workspace, an arena's memory and a store, without a server."""

    def __init__(self, root: Path) -> None:
        self.root, self.memory, self.store = root / "w", root / "memory", root / "store"
        self.memory.mkdir()
        self.root.mkdir()
        self.source = self.root / "a.c"
        self.source.write_text("int a;\n")
        self.out = str(self.root / "build/a.o")
        self._count = 0

    def sealer(self, **options: object) -> Sealer:
        return Sealer(
            memory=str(self.memory), workspace=str(self.root), store=str(self.store), **options
        )

    def unit(self, *records: Said, content: bytes = SHORT, **head: int) -> None:
        """A unit that read a.c, and left an output in the arena."""
        directory = Path(directory_of(str(self.memory)))
        digest = hashlib.sha256(content).hexdigest()
        (directory / f"{digest}.b").write_bytes(content)
        self._count += 1
        usual = (
            GCC,
            at(log.READ, str(self.source)),
            at(log.WRITE, self.out, flags=log.NEW),
            hosted(self.out, log.OUTPUT, content),
        )
        head = {"began_ns": time.time_ns() + LATER_NS, **head}
        what = (step("sh", "-c", "cc a.c"), environment(LANG="C"), *usual, *records)
        write(directory / f"1-{self._count}.f", *what, **head)

    def upkeep(self) -> Upkeep:
        return Upkeep(store=str(self.store), workspace=str(self.root), memory=str(self.memory))

    def ledger(self) -> Ledger:
        return Ledger(str(self.store), str(self.root))


def output(path: str, content: bytes) -> Output:
    digest = hashlib.sha256(content).digest()
    what = Hosted(len(content), 1, 2, 3, unit_logs.FILE_MODE, True, digest, "")
    return Output(analysis.FILE, path, what)


STEP = Analysed(
    facts=[Fact(analysis.CONTENT, "/w/a.c"), Fact(analysis.F_LINK, "/w/l", "a.c")],
    before=[],
    outputs=[output("/w/build/a.o", SHORT), output("/w/build/a", LONG)],
    hosted={},
    text=b"said",
    errors=b"warned",
    temporary=set(),
    needs_rest=False,
    variables=None,
    needs_outlets=False,
    found_none=set(),
    terminal=0,
    provisional=False,
)
INLINE = {hashlib.sha256(SHORT).digest(): SHORT}


def add(to: Index, *, key: bytes = KEY, step: Analysed = STEP) -> int:
    body = (1, 1, 0, 0, 5, 0, 0, unit_logs.FILE_MODE, 0, 0, bytes(32))
    facts = [to.add_fact((fact.kind, *body[1:]), fact.path, fact.link) for fact in step.facts]
    return to.add_entry(
        key=key, environment=bytes(32), rest=REST, facts=facts, analysed=step, label="cc a.c",
        cost_ms=9, inline=INLINE,
    )  # fmt: skip

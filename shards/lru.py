"""Which files leave memory next: the shard's, in the order in which clients last used them.

In: copies of node states, and a way to look again. Out: victims, least recently used first.
Never: a victim whose tick was not re-read: clients raise it with one relaxed store and no message,
so the order that is kept here only says where to start looking. [pure]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sortedcontainers import SortedKeyList

from velo.interpose.core import BACKED, NodeInfo


@dataclass(frozen=True, slots=True)
class Candidate:
    """One BACKED file as it was when last seen."""

    node: int
    generation: int
    access_tick: int


class Lru:
    """Candidates ordered by access tick. Owned by one thread.

    Invariant: `_order` holds exactly the values of `_by_node`.
    """

    def __init__(self) -> None:
        self._order: SortedKeyList[Candidate] = SortedKeyList(key=_age)
        self._by_node: dict[int, Candidate] = {}

    def __len__(self) -> int:
        return len(self._order)

    def refresh(self, infos: Iterable[NodeInfo]) -> None:
        """Hold exactly the BACKED files among `infos`; files seen before are moved, not rebuilt."""
        seen = set()
        for info in infos:
            if info.state == BACKED:
                seen.add(info.node)
                self._note(info)
        for node in self._by_node.keys() - seen:
            self._forget(node)

    def victims(self, probe: Callable[[int], NodeInfo | None]) -> Iterator[NodeInfo]:
        """Each candidate once, the least recently used first, taken off the list as it is given.

        A candidate that was used since it was noted goes back to its new place. It comes again at
        most once, so a busy build cannot keep this running for ever.
        """
        for _ in range(2 * len(self._order)):
            if not self._order:
                return
            candidate = self._order[0]
            self._forget(candidate.node)
            info = probe(candidate.node)
            if info is None or info.state != BACKED or info.generation != candidate.generation:
                continue
            if info.access_tick > candidate.access_tick:
                self._note(info)
            else:
                yield info

    def check(self) -> None:
        """Assert the class invariant."""
        assert list(self._order) == sorted(self._by_node.values(), key=_age)

    def _note(self, info: NodeInfo) -> None:
        known = self._by_node.get(info.node)
        candidate = Candidate(info.node, info.generation, info.access_tick)
        if known != candidate:
            self._forget(info.node)
            self._by_node[info.node] = candidate
            self._order.add(candidate)

    def _forget(self, node: int) -> None:
        candidate = self._by_node.pop(node, None)
        if candidate is not None:
            self._order.remove(candidate)


def _age(candidate: Candidate) -> tuple[int, int]:
    return candidate.access_tick, candidate.node

"""Which entries stay when there is too much, and the bytes of an index that has them alone.

    live entries -> those of last use first -> as many as fit: outputs, and a share of the index
                                            -> the same index without the others, and without what
                                               only they named

In: an index, limits in bytes. Out: entries, bytes. Never: another number for an entry, since
programs that have the older index mapped go on naming it. [pure]
"""

from __future__ import annotations

from collections.abc import Iterable

from .entries import BUCKETS, ENTRY, FACT, FILE, GROUP, NEXT, OUTPUT, Entry, Reader
from .index import ENTRIES_AT, Writer

CANDIDATES_MAX = 8  # of one key: the library looks at no more (step.c)
LOW_WATER = 0.9  # of a limit that was passed, so that the next session need not do it again
WORD = 8


def staying(
    reader: Reader, *, max_bytes: int, index_bytes: int, more_bytes: int = 0
) -> list[Entry]:
    """The entries that may stay: all of them, or the last used first.

    Args:
        max_bytes: what index and outputs may take together, and `more_bytes` with them.
        index_bytes: what the index alone may take.
    """
    live = reader.live()
    sizes = {digest: size for entry in live for digest, size in reader.sizes_of(entry).items()}
    total = reader.used + more_bytes + sum(sizes.values())
    if total <= max_bytes and reader.used <= index_bytes:
        return live
    bill = _Bill(reader)
    fixed = bill.empty_bytes
    room = _room(max_bytes - fixed - more_bytes, total - fixed - more_bytes)
    index_room = _room(index_bytes - fixed, reader.used - fixed)
    stay: list[Entry] = []
    for entry in _by_use(live):
        mine, blobs = bill.of(entry)
        if mine > index_room or mine + blobs > room:
            if not stay:
                continue  # it alone is too much, whatever else goes
            break
        room, index_room = room - mine - blobs, index_room - mine
        bill.pay(entry)
        stay.append(entry)
    return stay


def _room(limit: int, value: int) -> int:
    return limit if value <= limit else int(limit * LOW_WATER)


class _Bill:
    """The bytes that each further entry adds to those that stay: shared parts are paid for once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._paid: set[int] = set()  # offsets of facts and groups
        self._blobs: set[bytes] = set()
        store = len(reader.bytes_at(reader.head.store))
        self.empty_bytes = reader.head.table * WORD + NEXT.size * BUCKETS + store + WORD

    def of(self, entry: Entry) -> tuple[int, int]:
        """Bytes of the index, and of blobs."""
        reader = self._reader
        sizes = reader.sizes_of(entry)
        outputs = reader.packed_outputs(entry)
        inline = sum(size for kind, *_, held, size, _ in outputs if held and kind == FILE)
        facts = set(reader.facts_of(entry)) - self._paid
        index = (
            ENTRY.size + OUTPUT.size * entry.output_count + NEXT.size * entry.group_count + inline
        )
        groups = set(reader.groups_of(entry)) - self._paid
        index += sum(GROUP.size + NEXT.size * len(reader.group_at(each)) for each in groups)
        index += entry.text_size + entry.errors_size + WORD * (4 + entry.output_count)
        index += sum(FACT.size + self._texts_of(each) for each in facts)
        index += sum(len(made.path) + WORD for made in reader.outputs_of(entry))
        if entry.variables not in self._paid:
            index += len(reader.variables_of(entry) or b"") + WORD
        return index, sum(sizes[digest] for digest in sizes.keys() - self._blobs)

    def pay(self, entry: Entry) -> None:
        self._paid.update(self._reader.facts_of(entry), self._reader.groups_of(entry))
        self._paid.add(entry.variables)
        self._blobs |= self._reader.sizes_of(entry).keys()

    def _texts_of(self, fact: int) -> int:
        return len(self._reader.fact_at(fact)[1]) + WORD


def _by_use(live: list[Entry]) -> list[Entry]:
    """The last used first; of each key as many as the library looks at."""
    seen: dict[bytes, int] = {}
    found = []
    for entry in sorted(live, key=lambda entry: (entry.used_at, entry.number), reverse=True):
        seen[entry.key] = seen.get(entry.key, 0) + 1
        if seen[entry.key] <= CANDIDATES_MAX:
            found.append(entry)
    return found


def compacted(reader: Reader, stay: Iterable[Entry], empty: bytes) -> bytes:
    """The bytes of an index that has these entries of `reader`, in this order where keys agree.

    Args:
        empty: an index without any, to begin with.
    """
    data = bytearray(empty)
    NEXT.pack_into(data, ENTRIES_AT, reader.head.entries)  # the next one has the same number
    made = Writer(data)
    facts: dict[int, int] = {}  # offset there: here
    for entry in reversed(list(stay)):
        offsets = reader.facts_of(entry)
        for each in offsets:
            if each not in facts:
                facts[each] = made.add_fact(*reader.whole_fact(each))
        outputs = b"".join(made.pack_output(*each) for each in reader.whole_outputs(entry))
        moved = entry._replace(
            bound=made.add_text(reader.bound_of(entry)),
            label=made.add_text(reader.label_of(entry)),
            variables=made.add_names(reader.variables_of(entry)),
        )
        here = [facts[each] for each in offsets]
        made.link_entry(moved, here, outputs, reader.said_by(entry), number=entry.number)
    return bytes(data)

"""Which entries stay when there is too much, and the bytes of an index that has them alone.

    live entries -> those of last use first -> as many as fit: outputs, and a share of the index
                                            -> the same index without the others, and without what
                                               only they named

In: an index, limits in bytes. Out: entries, bytes. Never: another number for an entry, since
programs that have the older index mapped go on naming it. [pure]
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from . import entries
from .entries import BUCKETS, ENTRY, FACT, GROUP, HEAD, KEY_AT, NEXT, OUTPUT, Entry, Reader

CANDIDATES_MAX = 8  # of one key: the library looks at no more (step.c)
LOW_WATER = 0.9  # of a limit that was passed, so that the next session need not do it again
WORD = 8
Head = entries.Head


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
        own = reader.raw(entry.outputs, entry.output_count * OUTPUT.size)
        inline = sum(
            size
            for kind, _, _, _, held, size, _ in OUTPUT.iter_unpack(own)
            if held and kind == entries.FILE
        )
        facts = set(reader.facts_of(entry)) - self._paid
        index = ENTRY.size + len(own) + NEXT.size * entry.group_count + inline
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
    made = _Copy(reader, empty)
    for entry in reversed(list(stay)):
        made.add(entry)
    return made.whole()


class _Copy:
    def __init__(self, reader: Reader, empty: bytes) -> None:
        self._from = reader
        self._data = bytearray(empty)
        self._table = Reader(empty).head.table * WORD
        self._texts: dict[int, int] = {}  # offset there: here
        self._facts: dict[int, int] = {}
        self._last_fact = self._last_group = 0
        self._groups: dict[bytes, int] = {}
        self._names: dict[int, int] = {0: 0}  # lists of variables: offset there: here

    def add(self, entry: Entry) -> None:
        reader = self._from
        facts = [self._fact(each) for each in reader.facts_of(entry)]
        groups = array("I", [self._group(each) for each in entries.grouped(facts)])
        group_list = self._append(groups.tobytes() or b"\0")
        outputs = b"".join(self._output(entry, each) for each in range(entry.output_count))
        output_list = self._append(outputs or b"\0")
        text, errors = (self._append(each or b"\0") for each in reader.said_by(entry))
        (hash_,) = NEXT.unpack_from(entry.key)
        bucket = self._table + NEXT.size * (hash_ % BUCKETS)
        (first,) = NEXT.unpack_from(self._data, bucket)
        moved = entry._replace(
            next=first, group_count=len(groups), groups=group_list,
            outputs=output_list, text=text, errors=errors, bound=self._text(entry.bound),
            label=self._text(entry.label), variables=self._list(entry),
        )  # fmt: skip
        NEXT.pack_into(self._data, bucket, self._append(ENTRY.pack(*moved)))

    def whole(self) -> bytes:
        """With the next number of an entry as it was there."""
        head = Reader(self._data).head
        numbers = self._from.head.entries
        head = head._replace(
            used=len(self._data), facts=len(self._facts), entries=numbers,
            last_fact=self._last_fact, groups=len(self._groups),
            last_group=self._last_group,
        )  # fmt: skip
        HEAD.pack_into(self._data, 0, *head)
        return bytes(self._data)

    def _group(self, facts: bytes) -> int:
        here = self._groups.get(facts)
        if here is None:
            count = len(facts) // NEXT.size
            here = self._append(GROUP.pack(count, len(self._groups), self._last_group) + facts)
            self._last_group = self._groups[facts] = here
        return here

    def _fact(self, offset: int) -> int:
        here = self._facts.get(offset)
        if here is None:
            fields = list(FACT.unpack(self._from.raw(offset, FACT.size)))
            fields[2] = len(self._facts)
            fields[3], fields[4] = self._text(fields[3]), self._text(fields[4])
            fields[13] = self._last_fact
            here = self._last_fact = self._facts[offset] = self._append(FACT.pack(*fields))
        return here

    def _list(self, entry: Entry) -> int:
        there = entry.variables
        if there not in self._names:
            names = self._from.variables_of(entry) or b""
            self._names[there] = self._append(names + entries.NAMES_END)
        return self._names[there]

    def _output(self, entry: Entry, number: int) -> bytes:
        packed = self._from.raw(entry.outputs, (number + 1) * OUTPUT.size)[number * OUTPUT.size :]
        kind, flags, mode, path, held, size, digest = OUTPUT.unpack(packed)
        if held and kind == entries.FILE:
            held = self._append(self._from.raw(held, size) or b"\0")
        elif held:
            held = self._text(held)
        return OUTPUT.pack(kind, flags, mode, self._text(path), held, size, digest)

    def _text(self, offset: int) -> int:
        if offset == 0:
            return 0
        here = self._texts.get(offset)
        if here is None:
            here = self._texts[offset] = self._append(self._from.bytes_at(offset) + b"\0")
        return here

    def _append(self, data: bytes) -> int:
        at = len(self._data)
        self._data += data
        self._data += bytes(-len(self._data) % WORD)
        return at // WORD


assert KEY_AT + 2 * len(entries.NO_KEY) == ENTRY.size

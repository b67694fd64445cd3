"""New header stamps for serialised messages; no other byte changes.

A stamp is found by walking along the message's definition through its CDR (version 1) bytes, so
headers inside messages (an image inside a disparity, the transforms of a list) are found as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rosbags.interfaces import Nodetype

from open_set_seg.bags.writing import BagError
from open_set_seg.messages import NANOSECONDS

HEADER = "std_msgs/msg/Header"
ENCAPSULATION = 4  # bytes before the message; alignment counts from behind them
REMEMBERED = 1000
LIMIT = 2**31 * NANOSECONDS  # what a stamp's 32 bits of seconds hold
_SIZES = {
    "bool": 1, "byte": 1, "char": 1, "octet": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2,
    "int32": 4, "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


class HeaderPlaces:
    """Finds the stamps of all headers in messages of the types of a type store."""

    def __init__(self, typestore: Any) -> None:
        self._fields = typestore.fielddefs
        self._known: dict[str, bool] = {HEADER: True}

    def has_header(self, type_name: str) -> bool:
        """Whether messages of a type hold headers."""
        if type_name not in self._known:
            self._known[type_name] = False  # a type never holds itself
            _, fields = self._fields[type_name]
            self._known[type_name] = any(
                self.has_header(inner)
                for _, description in fields
                if (inner := _named_type(description)) is not None
            )
        return self._known[type_name]

    def find(self, cdr: bytes, type_name: str) -> list[int]:
        """Offsets of the stamps (4 bytes of seconds, 4 of nanoseconds) in a message.

        Raises:
            BagError: the message is not of that type, or has text of wide characters before them.
        """
        if not self.has_header(type_name):
            return []
        try:
            walk = _Walk(cdr, self._fields)
            walk.message(type_name)
        except (struct.error, KeyError) as error:
            raise BagError(f"a message is not a whole {type_name}: {error}") from None
        if walk.position > len(cdr):
            raise BagError(f"a message is not a whole {type_name}: it ends too early")
        return walk.stamps


class _Walk:
    def __init__(self, cdr: bytes, fields: Any) -> None:
        if cdr[:2] not in (b"\x00\x00", b"\x00\x01"):
            raise struct.error(f"not CDR of version 1 but {cdr[:4].hex(' ') or 'nothing'}")
        self.position = ENCAPSULATION
        self.stamps: list[int] = []
        self._cdr, self._fields = cdr, fields
        self._count = struct.Struct("<I" if cdr[1] & 1 else ">I")

    def message(self, type_name: str) -> None:
        if type_name == HEADER:
            self._align(4)
            self.stamps.append(self.position)
        for _, (kind, detail) in self._fields[type_name][1]:
            if kind in (Nodetype.BASE, Nodetype.NAME):
                self._items(kind, detail, 1)
            else:
                (inner_kind, inner), length = detail
                count = length if kind == Nodetype.ARRAY else self._read_count()
                self._items(inner_kind, inner, count)

    def _items(self, kind: Any, detail: Any, count: int) -> None:
        if kind == Nodetype.NAME:
            for _ in range(count):
                self.message(detail)
            return
        name = detail[0]
        if name == "string":
            for _ in range(count):
                length = self._read_count()
                self.position += length
        elif count:
            size = _SIZES[name]
            self._align(size)
            self.position += size * count

    def _read_count(self) -> int:
        self._align(4)
        (count,) = self._count.unpack_from(self._cdr, self.position)
        self.position += 4
        if count > len(self._cdr):
            raise struct.error(f"{count} items in {len(self._cdr)} bytes")
        return int(count)

    def _align(self, size: int) -> None:
        self.position += -(self.position - ENCAPSULATION) % size


class Restamper:
    """Gives the headers of messages new stamps.

    A stamp that comes again gets what it got before, so that what belonged together still does,
    whatever happened to the pace in between. The stamp 0 means "no time" and stays.

    Args:
        new_stamp: the new time for an old one, nanoseconds; one that a stamp cannot hold is not
            taken.
    """

    def __init__(self, places: HeaderPlaces, new_stamp: Callable[[int], int]) -> None:
        self._places, self._new_stamp = places, new_stamp
        self._known: dict[int, int] = {}

    def forget(self) -> None:
        """From here on, old stamps get new times: another round begins."""
        self._known.clear()

    def apply(self, cdr: bytes, type_name: str) -> bytes:
        """The message with new stamps.

        Raises:
            BagError: the message is not of that type.
        """
        places = self._places.find(cdr, type_name)
        if not places:
            return cdr
        stamp = struct.Struct("<iI" if cdr[1] & 1 else ">iI")
        changed = bytearray(cdr)
        for place in places:
            seconds, nanoseconds = stamp.unpack_from(cdr, place)
            old = seconds * NANOSECONDS + nanoseconds
            if old:
                stamp.pack_into(changed, place, *divmod(self._of(old), NANOSECONDS))
        return bytes(changed)

    def _of(self, old: int) -> int:
        if old not in self._known:
            if len(self._known) >= REMEMBERED:
                del self._known[next(iter(self._known))]
            new = self._new_stamp(old)
            self._known[old] = new if -LIMIT <= new < LIMIT else old
        return self._known[old]


def _named_type(description: Any) -> str | None:
    kind, detail = description
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        kind, detail = detail[0]
    return detail if kind == Nodetype.NAME else None

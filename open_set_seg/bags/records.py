"""The messages of an open recording, with what is wrong with a damaged one in one line."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from rosbags.interfaces import Connection

from open_set_seg.bags.writing import BagError
from open_set_seg.messages import NANOSECONDS


def read_records(
    bag: Any, connections: Collection[Connection], start_ns: int, stop_ns: int
) -> Iterator[tuple[Connection, int, bytes]]:
    """Yield (connection, time in nanoseconds, serialised message) in the order of time.

    Args:
        bag: an open recording.
        connections: which topics; none: nothing.
        start_ns, stop_ns: the first moment, and the first one that is left out.

    Raises:
        BagError: the recording is damaged; what could be read before that has been yielded.
    """
    if not connections:
        return
    read = 0
    last_ns = start_ns
    records = bag.messages(list(connections), start=start_ns, stop=stop_ns)
    while True:
        try:
            record = next(records, None)
        # Damaged bytes reach decompressors, SQLite and the parser of the library: anything comes.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            after = (last_ns - bag.start_time) / NANOSECONDS
            raise BagError(
                f"{bag.paths[0]} is damaged after {after:.3f} s "
                f"({read} messages could be read): {reason}"
            ) from None
        if record is None:
            return
        read, last_ns = read + 1, record[1]
        yield record

"""The folder of recordings: bounded in bytes and in number, the oldest make room."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from open_set_seg.bags.incidents.config import MEGABYTE, RecorderConfig
from open_set_seg.bags.incidents.summary import read_summary
from open_set_seg.bags.writing import BagError

_NAME = re.compile(r"incident-(\d{6,})-\d{8}T\d{6}Z")
_LOCK = ".recorder.lock"
# What a recorder that was killed leaves behind: half a recording, or half a deletion.
_LEFTOVERS = ("incident-*.partial-*", ".deleted-incident-*")


@dataclass(frozen=True)
class StoredBag:
    """A recording in the folder.

    Attributes:
        number: running; says which is older, whatever the clock was.
        requested: whether somebody asked for it; those are deleted last.
        size: bytes.
    """

    path: Path
    number: int
    requested: bool
    size: int


class Shelf:
    """Makes room for recordings, and names them; for one thread.

    Only recordings that are called as ours are counted and deleted.

    Args:
        config: the folder is created if it is not there.

    Raises:
        OSError: the folder cannot be made or written to.
        BagError: another recorder uses it.
    """

    def __init__(self, config: RecorderConfig) -> None:
        self.config = config
        self._bags: list[StoredBag] = []
        self._last_number = 0
        config.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (config.folder / _LOCK).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise BagError(f"another recorder writes to {config.folder}") from None
        for pattern in _LEFTOVERS:
            for path in config.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)
        self.scan()

    @property
    def count(self) -> int:
        """Recordings in the folder, as far as is known."""
        return len(self._bags)

    @property
    def bytes(self) -> int:
        """Of all recordings in the folder, as far as is known."""
        return sum(bag.size for bag in self._bags)

    def scan(self) -> None:
        """Look what is there: somebody may have taken recordings away, or the whole folder.

        Raises:
            OSError: the folder is gone.
        """
        known = {bag.path: bag for bag in self._bags}
        found = []
        for path in sorted(self.config.folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match and path.is_dir():
                found.append(known.get(path) or _look_at(path, int(match[1])))
        self._bags = found
        self._last_number = max([self._last_number, *(bag.number for bag in found)])

    def next_path(self, utc: str) -> Path:
        """Folder of the next recording; ``utc`` such as 20260131T235959Z is for people."""
        self._last_number += 1
        return self.config.folder / f"incident-{self._last_number:06d}-{utc}"

    def make_room(self, needed: int) -> None:
        """Delete until a recording of ``needed`` bytes fits beside the others.

        Recordings that nobody asked for go first, of those the oldest.

        Raises:
            BagError: it would not fit into ``max_total_mb`` at all, or leave too little free.
            OSError: something cannot be deleted.
        """
        limit = self.config.max_total_mb * MEGABYTE
        if needed > limit:
            raise BagError(f"a recording of {needed} bytes is more than recorder.max_total_mb")
        by_value = sorted(self._bags, key=lambda bag: (bag.requested, bag.number))
        while self._bags and (
            self.bytes + needed > limit or len(self._bags) + 1 > self.config.max_bags
        ):
            self._delete(by_value.pop(0))

    def require_free(self, needed: int) -> None:
        """See that ``needed`` bytes more leave ``min_free_mb`` on the disk.

        Raises:
            BagError: they do not.
            OSError: the folder is gone.
        """
        free = shutil.disk_usage(self.config.folder).free
        if free - needed < self.config.min_free_mb * MEGABYTE:
            raise BagError(
                f"the disk of {self.config.folder} has {free // MEGABYTE} MB free; recording would "
                f"leave less than recorder.min_free_mb = {self.config.min_free_mb:g}"
            )

    def add(self, path: Path) -> StoredBag:
        """Take a finished recording in."""
        match = _NAME.fullmatch(path.name)
        assert match
        bag = _look_at(path, int(match[1]))
        self._bags.append(bag)
        return bag

    def close(self) -> None:
        """Let another recorder use the folder."""
        self._lock.close()

    def _delete(self, bag: StoredBag) -> None:
        # Renamed first, so that half a deletion is never taken for a recording.
        doomed = bag.path.with_name(f".deleted-{bag.path.name}")
        if bag.path.exists():
            os.rename(bag.path, doomed)
            shutil.rmtree(doomed)
        self._bags.remove(bag)


def _look_at(path: Path, number: int) -> StoredBag:
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    summary = read_summary(path)
    return StoredBag(path, number, bool(summary and summary.get("requested")), size)

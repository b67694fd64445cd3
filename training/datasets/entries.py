"""What is known of a data set before it is opened, and how its folder is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from training.datasets.frames import Dataset, DatasetError


@dataclass(frozen=True)
class DatasetEntry:
    """One row of ``DATASETS``.

    Attributes:
        title: for tables.
        open: ``open(root, split, run)`` gives the data set whose own folder is ``root``. ``run``
            numbers the repeats of a data set that is made at random; others ignore it.
        splits: that it has.
        default_split: the one that is evaluated when none is named.
        layout: the tree of files that is expected, one path a line; error messages show it.
        source: how to get it.
        marks: how its folder is recognised: alternatives of glob patterns, relative to the folder;
            all patterns of one alternative must match. Empty: it needs no folder.
        folders: patterns (lower case, ``fnmatch``) of the names that its folder usually has.
        needs: names of the other data sets whose files it uses.
        frames: how many frames a split has when it is complete, where that is known.
    """

    title: str
    open: Callable[[Path, str, int], Dataset]
    splits: tuple[str, ...]
    default_split: str
    layout: str
    source: str
    marks: tuple[tuple[str, ...], ...] = ()
    folders: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    frames: Mapping[str, int] = field(default_factory=dict)

    def is_at(self, folder: Path) -> bool:
        """Whether ``folder`` looks like this data set's own."""
        return any(all(_matches(folder, mark) for mark in marks) for marks in self.marks)

    def is_called(self, folder: Path) -> bool:
        """Whether ``folder`` has a name that is usual for this data set."""
        return any(fnmatch(folder.name.lower(), pattern) for pattern in self.folders)


def find_folder(entry: DatasetEntry, root: str | Path) -> Path:
    """The data set's own folder: ``root`` itself, or one of the folders in it.

    Of several folders in ``root`` one with a usual name goes before others.

    Raises:
        DatasetError: it is not there, or more than one folder could be it. The message shows the
            expected layout and how to get the data.
    """
    root = Path(root).expanduser()
    if not entry.marks or entry.is_at(root):
        return root
    if not root.is_dir():
        raise _not_found(entry, f"{root} is not a folder")
    inside = sorted(folder for folder in root.iterdir() if folder.is_dir())
    recognised = [folder for folder in inside if entry.is_at(folder)]
    found = [folder for folder in recognised if entry.is_called(folder)] or recognised
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(folder.name for folder in found)
        raise _not_found(entry, f"{root} holds more than one that could be it ({names}): name one")
    called = [folder for folder in (root, *inside) if entry.is_called(folder)]
    if called:
        raise _not_found(entry, f"{called[0]} is called like it but does not hold {_wanted(entry)}")
    raise _not_found(entry, f"neither {root} nor a folder in it holds {_wanted(entry)}")


def find_neighbour(entry: DatasetEntry, folder: Path) -> Path:
    """The folder of another data set whose files one in ``folder`` uses.

    It is looked for in ``folder``, then beside it.

    Raises:
        DatasetError: it is in neither place.
    """
    try:
        return find_folder(entry, folder)
    except DatasetError:
        return find_folder(entry, folder.resolve().parent)


def _wanted(entry: DatasetEntry) -> str:
    return ", or ".join(" and ".join(marks) for marks in entry.marks)


def _not_found(entry: DatasetEntry, reason: str) -> DatasetError:
    layout = "\n".join(f"  {line.strip()}" for line in entry.layout.strip().splitlines())
    return DatasetError(
        f"{entry.title} was not found: {reason}.\nExpected:\n{layout}\nTo get it: {entry.source}"
    )


def _matches(folder: Path, pattern: str) -> bool:
    matches: Iterator[Path] = folder.glob(pattern)
    return next(matches, None) is not None

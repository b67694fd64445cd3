"""What is there of every data set, and what of it cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from training.datasets.entries import DatasetEntry, find_folder
from training.datasets.frames import Dataset, DatasetError
from training.datasets.registry import DATASETS


@dataclass(frozen=True)
class SplitCheck:
    """What is there of one split.

    Attributes:
        frames: how many; None where it cannot be opened.
        expected: how many a complete split has; None where that is not known.
        problem: why it cannot be opened; None where it can.
        corrupt: the files that cannot be used, with the reason; None where they were not read.
    """

    frames: int | None
    expected: int | None
    problem: str | None = None
    corrupt: tuple[str, ...] | None = None


@dataclass(frozen=True)
class DatasetCheck:
    """What is there of one data set.

    Attributes:
        title: of the data set.
        folder: where it was found; None where it was not.
        problem: why it was not found, the expected layout and how to get it; None where it was.
        splits: by name.
    """

    title: str
    folder: str | None
    problem: str | None
    splits: dict[str, SplitCheck]


def check_datasets(
    root: str | Path,
    names: Iterable[str] | None = None,
    read: bool = False,
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, DatasetCheck]:
    """Look for data sets below ``root``.

    Args:
        root: a data set's own folder, or a folder that holds some.
        names: keys in ``DATASETS``; None for those that need a folder.
        read: whether to load every frame.
        workers: threads that load; None for one a processor.
        progress: whether to draw a progress bar for every split that is read.
    """
    if names is None:
        names = [name for name, entry in DATASETS.items() if entry.marks]
    checks = {}
    for name in names:
        entry = DATASETS[name]
        try:
            folder = find_folder(entry, root)
        except DatasetError as error:
            checks[name] = DatasetCheck(entry.title, None, str(error), {})
            continue
        splits = {
            split: _check_split(name, folder, split, read, workers, progress)
            for split in entry.splits
        }
        checks[name] = DatasetCheck(entry.title, str(folder), None, splits)
    return checks


def find_corrupt(
    dataset: Dataset, workers: int | None = None, progress: bool = False
) -> tuple[str, ...]:
    """Load every frame; the message of every file that cannot be used."""

    def load(index: int) -> str | None:
        try:
            dataset.load(index)
        except DatasetError as error:
            return str(error)
        return None

    count = len(dataset.ids)
    # Decoding leaves Python's lock, so threads are enough.
    with (
        ThreadPoolExecutor(workers or os.cpu_count()) as pool,
        tqdm(total=count, desc=dataset.name, unit="frame", disable=not progress) as bar,
    ):
        messages = []
        for message in pool.map(load, range(count)):
            bar.update()
            if message is not None:
                messages.append(message)
    return tuple(messages)


def summary(checks: dict[str, DatasetCheck]) -> str:
    """A table for the terminal: data sets that were found first, then the names of the others."""
    lines = []
    for name, check in checks.items():
        if check.folder is None:
            continue
        lines.append(f"{name} ({check.title}): {check.folder}")
        lines += [f"  {_split_line(split, each)}" for split, each in check.splits.items()]
        for split, each in check.splits.items():
            lines += [f"  corrupt in {split}: {message}" for message in each.corrupt or ()]
    missing = [name for name, check in checks.items() if check.folder is None]
    if missing and len(checks) > 1:
        lines.append(f"not found: {', '.join(missing)}")
        lines.append("(--dataset NAME shows the layout that is expected, and how to get it)")
    elif missing:
        lines.append(checks[missing[0]].problem or "")
    return "\n".join(lines)


def _check_split(
    name: str, folder: Path, split: str, read: bool, workers: int | None, progress: bool
) -> SplitCheck:
    entry: DatasetEntry = DATASETS[name]
    expected = entry.frames.get(split)
    try:
        dataset = entry.open(folder, split, 0)
    except DatasetError as error:
        return SplitCheck(None, expected, str(error))
    corrupt = find_corrupt(dataset, workers, progress) if read else None
    return SplitCheck(len(dataset.ids), expected, None, corrupt)


def _split_line(split: str, check: SplitCheck) -> str:
    if check.frames is None:
        return f"{split:<12} missing: {check.problem}"
    count = f"{check.frames:,}"
    if check.expected is not None and check.expected != check.frames:
        count += f" of {check.expected:,}"
    line = f"{split:<12} {count} frames"
    if check.corrupt is not None:
        line += f", {len(check.corrupt)} corrupt" if check.corrupt else ", all readable"
    return line

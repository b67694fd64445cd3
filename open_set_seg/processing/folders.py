"""Which folder a recording's results go to, and which recordings are done already."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from open_set_seg.bags import FrameTopics, count_messages
from open_set_seg.processing.recording import PARTIAL, Task
from open_set_seg.processing.run_file import RUN, ProcessingError, read_run

LOCK = ".processing.lock"


@dataclass(frozen=True)
class Plan:
    """What there is to do.

    Attributes:
        tasks: recordings to process.
        done: folders of recordings that were processed before, with the same settings.
    """

    tasks: tuple[Task, ...]
    done: tuple[Path, ...]


def plan_tasks(
    sources: Sequence[Path], output: Path, settings: dict[str, Any], again: bool = False
) -> Plan:
    """A folder for every recording, named after it; equal names get a number.

    A recording keeps the folder that it has.

    Args:
        sources: recordings; one that is named twice is taken once.
        again: remove what was made of these recordings before.

    Raises:
        ProcessingError: a recording was processed into this folder with other settings, or has
            changed since; or something else is in the way.
    """
    paths = list(dict.fromkeys(source.resolve() for source in sources))
    held = _read_runs(output)
    tasks: list[Task] = []
    done: list[Path] = []
    taken = set(held)
    for path in paths:
        folder = next((name for name, run in held.items() if run.get("source") == str(path)), None)
        if folder is None:
            folder = _free_name(output, path, taken)
            taken.add(folder)
        elif again:
            shutil.rmtree(folder)
        else:
            _require_equal(folder, held[folder], path, settings)
            done.append(folder)
            continue
        tasks.append(Task(path, folder, settings, fingerprint_recording(path)))
    return Plan(tuple(tasks), tuple(done))


@contextmanager
def watch_folder(output: Path) -> Iterator[None]:
    """Let nobody else process into a folder; on leaving, what was not finished is removed.

    Raises:
        ProcessingError: somebody else does.
    """
    output.mkdir(parents=True, exist_ok=True)
    with (output / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ProcessingError(f"another process is processing into {output}") from None
        try:
            yield
        finally:
            for left in output.glob(f".*{PARTIAL}*"):
                shutil.rmtree(left, ignore_errors=True)


def count_images(source: Path, topics: FrameTopics) -> int:
    """How many images a recording says that it holds; 0 where it cannot be read."""
    try:
        return count_messages(source, topics.image)
    except Exception:  # whatever is wrong with it is told when its turn comes
        return 0


def fingerprint_recording(path: Path) -> str:
    """SHA-256 of names, sizes and times of change of a recording's files; empty without any."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    states = [(file.name, file.stat()) for file in files if file.is_file()]
    if not states:
        return ""
    lines = [f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _read_runs(output: Path) -> dict[Path, dict[str, Any]]:
    return {file.parent: read_run(file.parent) for file in sorted(output.glob(f"*/{RUN}"))}


def _free_name(output: Path, path: Path, taken: set[Path]) -> Path:
    name = path.stem if path.is_file() else path.name
    for folder in chain([output / name], (output / f"{name}-{n}" for n in count(2))):
        if folder in taken:
            continue
        if folder.exists():
            raise ProcessingError(f"{folder} is in the way: it holds no processed recording")
        return folder
    raise AssertionError("counting has no end")


def _require_equal(folder: Path, run: dict[str, Any], path: Path, settings: dict[str, Any]) -> None:
    hint = "choose another folder, or process it --again"
    if run.get("fingerprint") != fingerprint_recording(path):
        raise ProcessingError(f"{path} has changed since {folder} was made of it: {hint}")
    made = run.get("settings", {})
    wanted = json.loads(json.dumps(settings))
    different = sorted(
        name for name in {*made, *wanted} - {"threads"} if made.get(name) != wanted.get(name)
    )
    if different:
        raise ProcessingError(
            f"{folder} was made with other settings ({', '.join(different)}): {hint}"
        )

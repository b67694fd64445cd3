"""The folder of one evaluation: settings, partial counts, score maps kept for a second look.

Counts are written as *chunks*: a chunk holds the counts of some frames and the list of these
frames, and appears whole or not at all. A frame is done when it is listed. So a killed run loses
the frames since its last chunk and nothing else, and because counts add up exactly, neither kills
nor the number of processes change a figure.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from open_set_seg.files import write_whole
from training.evaluation.seen import SeenFrame
from training.sources import EvaluationError

FRAMES_FILE = "frames.json"
LOCK_FILE = "lock"
_UNFINISHED = "unfinished-"


class Accumulator(Protocol):
    """Counts that add up exactly, in any order."""

    def merge(self, other: Any) -> None:
        """Take in the counts of another one of the same kind."""

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""


class Measure(Protocol):
    """One thing that is measured: what it counts on a frame, and the figures in the end."""

    @property
    def key(self) -> str:
        """Unique among the measures of a pass; names a folder."""

    def begin(self) -> Any:
        """An empty accumulator."""

    def load(self, folder: Path) -> Any:
        """The accumulator that was saved in ``folder``."""

    def add(self, counts: Any, seen: SeenFrame) -> None:
        """Count a frame."""

    def report(self, counts: Any, result: dict[str, Any]) -> None:
        """Put the figures of all frames where they belong in the result."""


@dataclass(frozen=True)
class FrameNote:
    """What became of a frame.

    Attributes:
        index, id: of the frame.
        skipped: why it could not be used; None if it was.
        resized: whether its score maps had another size than the image.
    """

    index: int
    id: str
    skipped: str | None = None
    resized: bool = False


class Chunks:
    """The counts of one pass over a data set, some of them on disk and some still to be saved.

    Args:
        folder: of the chunks; several processes may share it.
        measures: what is counted.
        rank: of this process.
        save_frames: a chunk is written after so many frames,
        save_seconds: or after so many seconds.
    """

    def __init__(
        self,
        folder: Path,
        measures: Sequence[Measure],
        rank: int,
        save_frames: int = 32,
        save_seconds: float = 30.0,
    ) -> None:
        self._folder = folder
        self._measures = measures
        self._rank = rank
        self._limits = (save_frames, save_seconds)
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(f"{_UNFINISHED}{rank}-*"):
            shutil.rmtree(leftover)
        self._begin()

    def _begin(self) -> None:
        self._counts = {measure.key: measure.begin() for measure in self._measures}
        self._notes: list[FrameNote] = []
        self._started = time.monotonic()

    def done(self) -> dict[int, FrameNote]:
        """The frames of all chunks on disk, of whatever process, by index."""
        notes: dict[int, FrameNote] = {}
        for chunk in self._saved():
            for entry in json.loads((chunk / FRAMES_FILE).read_text(encoding="utf-8")):
                if entry["index"] in notes:
                    raise EvaluationError(f"{self._folder}: {entry['id']} was counted twice")
                notes[entry["index"]] = FrameNote(**entry)
        return dict(sorted(notes.items()))

    def add(self, note: FrameNote, seen: SeenFrame | None) -> None:
        """Count a frame (None: a skipped one), and save when it is time."""
        if seen is not None:
            for measure in self._measures:
                measure.add(self._counts[measure.key], seen)
        self._notes.append(note)
        frames, seconds = self._limits
        if len(self._notes) >= frames or time.monotonic() - self._started >= seconds:
            self.save()

    def save(self) -> None:
        """Write what was counted since the last time as a chunk."""
        if not self._notes:
            return
        serial = 1 + max((int(c.name.split("-")[1]) for c in self._saved(self._rank)), default=-1)
        unfinished = self._folder / f"{_UNFINISHED}{self._rank}-{os.getpid()}"
        for key, counts in self._counts.items():
            place = unfinished / key
            place.mkdir(parents=True)
            counts.save(place)
        unfinished.mkdir(exist_ok=True)
        notes = json.dumps([asdict(note) for note in self._notes])
        (unfinished / FRAMES_FILE).write_text(notes + "\n", encoding="utf-8")
        unfinished.rename(self._folder / f"{self._rank}-{serial:06d}")
        self._begin()

    def merged(self, measure: Measure) -> Any:
        """The counts of all chunks on disk."""
        total = measure.begin()
        for chunk in self._saved():
            total.merge(measure.load(chunk / measure.key))
        return total

    def _saved(self, rank: int | None = None) -> list[Path]:
        pattern = "[0-9]*-[0-9]*" if rank is None else f"{rank}-[0-9]*"
        return sorted(self._folder.glob(pattern))


class MapStore:
    """Score maps and classes of frames on disk, so that a second look needs no network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, frame_id: str, maps: Mapping[str, NDArray[Any]]) -> None:
        """Keep the maps of a frame; they appear whole or not at all."""
        path = self._path(frame_id)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **maps)
        partial.replace(path)

    def load(self, frame_id: str) -> dict[str, NDArray[Any]]:
        """What was kept; exactly the same numbers."""
        with np.load(self._path(frame_id), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def _path(self, frame_id: str) -> Path:
        return self._folder / f"{quote(frame_id, safe='')}.npz"


@contextmanager
def only_user(folder: Path) -> Iterator[None]:
    """Keep other evaluations out of ``folder``; a killed process lets go of it.

    Raises:
        EvaluationError: another evaluation is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise EvaluationError(f"another evaluation is at work in {folder}") from error
        yield


def claim(
    folder: Path,
    settings: Mapping[str, Any],
    remedy: str = "give another --output, or delete that folder",
) -> None:
    """Make ``folder`` the folder of an evaluation with ``settings``, or continue the one there.

    Args:
        remedy: what to do where it cannot be used.

    Raises:
        EvaluationError: it holds an evaluation with other settings, or something else.
    """
    path = folder / "settings.json"
    settings = json.loads(json.dumps(settings))
    if not path.exists():
        if any(entry.name != LOCK_FILE for entry in folder.iterdir()):
            raise EvaluationError(f"{folder} is not empty and holds no evaluation")
        write_whole(path, json.dumps(settings, indent=2) + "\n")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    there, here = _flat(found), _flat(settings)
    different = sorted(key for key in here | there if here.get(key) != there.get(key))
    if different:
        key = different[0]
        raise EvaluationError(
            f"{folder} holds an evaluation with other settings ({', '.join(different)}); its "
            f"{key} is {_short(there.get(key))}, here it is {_short(here.get(key))}: {remedy}"
        )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings inside settings by their full names, such as ``model.threshold``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": content for inner, content in _flat(value).items()}
        else:
            flat[key] = value
    return flat


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."

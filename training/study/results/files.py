"""What the study keeps of one arm trained with one seed, as a committed JSON file.

``<folder>/<families>/<arm>/<seed>.json``. The dataclasses have the form of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from open_set_seg.files import write_whole
from training.study.results.measurements import Families, Measured
from training.study.results.reading import ResultError, json_text, keep, read_file


@dataclass(frozen=True)
class FinalValues:
    """Means over the last steps; NaN for what an arm has none of."""

    cross_entropy: float = float("nan")
    negative: float = float("nan")
    bits_per_dim: float = float("nan")
    clamped: float = float("nan")
    mean_colour: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Training:
    """Steps with negatives (stage 2) and what they took."""

    steps: int
    seconds: float
    final: FinalValues
    curve: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class ProbeImages:
    """Mean score of one inlier patch an image before and after it is pasted; NaN: no place."""

    before: tuple[float, ...] = keep(digits=6)
    after: tuple[float, ...] = keep(digits=6)

    def __post_init__(self) -> None:
        if len(self.before) != len(self.after):
            raise ResultError(f"{len(self.before)} images before and {len(self.after)} after")


@dataclass(frozen=True)
class Probe:
    """The artefact probe: does pasting alone make inliers look unknown? Means over images."""

    before: float
    after: float
    jump: float
    images: ProbeImages


@dataclass(frozen=True)
class Result:
    """One arm trained with one seed, measured on one group of families.

    Attributes:
        study: name of the study.
        arm, title: key of the arm and what it is called.
        seed: of the training.
        families: group of the unknown objects measured.
        config_sha256: of the frozen configuration.
        code_revision: commit.
        package_version, versions, device: what it was made with.
        made: ISO date.
        training: None for a network that was not trained further.
        measured: on the scenes.
        probe: None where it was not run.
    """

    study: str
    arm: str
    title: str
    seed: int
    families: Families
    config_sha256: str
    code_revision: str
    package_version: str
    versions: Mapping[str, str]
    device: Mapping[str, Any]
    made: str
    training: Training | None
    measured: Measured
    probe: Probe | None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]+", self.arm):
            raise ResultError(f"arm: a key of small letters, digits and _, not {self.arm!r}")
        if self.seed < 0:
            raise ResultError(f"seed: a number from 0, not {self.seed}")
        if not re.fullmatch(r"[0-9a-f]{64}", self.config_sha256):
            raise ResultError(f"config_sha256: 64 hexadecimal digits, not {self.config_sha256!r}")
        if self.measured.families != self.families:
            raise ResultError(f"{self.families} families, but {self.measured.families} measured")
        try:
            date.fromisoformat(self.made[:10])
        except ValueError as error:
            raise ResultError(f"made: an ISO date, not {self.made!r}") from error


def result_path(folder: Path, families: str, arm: str, seed: int) -> Path:
    """Where the result of an arm and seed lies."""
    return folder / families / arm / f"{seed}.json"


def write_result(folder: Path, result: Result) -> Path:
    """Write a result to its place under ``folder``, whole or not at all; where that is."""
    path = result_path(folder, result.families, result.arm, result.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json_text(result))
    return path


def read_result(path: Path) -> Result:
    """The result in a file, which must lie where its arm and seed belong.

    Raises:
        ResultError: see ``read_file``; or the file is of another arm, seed or group.
    """
    result = read_file(Result, path)
    place = result_path(Path(), result.families, result.arm, result.seed)
    if path.parts[-3:] != place.parts:
        raise ResultError(f"{path}: holds the result that belongs to {place}")
    return result


def list_results(folder: Path, families: Families) -> list[Path]:
    """The files of results of one group, by arm and seed."""
    found = (folder / families).glob("*/*.json")
    return sorted(found, key=lambda path: (path.parent.name, len(path.stem), path.stem))

"""Simulated test scenes as a data set to be measured on, with everything that is true of them.

Nothing is read from a disk: a frame is rendered when it is loaded. Objects are of the development
families.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import FloatImage
from open_set_seg.label_spaces import STREETHAZARDS, LabelSpace
from open_set_seg.simulation import TEST_SEEDS, StereoFrame, render_still
from training.datasets.entries import DatasetEntry
from training.datasets.frames import DatasetError, EncodedDisparity, LabelledFrame

# Disparities that 16 bits hold at 1/256 pixel.
_MAX_CODE = 65535


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedFrame(LabelledFrame):
    """A labelled frame with the stereo frame that it was made of.

    Attributes:
        stereo: both range images, the camera and the true obstacles.
    """

    stereo: StereoFrame


@dataclass(frozen=True)
class SimulatedFrames:
    """The scenes of test seeds; see ``Dataset`` for its interface.

    Attributes:
        seeds: of the scenes.
        width, height: pixels.

    Raises:
        DatasetError: no seed, or one that is not for tests.
    """

    seeds: range
    width: int = 1024
    height: int = 512

    def __post_init__(self) -> None:
        seeds = self.seeds
        if not seeds or seeds[0] not in TEST_SEEDS or seeds[-1] not in TEST_SEEDS:
            raise DatasetError(f"test seeds are {TEST_SEEDS[0]} to {TEST_SEEDS[-1]}, not {seeds}")

    @property
    def name(self) -> str:
        """Key in ``DATASETS``."""
        return "simulation"

    @property
    def label_space(self) -> LabelSpace:
        """Of the labels."""
        return STREETHAZARDS

    @property
    def ids(self) -> Sequence[str]:
        """The seeds as text."""
        return [str(seed) for seed in self.seeds]

    def load(self, index: int) -> SimulatedFrame:
        """Render the scene at ``index``; the pixels depend on seed and size alone."""
        stereo = render_still(self.seeds[index], self.width, self.height)
        codes = encode_disparity(stereo.disparity)
        return SimulatedFrame(
            id=str(self.seeds[index]),
            image=stereo.left,
            labels=stereo.labels,
            outliers=stereo.outlier_mask,
            disparity=EncodedDisparity(codes, stereo.rig.baseline, stereo.rig.camera),
            stereo=stereo,
        )


def encode_disparity(disparity: FloatImage) -> NDArray[np.uint16]:
    """16-bit codes round(256 d) + 1 of a disparity d in pixels; 0 where d is 0 (the sky).

    Raises:
        ValueError: a disparity that 16 bits do not hold.
    """
    codes = np.rint(disparity.astype(np.float64) * 256.0) + 1.0
    if codes.max() > _MAX_CODE:
        raise ValueError(f"disparity {disparity.max()} px is above {(_MAX_CODE - 1) / 256} px")
    return np.where(disparity > 0.0, codes, 0.0).astype(np.uint16)


def _open(root: Path, split: str, run: int) -> SimulatedFrames:
    return SimulatedFrames(TEST_SEEDS[:200])


ENTRY = DatasetEntry(
    title="Simulation",
    open=_open,
    splits=("test",),
    default_split="test",
    layout="(rendered, no files)",
    source="python -m training.evaluate renders it",
)

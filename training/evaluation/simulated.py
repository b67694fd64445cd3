"""A checkpoint on simulated frames: classes, anomaly pixels, obstacles and their distances."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from open_set_seg.detector import ObstacleDetector
from open_set_seg.frame import DisparityMap, Frame, FrameResult, ImageRGB, Obstacle, Prediction
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from open_set_seg.metrics import (
    ConfusionMatrix,
    MatchRule,
    ObjectMetrics,
    TrueObject,
    object_metrics,
)
from open_set_seg.segmenter import OpenSetSegmenter
from open_set_seg.simulation import StereoFrame, TrueObstacle, render_still
from training.validation import pixel_metrics_or_nan

REGIONS = ("whole image", "true road", "ground hull")
RANGES = ("exact disparity", "sensor disparity")
# The same again with the true regions in place of the network's: what range and geometry are
# worth by themselves, at distances where the network finds too little to tell.
TRUE_REGIONS = ", true regions"
CONDITIONS = (*RANGES, *(name + TRUE_REGIONS for name in RANGES))
ROAD_CLASSES = ("road", "road line")
# Smaller objects are a few pixels of blur: neither asked for nor held against a detection.
MIN_VISIBLE_PX = 20

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Evaluation:
    """Results over all frames.

    Attributes:
        confusion: closed set; pixels of unknown objects are not counted.
        pixels: AP, FPR95, AUROC, best F1 by region of ``REGIONS`` (fractions).
        objects: recall, false obstacles and distance errors by condition of ``CONDITIONS``.
        not_examined: frames in which no ground was predicted.
    """

    confusion: ConfusionMatrix
    pixels: dict[str, dict[str, float]]
    objects: dict[str, ObjectMetrics]
    not_examined: int


class RememberingSegmenter:
    """Segments an image once, however often the detector asks for the same array."""

    def __init__(self, segmenter: OpenSetSegmenter) -> None:
        self._segmenter = segmenter
        self._image: ImageRGB | None = None
        self._prediction: Prediction | None = None

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""
        return self._segmenter.label_space

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """The prediction for ``rgb``, remembered until another image comes."""
        if self._prediction is None or rgb is not self._image:
            self._image, self._prediction = rgb, self._segmenter.segment(rgb, threshold)
        return self._prediction


@dataclass(frozen=True, eq=False)
class TrueSegmenter:
    """Hands out the truth of a frame as if a perfect network had seen it."""

    stereo: StereoFrame
    label_space: LabelSpace

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """True labels; anomaly 1 on unknown objects and 0 elsewhere, whatever ``rgb`` shows."""
        labels, space = self.stereo.labels, self.label_space
        unknown = labels == space.unknown_id
        # What a network would take an object for does not matter; it stands on the ground.
        nearest = np.where(unknown, np.uint8(space.ground_ids[0]), labels)
        return Prediction(labels, unknown.astype(np.float32), nearest, threshold or 0.5)


def evaluate(
    segmenter: OpenSetSegmenter,
    seeds: Sequence[int],
    width: int,
    height: int,
    workers: int = 2,
    progress: bool = True,
) -> Evaluation:
    """Render the scenes of ``seeds`` (development families) and measure everything on them.

    Frames are rendered by ``workers`` processes a few ahead and dropped when they are judged; the
    anomaly maps wait in temporary files until the pixel metrics read them, region by region.
    """
    detector = ObstacleDetector(RememberingSegmenter(segmenter))
    space = segmenter.label_space
    confusion = ConfusionMatrix(space.num_classes)
    found: dict[str, list[tuple[Obstacle, ...]]] = {name: [] for name in CONDITIONS}
    truth: list[tuple[TrueObstacle, ...]] = []
    not_examined = 0
    with tempfile.TemporaryDirectory() as folder:
        frames = render_ahead(seeds, width, height, workers)
        bar = tqdm(frames, total=len(seeds), desc="evaluating", unit="frame", disable=not progress)
        for index, stereo in enumerate(bar):
            truth.append(stereo.obstacles)
            perfect = ObstacleDetector(TrueSegmenter(stereo, space))
            for name in RANGES:
                frame = frame_with(stereo, name)
                result = detector.process(frame)
                found[name].append(result.obstacles)
                found[name + TRUE_REGIONS].append(perfect.process(frame).obstacles)
            confusion.add(stereo.labels, result.prediction.nearest)
            not_examined += not result.examined
            np.save(Path(folder) / f"{index}.npy", result.prediction.anomaly)
            np.save(Path(folder) / f"{index}.regions.npy", region_labels(stereo, result, space))
        pixels = {
            region: measure_region(Path(folder), len(seeds), place)
            for place, region in enumerate(REGIONS)
        }
    rule = MatchRule(min_visible_px=MIN_VISIBLE_PX)
    metrics = {}
    for name, obstacles in found.items():
        objects = (true_objects(one, width, height) for one in truth)
        metrics[name] = object_metrics(zip(obstacles, objects, strict=True), rule)
    return Evaluation(confusion, pixels, metrics, not_examined)


def render_ahead(
    seeds: Sequence[int], width: int, height: int, workers: int
) -> Iterator[StereoFrame]:
    """Frames of ``seeds`` in their order, at most two a worker waiting in memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, cv2.setNumThreads, (1,)) as pool:
        jobs: deque[Future[StereoFrame]] = deque()
        following = iter(seeds)
        try:
            while True:
                while len(jobs) < 2 * workers and (seed := next(following, None)) is not None:
                    jobs.append(pool.submit(render_still, seed, width, height))
                if not jobs:
                    return
                yield jobs.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def frame_with(stereo: StereoFrame, range_name: str) -> Frame:
    """The detector's input with the matcher's disparity, or with the exact one in its place."""
    frame = stereo.frame()
    if range_name == "sensor disparity":
        return frame
    sensor = stereo.sensor_disparity
    exact = DisparityMap(stereo.disparity, sensor.focal_length, sensor.baseline)
    return dataclasses.replace(frame, range_input=exact)


def true_objects(obstacles: Sequence[TrueObstacle], width: int, height: int) -> list[TrueObject]:
    """The unknown objects, at the 10th percentile of their exact Z: what the detector estimates."""
    return [TrueObject(one.full_mask(width, height), one.visible_distance) for one in obstacles]


def region_labels(stereo: StereoFrame, result: FrameResult, space: LabelSpace) -> Bytes:
    """(H, W): 0 inlier, 1 outlier, 255 ignored in the lowest bits; bit r + 1: outside region r."""
    outlier = stereo.outlier_mask
    road = np.isin(stereo.labels, [space.id_of(name) for name in ROAD_CLASSES]) | (outlier == 1)
    hull = result.ground if result.ground is not None else np.zeros(road.shape, np.bool_)
    packed: Bytes = (outlier == 1).astype(np.uint8)
    packed[outlier == UNLABELLED] = 0b1110
    packed |= np.where(road, 0, 0b0100).astype(np.uint8)
    packed |= np.where(hull, 0, 0b1000).astype(np.uint8)
    return packed


def measure_region(folder: Path, frames: int, place: int) -> dict[str, float]:
    """Pixel metrics of the region at ``place`` in ``REGIONS`` from the files of all frames."""

    def judged() -> Iterator[tuple[NDArray[np.float32], Bytes]]:
        for index in range(frames):
            packed = np.load(folder / f"{index}.regions.npy")
            labels = np.where(packed & (2 << place), UNLABELLED, packed & 1).astype(np.uint8)
            yield np.load(folder / f"{index}.npy"), labels

    return pixel_metrics_or_nan(judged())

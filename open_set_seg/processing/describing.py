"""What was found out about a frame -> the record that is kept of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from open_set_seg.bags import BagFrame
from open_set_seg.drawing import draw_overlay
from open_set_seg.frame import Frame, ImageRGB, Obstacle, Prediction
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.monitoring import DriftReport, HealthReport, Visibility, summarise
from open_set_seg.observer import Observation
from open_set_seg.processing.records import (
    HISTOGRAM_BINS,
    BandRecord,
    CameraRecord,
    DetectableRecord,
    DriftRecord,
    FrameRecord,
    ObstacleRecord,
    ProblemRecord,
    ScoreStatistics,
    VisibilityRecord,
)
from open_set_seg.tracking import TrackedObstacle


@dataclass(frozen=True, eq=False)
class ProcessedFrame:
    """A frame with all that was found out about it."""

    frame: Frame
    observation: Observation
    record: FrameRecord
    label_space: LabelSpace

    @cached_property
    def overlay(self) -> ImageRGB:
        """The image with classes, obstacles and distances, drawn once."""
        return draw_overlay(self.frame.image, self.observation.result, self.label_space)


def describe_scores(prediction: Prediction) -> ScoreStatistics:
    """The statistics of a frame's scores."""
    anomaly = prediction.anomaly
    summary = summarise(prediction)
    # The upper end is excluded by OpenCV: clipped to just below, the largest score is counted.
    clipped = np.minimum(anomaly, np.nextafter(np.float32(1), np.float32(0)))
    counts = cv2.calcHist([clipped], [0], None, [HISTOGRAM_BINS], [0.0, 1.0])
    return ScoreStatistics(
        median=summary.score_median,
        q90=summary.score_q90,
        q99=summary.score_q99,
        mean=float(anomaly.mean(dtype=np.float64)),
        maximum=float(anomaly.max()),
        threshold=float(prediction.threshold),
        unknown_share=float(np.count_nonzero(anomaly > prediction.threshold) / anomaly.size),
        class_entropy=summary.class_entropy,
        histogram=tuple(int(count) for count in counts.ravel()),
    )


def describe_obstacle(obstacle: Obstacle, label_space: LabelSpace) -> ObstacleRecord:
    """An obstacle's numbers; id and state are those of a track where it has one."""
    nearest = obstacle.nearest_classes
    track = obstacle if isinstance(obstacle, TrackedObstacle) else None
    x, y, z = obstacle.position
    left, top, width, height = obstacle.box
    return ObstacleRecord(
        id=int(obstacle.id),
        kind=obstacle.kind,
        state=track.state if track else "untracked",
        age_s=float(track.age_s) if track else 0.0,
        distance=float(obstacle.distance),
        sigma=float(obstacle.distance_sigma),
        x=float(x),
        y=float(y),
        z=float(z),
        width=float(obstacle.width),
        height=float(obstacle.height),
        valid_share=float(obstacle.valid_share),
        mean_score=float(obstacle.mean_score),
        peak_score=float(obstacle.peak_score),
        nearest_class=label_space.name_of(nearest[0][0]) if nearest else "",
        nearest_share=float(nearest[0][1]) if nearest else math.nan,
        left=int(left),
        top=int(top),
        box_width=int(width),
        box_height=int(height),
        area_px=int(obstacle.area_px),
    )


def describe_visibility(visibility: Visibility) -> VisibilityRecord:
    """The numbers of what was seen."""
    blind = set(visibility.blind_bands)
    return VisibilityRecord(
        corridor_share=visibility.corridor_share,
        range_share=visibility.range_share,
        clear_until=visibility.clear_until_m,
        bands=tuple(
            BandRecord(band.near, band.far, band.seen_share, band.range_share, band in blind)
            for band in visibility.bands
        ),
        detectable=tuple(
            DetectableRecord(size, distance)
            for size, distance in visibility.detectable_distance_m.items()
        ),
        plane_source=visibility.plane_source,
    )


def describe_camera(health: HealthReport) -> CameraRecord:
    """The numbers of the camera's health."""
    return CameraRecord(
        state=health.state,
        faults=health.faults,
        frozen_s=health.frozen.value,
        black_share=health.underexposed.value,
        white_share=health.overexposed.value,
        sharpness=health.blurred.value,
        level=health.level,
    )


def describe_drift(drift: DriftReport | None) -> DriftRecord | None:
    """The drift monitor's state in short."""
    if drift is None:
        return None
    evidence = max(drift.log10_evidence.values(), default=math.nan)
    return DriftRecord(drift.state, drift.judged, evidence, drift.log10_limit, drift.message)


def describe_frame(
    item: BagFrame,
    observation: Observation,
    label_space: LabelSpace,
    truth: Mapping[str, float] | None = None,
) -> FrameRecord:
    """The record of a frame.

    Args:
        item: as it was read.
        observation: what was found out.
        label_space: of the network.
        truth: see ``FrameRecord``.
    """
    result = observation.result
    height, width = result.prediction.labels.shape
    problems = (*item.problems, *result.problems)
    return FrameRecord(
        number=item.number,
        stamp_ns=result.stamp_ns,
        time_ns=item.time_ns,
        frame_id=result.frame_id,
        width=int(width),
        height=int(height),
        examined=bool(result.examined),
        has_range=result.range_map is not None,
        obstacles=tuple(describe_obstacle(one, label_space) for one in result.obstacles),
        missing=tuple(describe_obstacle(one, label_space) for one in observation.missing),
        scores=describe_scores(result.prediction),
        visibility=describe_visibility(observation.visibility),
        camera=describe_camera(observation.camera_health),
        drift=describe_drift(observation.drift),
        problems=tuple(ProblemRecord(one.code, one.severity, one.message) for one in problems),
        timings={name: float(seconds) for name, seconds in result.timings.items()},
        truth=truth,
    )

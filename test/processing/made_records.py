"""Records of frames that nobody saw, for reports."""

from __future__ import annotations

import math
from itertools import pairwise

from open_set_seg.processing.records import (
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

EDGES = (5.0, 10.0, 20.0)
STEP_NS = 100_000_000


def obstacle(number=1, state="confirmed", distance=10.0, **changes) -> ObstacleRecord:
    given = {
        "id": number, "kind": "unknown", "state": state, "age_s": 0.1, "distance": distance,
        "sigma": 0.1, "x": 0.0, "y": 1.0, "z": distance, "width": 0.5, "height": 0.25,
        "valid_share": 1.0, "mean_score": 0.8, "peak_score": 0.9, "nearest_class": "road",
        "nearest_share": 0.6, "left": 1, "top": 2, "box_width": 3, "box_height": 4, "area_px": 12,
    }  # fmt: skip
    return ObstacleRecord(**{**given, **changes})


def frame(place=0, obstacles=(), **changes) -> FrameRecord:
    bands = tuple(BandRecord(near, far, 0.9, 0.4, blind=True) for near, far in pairwise(EDGES))
    given = {
        "number": place,
        "stamp_ns": 10**18 + place * STEP_NS,
        "time_ns": 10**18 + place * STEP_NS,
        "frame_id": "camera",
        "width": 64,
        "height": 32,
        "examined": True,
        "has_range": True,
        "obstacles": tuple(obstacles),
        "missing": (),
        "scores": ScoreStatistics(
            0.1, 0.3, 0.6, 0.2, 0.95, 0.5, 0.02, 1.0, (*[10] * 25, *[1] * 25)
        ),
        "visibility": VisibilityRecord(
            0.9, 0.4, math.nan, bands, (DetectableRecord(0.2, 15.0),), "ranges"
        ),
        "camera": CameraRecord("ok", (), 0.0, 0.0, 0.0, math.nan, 120.0),
        "drift": None,
        "problems": (),
        "timings": {"segmentation": 0.03, "total": 0.05},
    }
    return FrameRecord(**{**given, **changes})


def nothing_known(place=0, obstacles=()) -> FrameRecord:
    """A frame without a number that could be NaN and is not."""
    nan = math.nan
    bands = tuple(BandRecord(near, far, nan, nan, blind=True) for near, far in pairwise(EDGES))
    blind = [
        obstacle(
            one.id, one.state, nan, sigma=nan, x=nan, y=nan, z=nan, width=nan, height=nan,
            mean_score=nan, peak_score=nan, nearest_class="", nearest_share=nan,
        )
        for one in obstacles
    ]  # fmt: skip
    return frame(
        place,
        blind,
        examined=False,
        has_range=False,
        scores=ScoreStatistics(nan, nan, nan, nan, nan, nan, nan, nan, (0,) * 50),
        visibility=VisibilityRecord(nan, nan, nan, bands, (DetectableRecord(0.2, nan),), None),
        camera=CameraRecord("ok", (), nan, nan, nan, nan, nan),
        drift=DriftRecord("ok", False, nan, nan, ""),
        problems=(ProblemRecord("range.missing", "warning", "no disparity came"),),
        timings={},
    )


RUN = {
    "source": "/somewhere/drive", "model": "demo.safetensors", "model_sha256": "ab" * 32,
    "score": "jsd", "threshold": 0.5, "threshold_source": "calibration",
    "promise": "With 95 % confidence, at most 5 % have a false obstacle.", "device": "cpu",
    "classes": ["road", "car"], "frames": 3, "seconds": 1.0, "frames_per_second": 3.0,
    "versions": {"python": "3"}, "settings": {"observer": {"threshold": None}}, "undecodable": [],
}  # fmt: skip

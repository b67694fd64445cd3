"""The data that travels through the pipeline: a frame goes in, a frame result comes out.

Images are RGB uint8 (H, W, 3). Geometry is in metres in the optical frame (x right, y down,
z forward) of the left camera, rectified. Stamps are integer nanoseconds and never change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ImageRGB = NDArray[np.uint8]
LabelImage = NDArray[np.uint8]
FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Camera:
    """Pinhole camera of a rectified image (the left 3x3 part of CameraInfo's P), in pixels."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera for the image resized to ``width`` x ``height``.

        Pixel centres are at integer coordinates, so c' = (c + 1/2) s - 1/2.
        """
        sx, sy = width / self.width, height / self.height
        return Camera(
            width,
            height,
            self.fx * sx,
            self.fy * sy,
            (self.cx + 0.5) * sx - 0.5,
            (self.cy + 0.5) * sy - 0.5,
        )


@dataclass(frozen=True, eq=False)
class DisparityMap:
    """A disparity image with what its sender says about it (stereo_msgs/DisparityImage).

    Attributes:
        values: (H, W) float32 pixels; invalid pixels as the sender marks them.
        focal_length: f in pixels.
        baseline: T in metres; Z = f T / d.
        min_disparity: search limits of the matcher, pixels (0 and 0: not stated).
        max_disparity: see ``min_disparity``.
        quantum: smallest step of the matcher, ``delta_d``, pixels (0: not stated).
    """

    values: FloatImage
    focal_length: float
    baseline: float
    min_disparity: float = 0.0
    max_disparity: float = 0.0
    quantum: float = 0.0


@dataclass(frozen=True, eq=False)
class DepthMap:
    """Depth along the optical axis: (H, W) float32 metres; 0, negative, NaN and Inf are invalid."""

    values: FloatImage


@dataclass(frozen=True, eq=False)
class Frame:
    """One moment: an image and, where known, the camera and a disparity or depth map.

    Attributes:
        right_baseline: baseline in metres that the right camera's CameraInfo states, if it was
            received: a second opinion on ``DisparityMap.baseline``.
    """

    image: ImageRGB
    stamp_ns: int = 0
    frame_id: str = ""
    camera: Camera | None = None
    range_input: DisparityMap | DepthMap | None = None
    right_baseline: float | None = None


@dataclass(frozen=True)
class Problem:
    """Something about an input that the user must hear of.

    Attributes:
        code: stable dotted identifier, for counters and for logging once (``disparity.baseline``).
        message: one sentence with the numbers that were seen and what to do.
        severity: ``warning``: a result is degraded; ``error``: a part of the result is refused.
    """

    code: str
    message: str
    severity: Literal["warning", "error"] = "warning"


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the segmenter says about an image of H x W pixels.

    Attributes:
        labels: (H, W) uint8, the nearest known class, or K (unknown) where ``anomaly > threshold``.
        anomaly: (H, W) float32 in [0, 1], free of NaN; higher is more anomalous.
        nearest: (H, W) uint8, the nearest known class everywhere (arg-max of the logits).
        threshold: the threshold that made ``labels``, on the published [0, 1] scale.
    """

    labels: LabelImage
    anomaly: FloatImage
    nearest: LabelImage
    threshold: float


@dataclass(frozen=True, eq=False)
class RangeMap:
    """Depth along the optical axis with its uncertainty, (H, W) float32 metres, NaN where unknown.

    Attributes:
        depth: Z.
        sigma: standard deviation of Z.
    """

    depth: FloatImage
    sigma: FloatImage


@dataclass(frozen=True, eq=False)
class Obstacle:
    """A connected region above the threshold that touches the ground region.

    Attributes:
        id: number of the obstacle in its frame, nearest first.
        kind: ``unknown``, or the class name for a chosen known class.
        distance: Z of the near face in metres; NaN where no range was measured.
        distance_sigma: standard deviation of ``distance`` in metres; NaN likewise.
        valid_share: share of the region's pixels with a valid range, [0, 1].
        position: (x, y, z) of the near face's centre, metres, optical frame; NaN likewise.
        width, height: extent in metres; NaN likewise.
        mean_score, peak_score: of the anomaly inside the region, [0, 1].
        nearest_classes: (class id, share of the region's pixels), largest share first.
        box: (left, top, width, height) in pixels.
        area_px: number of pixels.
        outline: (N, 2) int32 (column, row), the outer contour of the region.
        mask: (box height, box width) bool: the region inside ``box``.
    """

    id: int
    kind: str
    distance: float
    distance_sigma: float
    valid_share: float
    position: tuple[float, float, float]
    width: float
    height: float
    mean_score: float
    peak_score: float
    nearest_classes: tuple[tuple[int, float], ...]
    box: tuple[int, int, int, int]
    area_px: int
    outline: NDArray[np.int32]
    mask: Mask


@dataclass(frozen=True, eq=False)
class FrameResult:
    """Everything the pipeline found out about one frame.

    Attributes:
        stamp_ns, frame_id: of the image, unchanged.
        obstacles: nearest first; those of unknown distance last.
        examined: whether the frame was really searched for obstacles: an empty list means
            "clear" only when this is true (no road predicted: not examined).
        ground: (H, W) bool, the region that gates obstacles; None when it could not be found.
        range_map: None when the frame carried no usable disparity or depth.
        problems: what was wrong with the inputs, in the order in which it was noticed.
        timings: seconds by stage (``segmentation``, ``range``, ``ground``, ``obstacles``) and
            ``total``.
    """

    stamp_ns: int
    frame_id: str
    prediction: Prediction
    obstacles: tuple[Obstacle, ...]
    examined: bool
    ground: Mask | None
    range_map: RangeMap | None
    camera: Camera | None
    problems: tuple[Problem, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)

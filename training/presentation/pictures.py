"""Pictures of single frames: input, truth and score side by side."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.drawing import draw_heatmap
from open_set_seg.frame import FloatImage, ImageRGB, LabelImage
from training.datasets.frames import LabelledFrame

PANEL_WIDTH = 640
GAP = 6
OUTLIER_COLOUR = (255, 90, 0)
OPACITY = 0.55
IGNORED_LIGHT = 0.25
RINGED_PX = 14  # outliers that are smaller in the picture get a ring of this radius
MOST_RINGS = 20  # more would hide the picture
HEAT_RING_COLOUR = (255, 255, 255)


def frame_picture(
    frame: LabelledFrame,
    scores: NDArray[np.floating],
    score_range: tuple[float, float],
    panel_width: int = PANEL_WIDTH,
) -> ImageRGB:
    """Input, truth and heat-map of one frame side by side.

    In the truth, outliers are orange, small ones ringed, and ignored pixels dark; the rings are in
    the heat-map too. There (the map "inferno") dark violet is the low end of the range and yellow
    the high end, the same in all frames of a report. Where the truth is hidden its panel is
    missing.

    Args:
        frame: with its image.
        scores: (H, W), higher is more anomalous, of the image's size.
        score_range: scores of the two ends of the colour map.
        panel_width: widest panel in pixels; larger images are reduced.

    Returns:
        (h, w, 3) RGB uint8 with w <= 3 ``panel_width`` + gaps.

    Raises:
        ValueError: scores of another size, or an empty range.
    """
    if scores.shape != frame.image.shape[:2]:
        raise ValueError(f"scores of {scores.shape} for an image of {frame.image.shape[:2]}")
    low, high = score_range
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"a range of scores goes from a lower to a higher number: {score_range}")
    scaled: FloatImage = ((scores.astype(np.float32) - low) / (high - low)).astype(np.float32)
    image = _reduce(frame.image, panel_width)
    heat = _reduce(draw_heatmap(np.nan_to_num(scaled, nan=0.0)), panel_width)
    panels = [image, heat]
    if frame.outliers is not None:
        size = image.shape[1], image.shape[0]
        outliers = cv2.resize(frame.outliers, size, interpolation=cv2.INTER_NEAREST)
        small = _small_places(frame.outliers, image.shape[1] / frame.image.shape[1])
        truth = _draw_truth(image, np.asarray(outliers, np.uint8))
        panels = [image, _ring(truth, small, OUTLIER_COLOUR), _ring(heat, small, HEAT_RING_COLOUR)]
    gap = np.full((image.shape[0], GAP, 3), 255, np.uint8)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    return np.concatenate(row, axis=1)


def _draw_truth(image: ImageRGB, outliers: LabelImage) -> ImageRGB:
    """The image in grey with outliers in colour and ignored pixels dark."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey[outliers == 255] *= IGNORED_LIGHT
    picture = np.repeat(grey[..., None], 3, axis=2)
    mask = outliers == 1
    picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * np.array(OUTLIER_COLOUR, np.float32)
    drawn: ImageRGB = picture.round().astype(np.uint8)
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(drawn, contours, -1, OUTLIER_COLOUR, 1)
    return drawn


def _small_places(outliers: LabelImage, scale: float) -> list[tuple[int, int]]:
    """Centres, in the reduced picture, of outliers that are easily overlooked there."""
    mask = (outliers == 1).astype(np.uint8)
    _, _, boxes, centres = cv2.connectedComponentsWithStats(mask, connectivity=8)
    places = [
        (round(x * scale), round(y * scale))
        for (_, _, width, height, _), (x, y) in zip(boxes[1:], centres[1:], strict=True)
        if max(width, height) * scale < RINGED_PX
    ]
    return places if len(places) <= MOST_RINGS else []


def _ring(
    picture: ImageRGB, places: list[tuple[int, int]], colour: tuple[int, int, int]
) -> ImageRGB:
    ringed: ImageRGB = picture.copy()
    for place in places:
        cv2.circle(ringed, place, RINGED_PX, colour, 1, cv2.LINE_AA)
    return ringed


def _reduce(panel: ImageRGB, width: int) -> ImageRGB:
    if panel.shape[1] <= width:
        return panel
    height = max(1, round(panel.shape[0] * width / panel.shape[1]))
    return np.asarray(cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

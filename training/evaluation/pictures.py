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


def frame_picture(
    frame: LabelledFrame,
    scores: NDArray[np.floating],
    score_range: tuple[float, float],
    panel_width: int = PANEL_WIDTH,
) -> ImageRGB:
    """Input, truth and heat-map of one frame side by side.

    In the truth, outliers are orange and ignored pixels dark. In the heat-map (the map
    "inferno") dark violet is the low end of the range and yellow the high end, the same in all
    frames of a report. Where the truth is hidden its panel is missing.

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
    panels = [frame.image]
    if frame.outliers is not None:
        panels.append(_draw_truth(frame.image, frame.outliers))
    panels.append(draw_heatmap(np.nan_to_num(scaled, nan=0.0)))
    panels = [_reduce(panel, panel_width) for panel in panels]
    gap = np.full((panels[0].shape[0], GAP, 3), 255, np.uint8)
    row = [part for panel in panels for part in (panel, gap)][:-1]
    return np.concatenate(row, axis=1)


def _draw_truth(image: ImageRGB, outliers: LabelImage) -> ImageRGB:
    picture = image.astype(np.float32)
    picture[outliers == 255] *= IGNORED_LIGHT
    colour = np.array(OUTLIER_COLOUR, np.float32)
    mask = outliers == 1
    picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * colour
    drawn: ImageRGB = picture.round().astype(np.uint8)
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    thickness = max(1, round(image.shape[1] / PANEL_WIDTH))
    cv2.drawContours(drawn, contours, -1, OUTLIER_COLOUR, thickness)
    return drawn


def _reduce(panel: ImageRGB, width: int) -> ImageRGB:
    if panel.shape[1] <= width:
        return panel
    height = max(1, round(panel.shape[0] * width / panel.shape[1]))
    return np.asarray(cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

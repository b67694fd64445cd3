"""The demo's pictures: four views of a frame side by side with a legend."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.demo.recorded import RecordedFrame
from open_set_seg.drawing import colour_labels, draw_heatmap
from open_set_seg.frame import ImageRGB
from open_set_seg.label_spaces import UNKNOWN_COLOUR, UNKNOWN_NAME, Colour, LabelSpace

FONT = cv2.FONT_HERSHEY_SIMPLEX
BACKGROUND = (24, 24, 28)
TEXT = (235, 235, 235)
GAP = 6
HEAT_STEPS = 64


def draw_panels(frame: RecordedFrame, label_space: LabelSpace) -> ImageRGB:
    """Camera image, obstacles, score and segmentation of a frame, 2 x 2, with their legends."""
    height, width = frame.labels.shape
    panels = (
        (frame.truth.left, f"camera, frame {frame.number}"),
        (frame.overlay, "obstacles with distances"),
        (draw_heatmap(frame.anomaly), "anomaly score"),
        (colour_labels(frame.labels, label_space), "open-set segmentation"),
    )
    line = max(18, width // 34)
    canvas = np.full((2 * height + GAP + 2 * line, 2 * width + GAP, 3), BACKGROUND, np.uint8)
    for index, (picture, title) in enumerate(panels):
        top, left = (index // 2) * (height + GAP), (index % 2) * (width + GAP)
        canvas[top : top + height, left : left + width] = picture
        _write_title(canvas, title, left, top, line)
    _draw_legend(canvas, label_space, 2 * height + GAP, line)
    return canvas


def _write_title(canvas: NDArray[np.uint8], title: str, left: int, top: int, line: int) -> None:
    scale, thickness = _text_size(line)
    (width, _), _ = cv2.getTextSize(title, FONT, scale, thickness)
    right, bottom = left + width + line, top + line
    plate = canvas[top:bottom, left:right]
    plate[:] = plate // 4
    origin = (left + line // 2, top + round(0.72 * line))
    cv2.putText(canvas, title, origin, FONT, scale, TEXT, thickness, cv2.LINE_AA)


def _draw_legend(canvas: NDArray[Any], label_space: LabelSpace, top: int, line: int) -> None:
    """Class colours in one line and the colours of the score below it."""
    entries: list[tuple[str, Colour]] = [
        *zip(label_space.classes, label_space.colours, strict=True),
        (UNKNOWN_NAME, UNKNOWN_COLOUR),
    ]
    scale, thickness = _text_size(line)
    widths = [cv2.getTextSize(name, FONT, scale, thickness)[0][0] for name, _ in entries]
    box = round(0.6 * line)
    needed = sum(widths) + len(entries) * (box + line)
    if needed > canvas.shape[1]:  # many classes: smaller letters rather than a cut list
        scale *= canvas.shape[1] / needed
        widths = [round(width * canvas.shape[1] / needed) for width in widths]
        box = round(box * canvas.shape[1] / needed)
    step = (canvas.shape[1] - sum(widths) - len(entries) * box) // len(entries)
    left, baseline = step // 2, top + round(0.72 * line)
    for (name, colour), width in zip(entries, widths, strict=True):
        cv2.rectangle(canvas, (left, baseline - box), (left + box, baseline), colour, cv2.FILLED)
        origin = (left + box + step // 4, baseline)
        cv2.putText(canvas, name, origin, FONT, scale, TEXT, thickness, cv2.LINE_AA)
        left += box + width + step
    _draw_heat_scale(canvas, top + line, line)


def _draw_heat_scale(canvas: NDArray[Any], top: int, line: int) -> None:
    scale, thickness = _text_size(line)
    left, width = canvas.shape[1] // 4, canvas.shape[1] // 2
    ramp = draw_heatmap(np.linspace(0, 1, HEAT_STEPS, dtype=np.float32)[None])
    bar = cv2.resize(ramp, (width, line // 2), interpolation=cv2.INTER_LINEAR)
    canvas[top + line // 4 : top + line // 4 + line // 2, left : left + width] = bar
    baseline = top + round(0.72 * line)
    low, high = "score 0: as known", "1: not known at all"
    (low_width, _), _ = cv2.getTextSize(low, FONT, scale, thickness)
    for text, column in ((low, left - low_width - line // 2), (high, left + width + line // 2)):
        cv2.putText(canvas, text, (column, baseline), FONT, scale, TEXT, thickness, cv2.LINE_AA)


def _text_size(line: int) -> tuple[float, int]:
    """Hershey scale and thickness for letters that fill a line of this many pixels."""
    scale = line / 42
    return scale, max(1, round(1.6 * scale))

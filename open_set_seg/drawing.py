"""Pictures of results: what a person looks at to believe or to doubt the numbers."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.captions import caption_obstacle
from open_set_seg.frame import FloatImage, FrameResult, ImageRGB, LabelImage
from open_set_seg.label_spaces import UNKNOWN_COLOUR, UNKNOWN_NAME, LabelSpace

LABEL_OPACITY = 0.4
TEXT_COLOUR = (255, 255, 255)
PLATE_COLOUR = (0, 0, 0)
KNOWN_OUTLINE = (0, 230, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX

# (left, top, width, height) in pixels.
Box = tuple[int, int, int, int]


def draw_overlay(image: ImageRGB, result: FrameResult, label_space: LabelSpace) -> ImageRGB:
    """The camera image with class colours, outlined obstacles and their distances.

    Beside each obstacle stands its number where it is followed, its distance and standard
    deviation in metres, ``? m`` where it is unknown (``caption_obstacle``). A frame that was not
    searched says so: a picture without obstacles must not look like a clear road.

    Args:
        image: (H, W, 3) RGB uint8, the image of ``result``; not changed.
        result: what to draw.
        label_space: of ``result``.

    Returns:
        (H, W, 3) RGB uint8.
    """
    colours = colour_labels(result.prediction.labels, label_space)
    canvas = np.empty_like(image)
    cv2.addWeighted(image, 1 - LABEL_OPACITY, colours, LABEL_OPACITY, 0, dst=canvas)
    thickness = max(1, round(image.shape[1] / 640))
    for obstacle in result.obstacles:
        outline = [obstacle.outline.reshape(-1, 1, 2)]
        cv2.polylines(canvas, outline, True, PLATE_COLOUR, thickness + 2, cv2.LINE_AA)
        colour = UNKNOWN_COLOUR if obstacle.kind == UNKNOWN_NAME else KNOWN_OUTLINE
        cv2.polylines(canvas, outline, True, colour, thickness, cv2.LINE_AA)
    writer = _Writer(canvas, [obstacle.box for obstacle in result.obstacles])
    for obstacle in result.obstacles:
        left, top, width, height = obstacle.box
        writer.write(caption_obstacle(obstacle), left + width // 2, top, top + height)
    if not result.examined:
        writer.write("not searched: no road found", image.shape[1] // 2, image.shape[0] // 2, 0)
    return canvas


def draw_heatmap(anomaly: FloatImage) -> ImageRGB:
    """(H, W, 3) RGB picture of an anomaly map (H, W) in [0, 1].

    The colour range is fixed, so a colour means the same score in every frame: dark violet 0,
    yellow 1 (the map "inferno").
    """
    scaled = cv2.convertScaleAbs(np.clip(anomaly, 0.0, 1.0), alpha=255)
    return np.asarray(cv2.applyColorMap(scaled, _heat_palette()), np.uint8)


def colour_labels(labels: LabelImage, label_space: LabelSpace) -> ImageRGB:
    """(H, W, 3) RGB picture of a label image; *unlabelled* and ids without a class are black."""
    palette = np.zeros((256, 1, 3), np.uint8)
    palette[: label_space.num_classes, 0] = label_space.colours
    palette[label_space.unknown_id, 0] = UNKNOWN_COLOUR
    return np.asarray(cv2.applyColorMap(labels, palette), np.uint8)


def save_picture(path: Path, picture: ImageRGB) -> None:
    """Write an RGB picture as PNG or JPEG, by the ending of the name.

    Raises:
        OSError: it could not be written.
    """
    try:
        written = cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    except cv2.error:  # an ending that OpenCV does not know
        written = False
    if not written:
        raise OSError(f"the picture {path} could not be written")


@functools.cache
def _heat_palette() -> NDArray[np.uint8]:
    """(256, 1, 3) RGB."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    bgr = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


class _Writer:
    """Writes captions on dark plates that stay inside the image, off each other and off boxes."""

    def __init__(self, canvas: NDArray[np.uint8], boxes: list[Box]) -> None:
        self._canvas = canvas
        self._boxes = boxes
        self._taken: list[Box] = []
        self._scale = max(0.4, canvas.shape[1] / 1600)
        self._thickness = max(1, round(1.6 * self._scale))

    def write(self, text: str, centre: int, above: int, below: int) -> None:
        """Write a caption centred on a column, over row ``above`` or under row ``below``."""
        # Hershey fonts know ASCII only: the sign is drawn as a plus with a line beneath.
        plain = text.replace("±", "+")
        (width, height), baseline = cv2.getTextSize(plain, FONT, self._scale, self._thickness)
        pad = max(2, baseline // 2)
        box_width, box_height = width + 2 * pad, height + baseline + pad
        left, top = self._place(centre, above, below, box_width, box_height)
        right, bottom = left + box_width, top + box_height
        cv2.rectangle(self._canvas, (left, top), (right, bottom), PLATE_COLOUR, cv2.FILLED)
        origin = (left + pad, top + pad + height)
        cv2.putText(
            self._canvas, plain, origin, FONT, self._scale, TEXT_COLOUR, self._thickness,
            cv2.LINE_AA,
        )  # fmt: skip
        if "±" in text:
            self._underline_plus(text, origin, baseline)

    def _underline_plus(self, text: str, origin: tuple[int, int], baseline: int) -> None:
        before = text[: text.index("±")]
        (start, _), _ = cv2.getTextSize(before, FONT, self._scale, self._thickness)
        (end, _), _ = cv2.getTextSize(before + "+", FONT, self._scale, self._thickness)
        row = origin[1] + baseline // 4
        inset = max(1, (end - start) // 6)
        cv2.line(
            self._canvas, (origin[0] + start + inset, row), (origin[0] + end - inset, row),
            TEXT_COLOUR, self._thickness, cv2.LINE_AA,
        )  # fmt: skip

    def _place(
        self, centre: int, above: int, below: int, width: int, height: int
    ) -> tuple[int, int]:
        """A free place near the wanted one: over the obstacle, then under it, then further up."""
        image_height, image_width = self._canvas.shape[:2]
        left = min(max(0, centre - width // 2), max(0, image_width - 1 - width))
        tops = [above - height - 2, below + 2]
        tops += [above - (2 + step) * (height + 1) for step in range(8)]
        tops += [below + (1 + step) * (height + 1) for step in range(8)]
        inside = [top for top in tops if 0 <= top < image_height - height]
        readable = [top for top in inside if not _meets((left, top, width, height), self._taken)]
        clear = [top for top in readable if not _meets((left, top, width, height), self._boxes)]
        somewhere = [max(0, min(above, image_height - 1 - height))]
        top = (clear or readable or inside or somewhere)[0]
        self._taken.append((left, top, width, height))
        return left, top


def _meets(box: Box, others: list[Box]) -> bool:
    left, top, width, height = box
    return any(
        left < other_left + other_width
        and other_left < left + width
        and top < other_top + other_height
        and other_top < top + height
        for other_left, other_top, other_width, other_height in others
    )

"""Small pictures of confirmed obstacles, taken while a recording is processed.

Of every obstacle the best moment so far is kept: an obstacle that came nearer is larger and says
more. Numbers and bytes are bounded, however many obstacles there are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from open_set_seg.drawing import draw_heatmap
from open_set_seg.files import write_whole
from open_set_seg.frame import FrameResult, ImageRGB
from open_set_seg.label_spaces import UNKNOWN_COLOUR
from open_set_seg.processing.json_form import from_json, to_json
from open_set_seg.tracking import TrackedObstacle

FOLDER = "thumbnails"
INDEX = "thumbnails.json"
FORMAT_VERSION = 1
MOST_THUMBNAILS = 60
WIDTH, HEIGHT = 264, 176
QUALITY = 80
OTHERS = (255, 255, 255)  # outlines of other obstacles
CONTEXT = 3.0  # the picture is so many times as large as the obstacle
SMALLEST = 96  # pixels of the image across a picture, at least
# A moment must be better by so much to be worth another encoding.
BETTER = 1.2
# An obstacle that the image's edge cuts says less.
CUT = 0.5


class AlbumError(ValueError):
    """A folder of thumbnails cannot be read; the message says why."""


@dataclass(frozen=True)
class Moment:
    """The best moment of an obstacle.

    Attributes:
        id: of the obstacle; ``frame``: number of the frame.
        worth: the larger, the more is seen.
        distance: then, metres; NaN where unknown.
    """

    id: int
    frame: int
    worth: float
    distance: float


@dataclass(frozen=True)
class Thumbnail:
    """A moment with its pictures.

    Attributes:
        moment: when it was.
        picture: JPEG of the image around the obstacle, which is outlined; others in white.
        heatmap: JPEG of the scores there.
    """

    moment: Moment
    picture: bytes
    heatmap: bytes


class Album:
    """Collects thumbnails of the confirmed obstacles of one recording.

    When there are more than ``most``, those of the nearest obstacles are kept.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = MOST_THUMBNAILS) -> None:
        self._most = most
        self._kept: dict[int, Thumbnail] = {}
        self._nearest: dict[int, float] = {}

    def add(self, number: int, image: ImageRGB, result: FrameResult) -> None:
        """Look at the obstacles of a frame.

        Args:
            number: of the frame.
            image: (H, W, 3) that ``result`` is of.
        """
        for obstacle in result.obstacles:
            if not isinstance(obstacle, TrackedObstacle) or obstacle.state != "confirmed":
                continue
            moment = Moment(obstacle.id, number, _worth(obstacle, image), obstacle.distance)
            known = self._kept.get(obstacle.id)
            distance = math.inf if math.isnan(obstacle.distance) else obstacle.distance
            if known is not None:
                self._nearest[obstacle.id] = min(self._nearest[obstacle.id], distance)
                if moment.worth <= BETTER * known.moment.worth:
                    continue
            elif len(self._kept) >= self._most and distance >= max(self._nearest.values()):
                continue
            self._kept[obstacle.id] = _photograph(moment, obstacle, image, result)
            self._nearest.setdefault(obstacle.id, distance)
            if len(self._kept) > self._most:
                farthest = max(self._nearest, key=lambda one: (self._nearest[one], one))
                del self._kept[farthest], self._nearest[farthest]

    @property
    def thumbnails(self) -> Mapping[int, Thumbnail]:
        """By id of the obstacle, rising."""
        return dict(sorted(self._kept.items()))

    def save(self, folder: Path) -> None:
        """Write the pictures into ``folder/thumbnails``; nothing where there are none."""
        if not self._kept:
            return
        place = folder / FOLDER
        place.mkdir(exist_ok=True)
        for number, one in self.thumbnails.items():
            write_whole(place / f"{number}.jpg", one.picture)
            write_whole(place / f"{number}_heatmap.jpg", one.heatmap)
        moments = [to_json(one.moment) for one in self.thumbnails.values()]
        content = {"format_version": FORMAT_VERSION, "moments": moments}
        write_whole(place / INDEX, json.dumps(content, indent=1) + "\n")


def load_thumbnails(folder: Path) -> Mapping[int, Thumbnail]:
    """What ``Album.save`` wrote, by id; pictures that are gone are left out.

    Raises:
        AlbumError: an index of another kind.
    """
    path = folder / FOLDER / INDEX
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise ValueError(f"format {content['format_version']}, expected {FORMAT_VERSION}")
        moments = [from_json(Moment, one, "moment") for one in content["moments"]]
    except (ValueError, KeyError, TypeError) as error:
        raise AlbumError(f"{path}: {error}") from None
    found = {}
    for moment in moments[:MOST_THUMBNAILS]:
        files = [path.with_name(f"{moment.id}{end}.jpg") for end in ("", "_heatmap")]
        if all(file.is_file() for file in files):
            found[moment.id] = Thumbnail(moment, files[0].read_bytes(), files[1].read_bytes())
    return found


def _worth(obstacle: TrackedObstacle, image: ImageRGB) -> float:
    left, top, width, height = obstacle.box
    cut = left <= 0 or top <= 0 or left + width >= image.shape[1] or top + height >= image.shape[0]
    return obstacle.area_px * max(obstacle.mean_score, 1e-3) * (CUT if cut else 1.0)


def _photograph(
    moment: Moment, obstacle: TrackedObstacle, image: ImageRGB, result: FrameResult
) -> Thumbnail:
    left, top, width, height = _window(obstacle.box, image.shape[1], image.shape[0])
    area = (slice(top, top + height), slice(left, left + width))
    picture = cv2.resize(image[area], (WIDTH, HEIGHT), interpolation=_interpolation(width))
    scale = np.array([WIDTH / width, HEIGHT / height])
    for other in result.obstacles:
        points = (other.outline.reshape(-1, 2) + 0.5 - (left, top)) * scale
        contour = [np.rint(points).astype(np.int32).reshape(-1, 1, 2)]
        own = other is obstacle
        cv2.polylines(picture, contour, True, (0, 0, 0), 4 if own else 2, cv2.LINE_AA)
        colour = UNKNOWN_COLOUR if own else OTHERS
        cv2.polylines(picture, contour, True, colour, 2 if own else 1, cv2.LINE_AA)
    heat = draw_heatmap(np.ascontiguousarray(result.prediction.anomaly[area]))
    heat = np.asarray(cv2.resize(heat, (WIDTH, HEIGHT), interpolation=_interpolation(width)))
    return Thumbnail(moment, _encode(np.asarray(picture)), _encode(heat))


def _window(
    box: tuple[int, int, int, int], image_width: int, image_height: int
) -> tuple[int, int, int, int]:
    """Left, top, width, height of the part of the image to show, inside it and of its shape.

    Where the image is smaller than the picture's shape asks for, the picture is stretched.
    """
    left, top, width, height = box
    across = max(CONTEXT * width, CONTEXT * height * WIDTH / HEIGHT, SMALLEST)
    columns = min(image_width, round(across))
    rows = min(image_height, max(1, round(columns * HEIGHT / WIDTH)))
    start = min(max(0, left + width // 2 - columns // 2), image_width - columns)
    first = min(max(0, top + height // 2 - rows // 2), image_height - rows)
    return start, first, columns, rows


def _interpolation(width: int) -> int:
    return cv2.INTER_AREA if width > WIDTH else cv2.INTER_LINEAR


def _encode(picture: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    if not done:
        raise OSError("a thumbnail could not be encoded as JPEG")
    return bytes(data.tobytes())

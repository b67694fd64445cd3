"""Data sets in the COCO panoptic format: a list of segments an image, and a PNG of segment ids."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB, LabelImage
from open_set_seg.label_spaces import UNLABELLED, LabelSpace
from training.datasets.codes import CodeTable
from training.datasets.files import read_panoptic
from training.datasets.frames import CorruptFileError, DatasetError, LabelledFrame
from training.datasets.paired import list_images, require_size, require_unique

SEGMENT_IDS = 1 << 24


@dataclass(frozen=True)
class Annotation:
    """What the JSON file says of one image.

    Attributes:
        file_name: of the PNG with the segment ids.
        segments: id and category of every segment, (N, 2) int64.
    """

    file_name: str
    segments: NDArray[np.int64]

    @property
    def categories(self) -> set[int]:
        """Of all segments."""
        return set(self.segments[:, 1].tolist())


@dataclass(frozen=True)
class PanopticFiles:
    """Where one frame lies, and what it shows.

    Attributes:
        id: of the frame.
        image: file.
        segment_ids: PNG file.
        annotation: its segments.
    """

    id: str
    image: Path
    segment_ids: Path
    annotation: Annotation


class PanopticDataset:
    """Frames with segments; see ``Dataset`` for its interface.

    Args:
        name: key in ``DATASETS``.
        label_space: of the labels.
        files: of all frames, in any order; they are sorted by id.
        labels: category to id of the label space, ``unknown_id`` for an outlier, 255 for ignored.
        read_image: reads an image file.

    Raises:
        DatasetError: no frames, or an id twice.
    """

    def __init__(
        self,
        name: str,
        label_space: LabelSpace,
        files: Sequence[PanopticFiles],
        labels: Mapping[int, int],
        read_image: Callable[[Path], ImageRGB],
    ) -> None:
        self.name = name
        self.label_space = label_space
        self.files = tuple(sorted(files, key=lambda each: each.id))
        self.ids = tuple(each.id for each in self.files)
        require_unique(self.ids)
        self._labels = dict(labels)
        self._outliers = CodeTable(
            {**dict.fromkeys(range(label_space.num_classes), 0), label_space.unknown_id: 1},
            [UNLABELLED],
        )
        self._read_image = read_image

    def load(self, index: int) -> LabelledFrame:
        """The frame at ``index``.

        Raises:
            CorruptFileError: a file that cannot be read, a segment that the JSON file does not
                list, or a size that is not that of the image.
        """
        files = self.files[index]
        image = self._read_image(files.image)
        segment_ids = read_panoptic(files.segment_ids)
        require_size(image, segment_ids, files.segment_ids)
        labels = translate_segments(
            segment_ids, files.annotation.segments, self._labels, files.segment_ids
        )
        outliers = self._outliers.translate(labels, files.segment_ids)
        return LabelledFrame(files.id, image, labels, outliers)


def translate_segments(
    segment_ids: NDArray[np.uint32],
    segments: NDArray[np.int64],
    labels: Mapping[int, int],
    path: Path,
) -> LabelImage:
    """Labels (H, W) of segment ids (H, W); id 0 is unlabelled unless it is listed.

    Raises:
        CorruptFileError: ids that ``segments`` does not list; names ``path``.
    """
    # Only the touched pages of this table take memory, so it costs less than a search.
    table = np.zeros(SEGMENT_IDS, dtype=np.uint16)
    table[0] = UNLABELLED + 1
    table[segments[:, 0]] = [labels[category] + 1 for category in segments[:, 1].tolist()]
    found = table[segment_ids]
    if not found.all():
        strange = np.unique(segment_ids[found == 0])
        raise CorruptFileError(
            path, f"{len(strange)} segment ids that are not listed, first {strange[0]}"
        )
    return (found - 1).astype(np.uint8)


def read_annotations(path: Path) -> tuple[dict[int, str], list[Annotation]]:
    """Category names by id, and the annotations of all images.

    Raises:
        DatasetError: not such a file, or a segment of a category or with an id that cannot be.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        names = {int(each["id"]): str(each["name"]) for each in content["categories"]}
        annotations = [_annotation(each, names, path) for each in content["annotations"]]
    except DatasetError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path}: COCO panoptic annotations expected ({error!r})") from None
    return names, annotations


def pair_files(
    images: Path, segment_ids: Path, annotations: Sequence[Annotation]
) -> list[PanopticFiles]:
    """Images with their annotations, paired by the names without suffix.

    Raises:
        DatasetError: a folder is missing, or files are.
    """
    by_stem = {image.stem: image for image in list_images(images)}
    if not segment_ids.is_dir():
        raise DatasetError(f"{segment_ids}: no such folder")
    files, missing = [], []
    for annotation in annotations:
        png = segment_ids / annotation.file_name
        image = by_stem.get(png.stem)
        if image is None:
            missing.append(images / png.stem)
        elif not png.is_file():
            missing.append(png)
        else:
            files.append(PanopticFiles(png.stem, image, png, annotation))
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(annotations)} images or PNGs are missing, first {missing[0]}"
        )
    return files


def _annotation(content: Any, names: Mapping[int, str], path: Path) -> Annotation:
    file_name = str(content["file_name"])
    segments = [(int(each["id"]), int(each["category_id"])) for each in content["segments_info"]]
    for segment, category in segments:
        if category not in names:
            raise DatasetError(f"{path}: {file_name} has a segment of unknown category {category}")
        if not 0 <= segment < SEGMENT_IDS:
            raise DatasetError(f"{path}: {file_name} has a segment with the id {segment}")
    return Annotation(file_name, np.array(segments, dtype=np.int64).reshape(-1, 2))

"""The known classes: a ``Measure`` around the confusion matrices of all frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics.image_confusions import ImageConfusions, mean_ious
from training.evaluation.measures import intervals_of
from training.evaluation.seen import SeenFrame


@dataclass(frozen=True)
class ClosedSet:
    """The confusion of known classes; outliers are not counted."""

    label_space: LabelSpace
    resamples: int = 0

    @property
    def key(self) -> str:
        """See ``Measure``."""
        return "closed_set"

    def begin(self) -> ImageConfusions:
        """See ``Measure``."""
        return ImageConfusions(self.label_space.num_classes)

    def load(self, folder: Path) -> ImageConfusions:
        """See ``Measure``."""
        return ImageConfusions.load(folder)

    def add(self, confusions: ImageConfusions, seen: SeenFrame) -> None:
        """See ``Measure``."""
        confusions.add(seen.frame.id, seen.labels, seen.nearest)

    def report(self, confusions: ImageConfusions, result: dict[str, Any]) -> None:
        """See ``Measure``."""
        confusion, classes = confusions.total(), self.label_space.classes

        def statistics(weights: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
            counts = confusions.resampled(weights)
            each = {name: mean_ious(counts, [label]) for label, name in enumerate(classes)}
            return confusions.statistics(weights) | each

        result["closed_set"] = {
            "mIoU": confusion.mean_iou(),
            "pixel_accuracy": confusion.pixel_accuracy(),
            "class_IoU": dict(zip(classes, confusion.class_iou().tolist(), strict=True)),
            "intervals": intervals_of(statistics, len(confusions.ids), self.resamples),
        }

"""What is measured on which frames: a protocol on a data set, and the measures that follow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from open_set_seg.label_spaces import LabelSpace
from open_set_seg.metrics import component_threshold
from open_set_seg.metrics.protocols import Protocol
from training.datasets.frames import Dataset
from training.evaluation.confusions import ClosedSet
from training.evaluation.distances import PixelsByDistance, ResampledDistance
from training.evaluation.measures import FramePixels, PooledPixels, ResampledPixels
from training.evaluation.obstacles import CONDITIONS, NotExamined, Obstacles
from training.evaluation.second_look import Components, FoldThreshold, OpenSet
from training.evaluation.seen import PREDICTED_REGIONS
from training.evaluation.work_folder import Measure
from training.sources import Source

# Bytes for the counts of one process between two chunks; what is beyond lies in scratch files.
MEMORY = 2**30


@dataclass(frozen=True)
class Plan:
    """One evaluation, whatever it is that is evaluated.

    Attributes:
        protocol_name: key in ``PROTOCOLS``.
        protocol: its rules.
        dataset_name: key in ``DATASETS``.
        title: of the data set.
        split: of the data set.
        open: the data set by the number of the run.
        repeats: how many runs are measured.
        bootstrap: resamples of the images for intervals; 0: no intervals.
        options: of the data set, where it has any; JSON values.
    """

    protocol_name: str
    protocol: Protocol
    dataset_name: str
    title: str
    split: str
    open: Callable[[int], Dataset]
    repeats: int = 1
    bootstrap: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def settings(self, dataset: Dataset) -> dict[str, Any]:
        """JSON values that tell this plan from any other."""
        ids = json.dumps(list(dataset.ids)).encode()
        return {
            "protocol": self.protocol_name,
            "rules": asdict(self.protocol),
            "dataset": self.dataset_name,
            "split": self.split,
            "options": dict(self.options),
            "frames": {"count": len(dataset.ids), "ids_sha256": hashlib.sha256(ids).hexdigest()},
            "repeats": self.repeats,
            "bootstrap": self.bootstrap,
        }


@dataclass(frozen=True)
class Measurable:
    """What of a protocol can be measured, with a source whose classes may be others or none.

    Attributes:
        classes: whether the source's classes are those of the data set.
        regions: parts of the image that can be measured.
        left_out: what cannot, one sentence each.
    """

    classes: bool
    regions: tuple[str, ...]
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, protocol: Protocol, source: Source, truth: LabelSpace | None) -> Measurable:
        """Compare what the protocol wants with what the source and the data set have."""
        left_out = []
        found = source.label_space
        same = found is not None and truth is not None and found.classes == truth.classes
        wants_classes = protocol.closed_set or protocol.open_set is not None
        if wants_classes and not same:
            knows = "knows no classes" if found is None else f"knows the classes of {found.name}"
            needed = "no classes" if truth is None else f"those of {truth.name}"
            left_out.append(
                f"closed and open mIoU were not measured: {source.name} {knows}, the data set has "
                f"{needed}"
            )
        if protocol.objects and not (source.has_threshold and same):
            left_out.append(
                f"obstacles were not measured: {source.name} is no checkpoint with a threshold"
            )
        regions = tuple(r for r in protocol.regions if r not in PREDICTED_REGIONS or found)
        left_out += [
            f"{region} was not measured: {source.name} predicts no ground"
            for region in protocol.regions
            if region not in regions
        ]
        return cls(same, regions, tuple(left_out))


def first_measures(plan: Plan, source: Source, truth: LabelSpace | None) -> list[Measure]:
    """Everything that one look at every frame can measure, and the thresholds for a second."""
    protocol, can = plan.protocol, Measurable.of(plan.protocol, source, truth)
    by_image = protocol.pixels.pooling == "images"
    resamples = plan.bootstrap if plan.repeats == 1 else 0
    groups = protocol.open_set.groups if protocol.open_set is not None and can.classes else ()
    exact = len(can.regions) + (protocol.distance is not None) + len(groups)
    memory = MEMORY // (len(source.scores) * max(exact, 1))
    measures: list[Measure] = []
    for score in source.scores:
        for place, region in enumerate(can.regions):
            measures.append(PooledPixels(score, region, protocol.pixels, not by_image, memory))
            if place == 0 or by_image:
                measures.append(FramePixels(score, region, protocol.pixels, by_image, resamples))
            if resamples and not by_image:
                measures.append(ResampledPixels(score, region, protocol.pixels, resamples))
        if protocol.distance is not None:
            measures.append(PixelsByDistance(score, protocol.distance, protocol.pixels, memory))
            if resamples:
                measures.append(
                    ResampledDistance(score, protocol.distance, protocol.pixels, resamples)
                )
        if protocol.open_set is not None:
            measures += [FoldThreshold(score, group, protocol.open_set, memory) for group in groups]
    if can.classes and protocol.closed_set and truth is not None:
        measures.append(ClosedSet(truth, resamples))
    if can.classes and protocol.objects and source.has_threshold:
        measures += [Obstacles(condition, resamples) for condition in CONDITIONS]
        measures.append(NotExamined())
    return measures


def second_measures(
    plan: Plan, source: Source, truth: LabelSpace | None, first: Mapping[str, Any]
) -> list[Measure]:
    """What needs a threshold that the first look found.

    Args:
        first: result of the first look.
    """
    protocol, can = plan.protocol, Measurable.of(plan.protocol, source, truth)
    resamples = plan.bootstrap if plan.repeats == 1 else 0
    measures: list[Measure] = []
    for score in source.scores:
        if protocol.components is not None:
            best = first["scores"][score]["pixels"][can.regions[0]]["best_F1_threshold"]
            if best is not None and best == best:
                threshold = component_threshold(best, protocol.pixels)
                measures.append(Components(score, protocol.components, threshold, resamples))
        if protocol.open_set is not None and can.classes and truth is not None:
            thresholds = first["thresholds"][score]
            if len(thresholds) == len(protocol.open_set.groups):
                measures.append(OpenSet(score, protocol.open_set, truth, thresholds, resamples))
    return measures


def has_second_look(plan: Plan, source: Source, truth: LabelSpace | None) -> bool:
    """Whether the protocol measures anything that needs a second look."""
    can = Measurable.of(plan.protocol, source, truth)
    return plan.protocol.components is not None or (
        plan.protocol.open_set is not None and can.classes
    )

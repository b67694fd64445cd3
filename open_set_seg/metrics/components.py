"""Connected components: how well whole outliers are found (SegmentMeIfYouCan's SegEval).

``component_matching`` finds the components with their sIoU and precision. For each tau of 0.25,
0.30, ..., 0.75: TP, FN = true components of sIoU >= tau, < tau; FP = predicted components of
precision < tau. Source: Chan et al., SegmentMeIfYouCan (NeurIPS 2021), section 3 and its code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from open_set_seg.metrics.component_matching import (
    FrameComponents,
    Labels,
    Scores,
    find_components,
)
from open_set_seg.metrics.pixels import pixel_metrics
from open_set_seg.metrics.protocols import PROTOCOLS, ComponentRule, PixelRule

if TYPE_CHECKING:
    from typing_extensions import Self

TAUS = tuple(step / 20 for step in range(5, 16))
# As the benchmark computes them, so that its figures come out also where a component lies on a
# limit: that of 0.60 is a hair above it, and 3 of 5 pixels do not reach it.
LIMITS = np.array([0.25 + 0.05 * step for step in range(11)])
FILE = "components.json"


@dataclass(frozen=True)
class TauCounts:
    """Counts of all frames at one tau; F1 is NaN if there is nothing true and nothing predicted."""

    tau: float
    TP: int
    FP: int
    FN: int
    F1: float


class ComponentCounts:
    """Components of many frames.

    Args:
        rule: the smallest components that count.

    Attributes:
        frames: what was found in each frame, by its id.
    """

    def __init__(self, rule: ComponentRule) -> None:
        self.rule = rule
        self.frames: dict[str, FrameComponents] = {}

    def add(self, image_id: str, scores: Scores, labels: Labels, threshold: float) -> None:
        """Judge a frame.

        Args:
            image_id: unique; the frames are kept and summed in the order of their ids.
            scores: (H, W), higher is more anomalous.
            labels: (H, W), 0 inlier, 1 outlier, 255 void.
            threshold: a pixel is predicted iff its score is strictly greater.

        Raises:
            ValueError: an id that was added before, shapes that differ, labels other than 0, 1 and
                255, a score that is NaN on a pixel that is not void, or a threshold that is NaN.
        """
        if image_id in self.frames:
            raise ValueError(f"the components of image {image_id!r} were counted before")
        self.frames[image_id] = find_components(scores, labels, threshold, self.rule)

    def merge(self, other: Self) -> None:
        """Take in the frames of another counter.

        Raises:
            ValueError: another rule, or a frame that both have.
        """
        if other.rule != self.rule:
            raise ValueError(f"components counted by {other.rule} do not add to {self.rule}")
        twice = self.frames.keys() & other.frames.keys()
        if twice:
            raise ValueError(f"the components of image {min(twice)!r} were counted twice")
        self.frames.update(other.frames)

    def save(self, folder: Path) -> None:
        """Write everything into an empty folder."""
        frames = {
            name: {"true": frame.true, "predicted": frame.predicted}
            for name, frame in self._sorted()
        }
        rule = {
            "min_predicted_px": self.rule.min_predicted_px,
            "min_true_px": self.rule.min_true_px,
        }
        text = json.dumps({"rule": rule, "frames": frames})
        (folder / FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what ``save`` wrote."""
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        counts = cls(ComponentRule(**content["rule"]))
        for name, frame in content["frames"].items():
            true, predicted = (
                tuple((int(part), int(whole)) for part, whole in frame[key])
                for key in ("true", "predicted")
            )
            counts.frames[name] = FrameComponents(true, predicted)
        return counts

    def metrics(self) -> dict[str, float]:
        """``sIoU_gt``, ``PPV`` and ``mean_F1`` of all frames together, in [0, 1].

        sIoU_gt is the mean sIoU of all true components, PPV the mean precision of all predicted
        ones, mean_F1 the mean of F1 = 2 TP / (2 TP + FN + FP) over the taus. What has no component
        to speak of is NaN: sIoU_gt without a true one, PPV without a predicted one, mean_F1
        without either. With true components and no predicted one mean_F1 and sIoU_gt are 0.
        """
        frames = self.frames.values()
        return {
            "sIoU_gt": _mean([value for frame in frames for value in frame.siou]),
            "PPV": _mean([value for frame in frames for value in frame.precision]),
            "mean_F1": _mean([counts.F1 for counts in self.by_tau()]),
        }

    def by_tau(self) -> tuple[TauCounts, ...]:
        """TP, FP, FN and F1 at every tau, over all frames together."""
        totals = np.sum([_count(frame) for frame in self.frames.values()], axis=0, dtype=np.int64)
        rows = totals.T.tolist() if self.frames else [[0, 0, 0]] * len(TAUS)
        return tuple(
            TauCounts(tau, tp, fp, fn, 2 * tp / (2 * tp + fn + fp) if tp + fn + fp else math.nan)
            for tau, (tp, fp, fn) in zip(TAUS, rows, strict=True)
        )

    @property
    def ids(self) -> list[str]:
        """Of the frames, sorted: the order of the columns of ``statistics``' weights."""
        return sorted(self.frames)

    def statistics(self, weights: NDArray[np.integer[Any]]) -> dict[str, NDArray[np.float64]]:
        """``metrics`` of B resamples of the frames, for bootstrap intervals.

        Args:
            weights: (B, n), how often each frame of ``ids`` is drawn.

        Returns:
            (B,) by metric; NaN as in ``metrics``.
        """
        frames = [frame for _, frame in self._sorted()]
        if weights.ndim != 2 or weights.shape[1] != len(frames) or not frames:
            raise ValueError(f"weights of shape {weights.shape} for {len(frames)} frames")
        siou = np.array([(math.fsum(frame.siou), len(frame.true)) for frame in frames])
        precision = np.array(
            [(math.fsum(frame.precision), len(frame.predicted)) for frame in frames]
        )
        counts = np.array([_count(frame) for frame in frames]).reshape(len(frames), -1)
        tp, fp, fn = np.moveaxis((weights @ counts).reshape(len(weights), 3, len(TAUS)), 1, 0)
        return {
            "sIoU_gt": _ratio(*(weights @ siou).T),
            "PPV": _ratio(*(weights @ precision).T),
            "mean_F1": _ratio(2 * tp, 2 * tp + fp + fn).mean(axis=1),
        }

    def _sorted(self) -> list[tuple[str, FrameComponents]]:
        return [(name, self.frames[name]) for name in self.ids]


def component_threshold(best_f1_threshold: float, rule: PixelRule) -> float:
    """The threshold for components that belongs to the best pixel F1.

    The pixel F1 counts scores that *reach* a threshold, the components those strictly above it. On
    the exact curve, where thresholds are scores, the pixels of that very score would get lost, and
    of a map of 0 and 1 all of them; so the result lies just below. SegmentMeIfYouCan's own binned
    thresholds lie between scores as a rule, and its code takes them as they are; so does this.
    """
    if rule.curve == "smiyc_binned":
        return best_f1_threshold
    return math.nextafter(best_f1_threshold, -math.inf)


def component_metrics(
    frames: Iterable[tuple[Scores, Labels]],
    protocol: str = "smiyc_anomaly",
    threshold: float | None = None,
) -> dict[str, float]:
    """sIoU_gt, PPV and mean_F1 of an anomaly score (higher is more anomalous); see the module.

    Args:
        frames: (scores, labels) of equal shape per frame; labels 0 inlier, 1 outlier, 255 void.
        protocol: key of ``PROTOCOLS`` with a rule for components.
        threshold: a pixel is predicted iff its score is strictly greater. None: that of the best
            pixel F1 of the same frames, which are then read twice.

    Returns:
        Fractions; NaN as ``ComponentCounts.metrics`` says.

    Raises:
        ValueError: a protocol without components, no threshold and frames that can be read only
            once, or frames that ``ComponentCounts.add`` or ``pixel_metrics`` refuse.
    """
    rules = PROTOCOLS.get(protocol)
    if rules is None or rules.components is None:
        having = ", ".join(name for name, one in PROTOCOLS.items() if one.components)
        raise ValueError(f"component metrics are defined under {having}, not under {protocol!r}")
    if threshold is None:
        if iter(frames) is frames:
            raise ValueError(
                "frames are read twice, for the threshold and for the components: pass a list or "
                "another iterable that starts anew, not an iterator, or pass a threshold"
            )
        best = pixel_metrics(frames, rules.pixels)["best_F1_threshold"]
        threshold = component_threshold(best, rules.pixels)
    counts = ComponentCounts(rules.components)
    for index, (scores, labels) in enumerate(frames):
        counts.add(f"{index:09d}", scores, labels, threshold)
    return counts.metrics()


def _count(frame: FrameComponents) -> NDArray[np.int64]:
    """(3, taus) TP, FP, FN."""
    found = np.count_nonzero(np.array(frame.siou) >= LIMITS[:, None], axis=1)
    false = np.count_nonzero(np.array(frame.precision) < LIMITS[:, None], axis=1)
    return np.array([found, false, len(frame.true) - found], np.int64)


def _mean(values: list[float]) -> float:
    """Rounded once, so independent of the order."""
    return math.fsum(values) / len(values) if values else math.nan


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    quotient = np.full(part.shape, np.nan)
    np.divide(part, whole, out=quotient, where=whole > 0)
    return quotient

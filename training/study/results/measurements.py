"""What is measured of one network on the study's scenes; the form of ``measured`` in a result.

Figures are fractions, never percentages; NaN (``null`` in the file) where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from training.study.results.reading import ResultError, keep

Families = Literal["development", "sealed"]
REGIONS = ("whole", "road")
RESAMPLED = ("AP", "FPR95")


@dataclass(frozen=True)
class Detection:
    """How well a score finds unknown pixels in a region; fractions."""

    AP: float
    FPR95: float
    AUROC: float
    best_F1: float

    def __post_init__(self) -> None:
        require_shares("AP, FPR95, AUROC, best_F1", vars(self).values(), missing=False)


@dataclass(frozen=True)
class ClosedSet:
    """Quality on the known classes; the IoU of a class that never occurs is NaN."""

    mIoU: float
    class_iou: Mapping[str, float]

    def __post_init__(self) -> None:
        require_shares("mIoU", [self.mIoU], missing=False)
        require_shares("class_iou", self.class_iou.values())


@dataclass(frozen=True)
class Resampled:
    """Figures of resamples of the images.

    Attributes:
        seed: of the draws, which all arms and seeds share.
        count: of resamples.
        mIoU: (count,).
        scores: by score, region and metric (AP, FPR95), (count,) each.
    """

    seed: int
    count: int
    mIoU: tuple[float, ...] = keep(digits=6)
    scores: Mapping[str, Mapping[str, Mapping[str, tuple[float, ...]]]] = keep(digits=6)

    def __post_init__(self) -> None:
        lists = {"mIoU": self.mIoU}
        for score, regions in self.scores.items():
            require_keys(f"scores.{score}", regions, REGIONS)
            for region, metrics in regions.items():
                require_keys(f"scores.{score}.{region}", metrics, RESAMPLED)
                lists |= {f"scores.{score}.{region}.{key}": one for key, one in metrics.items()}
        for name, values in lists.items():
            if len(values) != self.count:
                raise ResultError(f"{name} has {len(values)} of {self.count} resamples")
            require_shares(name, values, missing=False)


@dataclass(frozen=True)
class Stratum:
    """A part of the unknown objects against known pixels of the road.

    Attributes:
        AP, FPR95: NaN where the stratum has no pixels.
        objects: how many are in it.
        positives: their pixels.
    """

    AP: float
    FPR95: float
    objects: int
    positives: int

    def __post_init__(self) -> None:
        require_shares("AP, FPR95", [self.AP, self.FPR95])


@dataclass(frozen=True)
class Band(Stratum):
    """Objects between two distances in metres, or sizes in pixels; NaN for no limit."""

    low: float = keep("from")
    high: float = keep("to")


@dataclass(frozen=True)
class Strata:
    """One score by distance, size, family, and for objects in the colours of known things."""

    distance: tuple[Band, ...]
    size: tuple[Band, ...]
    family: Mapping[str, Stratum]
    camouflaged: Stratum


@dataclass(frozen=True)
class Confidence:
    """Share of pixels that the network is more than 90 % sure of."""

    unknown: float
    inlier: float

    def __post_init__(self) -> None:
        require_shares("unknown, inlier", vars(self).values())


@dataclass(frozen=True)
class NullTest:
    """Share of unknown pixels by region, and AP after their masks changed images: chance."""

    prevalence: Mapping[str, float]
    permuted_AP: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, values in vars(self).items():
            require_keys(name, values, REGIONS)
            require_shares(name, values.values())


@dataclass(frozen=True)
class Measured:
    """What was measured on the scenes.

    Attributes:
        images: number of scenes, the sampling unit.
        families: group of the unknown objects in them.
        closed_set: quality on the known classes.
        scores: by score and region.
        resampled: of some scores, AP and FPR95 for resamples of the images.
        strata: by score, of some of them.
        confidence: of unknown and of known pixels.
        null: what chance reaches.
    """

    images: int
    families: Families
    closed_set: ClosedSet
    scores: Mapping[str, Mapping[str, Detection]]
    resampled: Resampled
    strata: Mapping[str, Strata]
    confidence: Confidence
    null: NullTest

    def __post_init__(self) -> None:
        if self.images < 1:
            raise ResultError(f"images: at least one is measured, not {self.images}")
        for score, regions in self.scores.items():
            require_keys(f"scores.{score}", regions, REGIONS)
        if not self.resampled.scores:
            raise ResultError("resampled: no score")
        for name, kept in (("resampled", self.resampled.scores), ("strata", self.strata)):
            if unknown := sorted(kept.keys() - self.scores.keys()):
                raise ResultError(f"{name}: {', '.join(unknown)} were not measured")


def require_shares(name: str, values: Iterable[float], missing: bool = True) -> None:
    """ResultError unless all values are fractions; NaN only where one may be missing."""
    for value in values:
        if not (0 <= value <= 1 or (missing and value != value)):
            raise ResultError(f"{name}: fractions between 0 and 1, not {value:g}")


def require_keys(name: str, found: Mapping[str, Any], wanted: Iterable[str]) -> None:
    """ResultError unless the keys are those wanted."""
    if found.keys() != set(wanted):
        raise ResultError(f"{name}: expected {', '.join(wanted)}; found {', '.join(found)}")

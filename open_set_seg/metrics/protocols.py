"""The rules by which each benchmark counts, as data.

Benchmarks disagree about pooling, about the operating point of FPR95, about component sizes; a
figure says nothing without its rules. What a protocol does not state is not measured under it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Band = tuple[float, float]
BANDS: tuple[Band, ...] = tuple((float(near), float(near + 5)) for near in range(5, 50, 5))


@dataclass(frozen=True)
class PixelRule:
    """How AP, FPR at a TPR, AUROC and best F1 are counted.

    Attributes:
        pooling: ``pixels``: all pixels of all images form one sample; ``images``: every image by
            itself, then the mean over the images that hold both outliers and inliers.
        operating_point: which point of the curve, from the highest threshold down, FPR95 is read
            at. ``at_least``: the first with TPR >= ``tpr``; ``above``: the first with TPR >
            ``tpr``; ``above_thinned``: the same, of the points that scikit-learn's ``roc_curve``
            keeps; ``closest``: that whose TPR is closest to ``tpr``.
        tpr: the true positive rate in question.
        curve: ``exact``: every distinct score is a threshold; ``smiyc_binned``: the 768 quantile
            thresholds a frame of SegmentMeIfYouCan's code.
    """

    pooling: Literal["pixels", "images"] = "pixels"
    operating_point: Literal["at_least", "above", "above_thinned", "closest"] = "at_least"
    tpr: float = 0.95
    curve: Literal["exact", "smiyc_binned"] = "exact"


@dataclass(frozen=True)
class ComponentRule:
    """How connected components are judged (SegmentMeIfYouCan's SegEval).

    Attributes:
        min_predicted_px: smaller predicted components are removed.
        min_true_px: smaller true components become void.
    """

    min_predicted_px: int
    min_true_px: int


@dataclass(frozen=True)
class DistanceRule:
    """How pixels are sorted into bins of distance.

    Attributes:
        disparity: how a 16-bit code I becomes a disparity. ``official``: I / 256, as the published
            evaluation does, and pixels without disparity take the largest finite distance of their
            image; ``encoded``: (I - 1) / 256, as the format says, and pixels without disparity are
            left out.
        bands: half-open [near, far) bins in metres.
    """

    disparity: Literal["official", "encoded"] = "official"
    bands: tuple[Band, ...] = BANDS


@dataclass(frozen=True)
class OpenSetRule:
    """How open-mIoU finds its threshold: on the other fold, so never on the images that it judges.

    Attributes:
        groups: the two folds, by the ``group`` of their frames.
        tpr: the threshold is the first, from the top, with TPR > ``tpr`` on the other fold.
        scale: factor on the image size at which the threshold is found (score bilinearly, labels
            by the nearest pixel).
    """

    groups: tuple[str, str]
    tpr: float = 0.95
    scale: float = 0.5


@dataclass(frozen=True)
class Protocol:
    """Everything that must be fixed for two people to get the same figure.

    Attributes:
        title: for tables.
        datasets: names of the data sets that it is defined on; each gives figures of its own.
        source: whose convention it is.
        pixels: rule of the pixel metrics.
        components: rule of the component metrics, where the benchmark has them.
        distance: rule of the distance bins, likewise.
        open_set: rule of open-mIoU, likewise.
        closed_set: whether the closed mIoU belongs to it.
        objects: whether obstacles are judged as objects, through the whole detector.
        repeats: how often a data set that is made at random is made and measured.
        regions: parts of the image that are measured each by itself; none where the benchmark has
            no outliers.
    """

    title: str
    datasets: tuple[str, ...]
    source: str
    pixels: PixelRule = field(default_factory=PixelRule)
    components: ComponentRule | None = None
    distance: DistanceRule | None = None
    open_set: OpenSetRule | None = None
    closed_set: bool = False
    objects: bool = False
    repeats: int = 1
    regions: tuple[str, ...] = ("whole image",)


_SMIYC = "SegmentMeIfYouCan (road-anomaly-benchmark)"
_BINNED = PixelRule(curve="smiyc_binned")
_SMIYC_ANOMALY = Protocol(
    title="SMIYC AnomalyTrack",
    datasets=("smiyc_anomaly",),
    source=f"{_SMIYC}; exact thresholds",
    components=ComponentRule(min_predicted_px=500, min_true_px=100),
)
_SMIYC_OBSTACLE = Protocol(
    title="SMIYC ObstacleTrack",
    datasets=("smiyc_obstacle",),
    source=f"{_SMIYC}; exact thresholds",
    components=ComponentRule(min_predicted_px=50, min_true_px=10),
)
_SMIYC_LOST_AND_FOUND = replace(
    _SMIYC_OBSTACLE, title="SMIYC LostAndFound-noKnown", datasets=("smiyc_lost_and_found",)
)


def _binned(exact: Protocol) -> Protocol:
    return replace(exact, title=f"{exact.title} (binned curve)", source=_SMIYC, pixels=_BINNED)


PROTOCOLS: dict[str, Protocol] = {
    "fishyscapes": Protocol(
        title="Fishyscapes",
        datasets=("fishyscapes_lost_and_found", "fishyscapes_static"),
        source="Fishyscapes (bdl-benchmark)",
    ),
    "smiyc_anomaly": _SMIYC_ANOMALY,
    "smiyc_obstacle": _SMIYC_OBSTACLE,
    "smiyc_lost_and_found": _SMIYC_LOST_AND_FOUND,
    "smiyc_anomaly_binned": _binned(_SMIYC_ANOMALY),
    "smiyc_obstacle_binned": _binned(_SMIYC_OBSTACLE),
    "smiyc_lost_and_found_binned": _binned(_SMIYC_LOST_AND_FOUND),
    "streethazards": Protocol(
        title="StreetHazards (DenseHybrid's rules)",
        datasets=("streethazards",),
        source="DenseHybrid (evaluate_ood.py, evaluate_osr.py)",
        pixels=PixelRule(pooling="images", operating_point="above_thinned"),
        open_set=OpenSetRule(groups=("t5", "t6")),
        closed_set=True,
    ),
    "streethazards_hendrycks": Protocol(
        title="StreetHazards (Hendrycks' rules)",
        datasets=("streethazards_13",),
        source="hendrycks/anomaly-seg (eval_ood.py)",
        pixels=PixelRule(pooling="images", operating_point="closest"),
        closed_set=True,
    ),
    "lost_and_found_distance": Protocol(
        title="LostAndFound by distance (official rule)",
        datasets=("lost_and_found",),
        source="Distance-based-OOD (evaluations/base_dist.py)",
        pixels=PixelRule(operating_point="above_thinned"),
        distance=DistanceRule("official"),
    ),
    "lost_and_found_distance_encoded": Protocol(
        title="LostAndFound by distance (disparity as its format says)",
        datasets=("lost_and_found",),
        source="Distance-based-OOD, but for d = (I - 1) / 256",
        pixels=PixelRule(operating_point="above_thinned"),
        distance=DistanceRule("encoded"),
    ),
    "wd_pascal": Protocol(
        title="WD-Pascal",
        datasets=("wd_pascal",),
        source="NFlowJS, table 1: mean and deviation over 50 pasting runs",
        pixels=PixelRule(operating_point="above_thinned"),
        repeats=50,
    ),
    "bsb_ood": Protocol(
        title="BSB-OOD",
        datasets=("bsb_ood",),
        source="NFlowJS (Sensors 2024), table 4",
        pixels=PixelRule(operating_point="above_thinned"),
        closed_set=True,
    ),
    "road_anomaly": Protocol(
        title="RoadAnomaly",
        datasets=("road_anomaly",),
        source="Lis et al. 2019, counted as Fishyscapes does",
    ),
    "cityscapes": Protocol(
        title="Cityscapes, known classes",
        datasets=("cityscapes",),
        source="Cityscapes (19 classes of the evaluation)",
        closed_set=True,
        regions=(),
    ),
    "simulation": Protocol(
        title="Simulation",
        datasets=("simulation",),
        source="this project",
        distance=DistanceRule("encoded"),
        closed_set=True,
        objects=True,
        regions=("whole image", "true road", "ground hull"),
    ),
}

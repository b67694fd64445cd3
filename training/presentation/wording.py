"""How figures are called and written in print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_set_seg.report.numbers import decimal


@dataclass(frozen=True)
class Metric:
    """How a figure is called and read.

    Attributes:
        title: for the head of a column.
        higher_is_better: or lower.
        percent: a fraction that is printed as a percentage; else printed as it is.
    """

    title: str
    higher_is_better: bool = True
    percent: bool = True

    @property
    def heading(self) -> str:
        """The title with an arrow towards the better figures."""
        return f"{self.title} {'↑' if self.higher_is_better else '↓'}"


METRICS: dict[str, Metric] = {
    "AP": Metric("AP"),
    "FPR95": Metric("FPR95", higher_is_better=False),
    "AUROC": Metric("AUROC"),
    "best_F1": Metric("best F1"),
    "sIoU_gt": Metric("sIoU-gt"),
    "PPV": Metric("PPV"),
    "mean_F1": Metric("mean F1"),
    "closed_mIoU": Metric("closed mIoU"),
    "open_mIoU": Metric("open mIoU"),
    "mIoU_K_plus_1": Metric("mIoU K+1"),
    "closed_mIoU_t5": Metric("closed mIoU t5"),
    "closed_mIoU_t6": Metric("closed mIoU t6"),
    "open_mIoU_t5": Metric("open mIoU t5"),
    "open_mIoU_t6": Metric("open mIoU t6"),
    "bits_per_dim": Metric("bits/dim", higher_is_better=False, percent=False),
}


def percent(value: float | None, digits: int = 1) -> str:
    """A fraction as a percentage without its sign; a dash where there is none."""
    return decimal(None if value is None else 100 * value, digits)


def band_name(band: Sequence[float | None]) -> str:
    """``[5.0, 10.0]`` as ``5-10``, and ``[400.0, inf]`` (null in JSON) as ``from 400``."""
    low, high = band
    if high is None or math.isinf(high):
        return f"from {low:g}"
    return f"{low:g}-{high:g}"


def plain_values(values: Iterable[float | None]) -> NDArray[np.float64]:
    """Numbers of a result as an array; NaN for null."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def file_problem(error: OSError) -> str:
    """What is wrong with which file, without the number of the error."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"


_TITLES = {
    "op_ms": "OP\N{MULTIPLICATION SIGN}MS",
    "react": "ReAct",
    "mc_dropout": "MC dropout",
    "dense_hybrid": "DenseHybrid",
    "mahalanobis": "Mahalanobis",
    "reverse_kl": "reverse KL",
}


def score_title(score: str) -> str:
    """How a score is called in print: ``jsd`` is JSD, ``max_logit`` is max logit.

    With what goes around it: ``odin:epsilon=0.001+msp`` is ODIN (epsilon 0.001) + MSP.
    """
    return " + ".join(map(_part_title, score.split("+")))


def _part_title(part: str) -> str:
    name, *settings = part.split(":")
    title = _TITLES.get(name, name.upper() if len(name) <= 4 else name.replace("_", " "))
    if not settings:
        return title
    return f"{title} ({', '.join(one.replace('=', ' ') for one in settings)})"

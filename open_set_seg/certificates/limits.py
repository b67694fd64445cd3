"""How much a network may change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from open_set_seg.certificates.comparison import Figures


@dataclass(frozen=True)
class Limits:
    """The most that each of ``Figures.changes`` may be, in [0, 1]; None: anything.

    The defaults are for reduced precision. A point of AP or FPR95 is less than what drawing 200
    test scenes again does to them (95 % intervals of +- 2 and +- 10 points with the demo network:
    benchmarks/README.md); a percent of the pixels and a point of mIoU are choices. Single pixels
    may differ by anything: at the border of two regions the least change moves a pixel from one
    to the other.
    """

    max_score_difference: float | None = None
    mean_score_difference: float | None = None
    classes_changed: float | None = 0.01
    decisions_changed: float | None = 0.01
    ap_change: float | None = 0.01
    fpr95_change: float | None = 0.01
    miou_change: float | None = 0.01

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(
                    f"expected a limit in [0, 1] (0.01 is a point or a percent) for {one.name}, "
                    f"found {value}"
                )

    def changed(self, settings: Sequence[str]) -> Limits:
        """The same but for ``NAME=VALUE`` each; the value ``none`` is no limit.

        Raises:
            ValueError: another name, or no number.
        """
        known = [one.name for one in fields(self)]
        given: dict[str, float | None] = {}
        for setting in settings:
            name, _, text = setting.partition("=")
            if name not in known:
                raise ValueError(
                    f"expected a limit as NAME=VALUE, NAME one of {', '.join(known)}, found "
                    f"{setting!r}"
                )
            try:
                given[name] = None if text == "none" else float(text)
            except ValueError:
                raise ValueError(f"expected a number or none for {name}, found {text!r}") from None
        return replace(self, **given)

    def broken_by(self, figures: Figures) -> tuple[str, ...]:
        """Every limit that is broken, in words; what could not be measured breaks none."""
        broken = []
        for name, found in figures.changes.items():
            limit = getattr(self, name)
            if limit is None or found is None:
                continue
            # Written so that NaN breaks every limit.
            if not found <= limit:
                times = found / limit if limit else math.inf
                broken.append(f"{name} is {found:.3g}, {times:.3g} times its limit of {limit:g}")
        return tuple(broken)


# The same arithmetic in another order moves a score by some 1e-5, and a pixel over a border where
# two classes are as likely as each other to six digits.
LIMITS: dict[str, Limits] = {
    "fp32": Limits(
        max_score_difference=1e-3,
        mean_score_difference=1e-5,
        classes_changed=1e-4,
        decisions_changed=1e-4,
        ap_change=1e-3,
        fpr95_change=1e-3,
        miou_change=1e-3,
    ),
    "fp16": Limits(),
    "bf16": Limits(),
    "int8": Limits(),
}

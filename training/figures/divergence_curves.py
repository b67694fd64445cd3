"""How divergences from the uniform distribution, and their gradients, grow with confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from training.divergences import DIVERGENCES
from training.figures.document import Figure
from training.figures.finished_runs import Inputs
from training.presentation.canvas import BLUE, GREEN, GREY, ORANGE, VERMILION, Dashes, draw_canvas

# The order of the legend: from the steepest to the flattest.
LOOKS: dict[str, tuple[str, str, Dashes]] = {
    "pearson": ("Pearson $\\chi^2$(U || p)", GREY, (0, (1, 1.2))),
    "kl": ("KL(U || p)", VERMILION, (0, (6, 1.5))),
    "reverse_kl": ("reverse KL(p || U)", ORANGE, (0, (4, 1.2, 1, 1.2))),
    "squared_hellinger": ("squared Hellinger H$^2$(U, p)", GREEN, (0, (2.5, 1.2))),
    "js": ("Jensen-Shannon JS(U, p)", BLUE, "solid"),
}
POINTS = 401
_MARGIN = 1e-3  # of p from 0 and 1, where some divergences are infinite


@dataclass(frozen=True, eq=False)
class Curve:
    """A divergence of two classes against p, the probability of the first.

    Attributes:
        values: D(U, (p, 1 - p)), nats.
        slopes: |dD / dz| with the difference z = ln p / (1 - p) of the two logits.
    """

    values: NDArray[np.float64]
    slopes: NDArray[np.float64]


def two_class_curve(name: str, p: NDArray[np.float64]) -> Curve:
    """The divergence of that name at every p in (0, 1)."""
    difference = torch.logit(torch.from_numpy(p)).requires_grad_()
    values = DIVERGENCES[name](torch.stack([difference / 2, -difference / 2], dim=1))
    (slopes,) = torch.autograd.grad(values.sum(), difference)
    return Curve(values.detach().numpy(), slopes.abs().numpy())


def divergence_figure(inputs: Inputs) -> Figure:
    """The curves with their caption; no run is needed."""
    p = _probabilities()
    numbers: dict[str, Any] = {"p": [float(p[0]), float(p[-1])]}
    for name in LOOKS:
        highest = DIVERGENCES[name].maximum(2)
        numbers[name] = {
            "maximum": round(highest, 4) if math.isfinite(highest) else None,
            "largest_slope": round(float(two_class_curve(name, p).slopes.max()), 4),
        }
    caption = (
        "Left: f-divergences between the uniform distribution U and a prediction (p, 1 - p) of two "
        "classes. Right: how strongly each pulls at the difference of the two logits. JS never "
        f"exceeds {numbers['js']['maximum']:.3f} nats, never pulls harder than "
        f"{numbers['js']['largest_slope']:.3f} nats per unit, and lets go where the network "
        "is sure; KL pulls hardest there, and Pearson without a bound. Squared Hellinger has the "
        "factor 1/2 here, which puts it almost upon JS. No data are involved. (Sensors 2024, "
        "figure 3 left; arXiv 2112.12833, figure 2 left.)"
    )
    title = "Divergences from the uniform distribution, two classes"
    return Figure("divergences", title, caption, draw_divergence_curves(), numbers)


def draw_divergence_curves() -> bytes:
    """Values on the left, gradients on the right."""
    p = _probabilities()
    with draw_canvas(9.0, 3.7) as (drawing, picture):
        left, right = drawing.subplots(1, 2)
        for name, (title, colour, dashes) in LOOKS.items():
            curve = two_class_curve(name, p)
            line: dict[str, Any] = {
                "color": colour,
                "linestyle": dashes,
                "linewidth": 2.4 if name == "js" else 1.7,
            }
            left.plot(p, curve.values, label=title, **line)
            right.plot(p, curve.slopes, **line)
        left.set_title("divergence from the uniform distribution U")
        left.set_ylabel("nats")
        left.set_ylim(0, 1.6)
        right.set_title("size of its gradient in the difference of the logits")
        right.set_ylabel("nats per unit of the logit")
        right.set_ylim(0, 0.8)
        for axis in (left, right):
            axis.set_xlim(0, 1)
            axis.set_xlabel("p of the first of two classes")
        drawing.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5,
                       columnspacing=1.2)  # fmt: skip
    return picture[0]


def _probabilities() -> NDArray[np.float64]:
    return np.linspace(_MARGIN, 1.0 - _MARGIN, POINTS)

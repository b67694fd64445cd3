"""Max-logits of known and unknown pixels under several networks: how well they come apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from open_set_seg.head import ScoreChannel
from training.figures.document import Figure
from training.figures.finished_runs import Inputs
from training.presentation.canvas import BLUE, VERMILION, draw_canvas
from training.study.measuring.answers import Scenes, answer_scenes
from training.study.measuring.pixel_figures import pixel_figures
from training.study.measuring.score_pixels import ScorePixels

BINS = 80
_TAIL = 0.0005  # share of pixels that may lie beyond either end of the axis

Logits = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class MaxLogits:
    """max_k z_k of the pixels of scenes.

    Attributes:
        known, unknown: of all such pixels, in the order of the scenes.
        auroc: of -max_k z_k as a score of unknown pixels.
        average_precision: likewise.
    """

    known: Logits
    unknown: Logits
    auroc: float
    average_precision: float


def logit_figure(inputs: Inputs) -> Figure:
    """Before and after joint training, and after fine-tuning without negatives if it is there."""
    networks = {"closed-set network": inputs.closed_set}
    if inputs.control is not None:
        networks["fine-tuned without negatives"] = inputs.control
    networks["after joint training"] = inputs.joint[0].network
    panels = {title: max_logits(network, inputs.scenes) for title, network in networks.items()}
    one = next(iter(panels.values()))
    said = ", ".join(f"{title} {100 * found.auroc:.1f} %" for title, found in panels.items())
    caption = (
        f"Densities of the largest logit of {one.known.size:,} known and {one.unknown.size:,} "
        f"unknown pixels of {len(inputs.scenes)} development scenes. AUROC of the score max-logit: "
        f"{said}. One training seed; docs/benchmark.md has them all. (Sensors 2024, figure 11.)"
    )
    numbers = {
        "scenes": len(inputs.scenes),
        "known_pixels": one.known.size,
        "unknown_pixels": one.unknown.size,
        "networks": {
            title: {"AUROC": found.auroc, "AP": found.average_precision}
            for title, found in panels.items()
        },
    }
    title = "Largest logits of known and unknown pixels"
    return Figure("max_logits", title, caption, draw_logit_histograms(panels), numbers)


def max_logits(network: nn.Module, scenes: Scenes) -> MaxLogits:
    """Of logits upsampled to the image, in evaluation mode; unlabelled pixels are left out."""
    answers = answer_scenes(network, scenes)
    maps = answers.maps(ScoreChannel("max_logit"))
    pixels = ScorePixels.gather(maps, answers.truth.codes)
    known = np.concatenate([pixels.beside, pixels.road])
    figures = pixel_figures(pixels.unknown, [np.sort(known)])
    return MaxLogits(-known, -pixels.unknown, figures["AUROC"], figures["AP"])


def draw_logit_histograms(panels: Mapping[str, MaxLogits]) -> bytes:
    """A panel a network by its title: densities of known and unknown pixels, on one axis."""
    pooled = [values for one in panels.values() for values in (one.known, one.unknown)]
    low = min(float(np.quantile(values, _TAIL)) for values in pooled)
    high = max(float(np.quantile(values, 1.0 - _TAIL)) for values in pooled)
    edges = np.linspace(low, high, BINS + 1)
    with draw_canvas(0.6 + (4.2 if len(panels) < 3 else 3.4) * len(panels), 3.3) as (
        drawing,
        picture,
    ):
        axes = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        highest = 0.0
        for axis, (title, found) in zip(axes, panels.items(), strict=True):
            for values, name, colour, dashes in (
                (found.known, "known pixels", BLUE, "solid"),
                (found.unknown, "unknown pixels", VERMILION, (0, (4, 1.2))),
            ):
                # Shares of all pixels, also of those beyond the ends, over the width of a bin.
                shares = np.histogram(values, edges)[0] / max(values.size, 1)
                density = shares / (edges[1] - edges[0])
                highest = max(highest, float(density.max()))
                axis.stairs(density, edges, fill=True, color=colour, alpha=0.25)
                axis.stairs(density, edges, color=colour, linewidth=1.6, linestyle=dashes,
                            label=name)  # fmt: skip
            axis.set_title(title)
            axis.set_xlabel("largest logit of a pixel")
            axis.set_xlim(low, high)
            axis.legend(loc="upper right", title=f"AUROC {100 * found.auroc:.1f} %")
        axes[0].set_ylim(0, 1.4 * highest)  # with room for the legends
        axes[0].set_ylabel("density")
    return picture[0]

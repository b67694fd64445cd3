"""What every pasted pixel costs before and after a joint training: histograms of lambda L_neg."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.label_spaces import LABEL_SPACES
from training.divergences import DIVERGENCES
from training.figures.document import Figure
from training.figures.finished_runs import Inputs, JointRun, first_batches
from training.flow import ImageFlow
from training.negatives import build_source
from training.presentation.canvas import BLUE, ORANGE, VERMILION, Dashes, draw_canvas
from training.ranks import Ranks
from training.steps import SegmentationObjective

# Those whose scores the papers compare.
LOOKS: dict[str, tuple[str, str, Dashes]] = {
    "js": ("JS", BLUE, "solid"),
    "kl": ("KL", VERMILION, (0, (6, 1.5))),
    "reverse_kl": ("reverse KL", ORANGE, (0, (4, 1.2, 1, 1.2))),
}
BINS = 48  # of each divergence, from 0 to its own largest value
QUANTILE = 0.99
_SHOWN = 0.9999  # of the pixels, at least, lie on the axis

Losses = NDArray[np.float32]


def pixel_loss_figure(inputs: Inputs) -> Figure:
    """Start and end of the joint training with their caption.

    Each divergence is shown under the run that was trained with it, or under the first run.
    """
    trained = {run.negatives.divergence: run for run in reversed(inputs.joint)}
    first = inputs.joint[0]
    runs = {name: trained.get(name, first) for name in LOOKS}
    start: dict[str, Losses] = {}
    end: dict[str, Losses] = {}
    for run in set(runs.values()):
        names = [name for name, one in runs.items() if one is run]
        for found, network, flow in (
            (start, inputs.closed_set, inputs.flow),
            (end, run.network, run.flow),
        ):
            batches = first_batches(inputs.data, run.recipe, inputs.batches)
            found |= pixel_losses(run, network, flow, batches, names)
    panels = {
        title: {name: found[name] for name in LOOKS}
        for title, found in (
            ("start of the joint training", start),
            ("end of the joint training", end),
        )
    }
    numbers = {
        title: {name: summarise_losses(one) for name, one in panel.items()}
        for title, panel in panels.items()
    }
    weights = {name: run.negatives.weight for name, run in runs.items()}
    return Figure(
        "pixel_losses",
        "What a pasted pixel costs",
        _caption(runs, inputs, start["js"].size),
        draw_pixel_losses(panels),
        {"lambda": weights, "pixels": start["js"].size, **numbers},
    )


def _caption(runs: Mapping[str, JointRun], inputs: Inputs, pixels: int) -> str:
    """What is compared, and which runs the ends belong to."""
    weights = {LOOKS[name][0]: run.negatives.weight for name, run in runs.items()}
    said = ", ".join(f"{weight:g} for {name}" for name, weight in weights.items())
    if len(set(weights.values())) == 1:
        said = f"{weights['JS']:g} for all three"
    classes = LABEL_SPACES[inputs.joint[0].recipe.label_space].num_classes
    bound = runs["js"].negatives.weight * DIVERGENCES["js"].maximum(classes)
    borrowed = [LOOKS[name][0] for name, run in runs.items() if run.negatives.divergence != name]
    note = ""
    if borrowed:
        learned = inputs.joint[0].negatives.divergence
        learned = LOOKS[learned][0] if learned in LOOKS else learned
        note = f" Trained by {learned}; {' and '.join(borrowed)} are of the same pixels."
    return (
        f"Histograms of lambda L_neg over {pixels:,} pixels of negatives pasted into the "
        f"{inputs.batches} batches that the training begins with (scenes without unknown objects). "
        "Left: the closed-set network and the pre-trained flow; right: both at the end, with the "
        f"same images, places and latents. Lambda is {said}.{note} With JS no pixel "
        f"costs more than {bound:.3f}; KL has a long tail. (Sensors 2024, figure 3 right; arXiv "
        "2112.12833, figure 2 right.)"
    )


@torch.no_grad()
def pixel_losses(
    run: JointRun,
    network: nn.Module,
    flow: ImageFlow,
    batches: Iterable[tuple[Tensor, Tensor]],
    divergences: Sequence[str],
) -> dict[str, Losses]:
    """lambda D of every pasted pixel (N,), by divergence, as a training step computes it.

    Images, places and latents are those of the run's steps 0, 1, ...; BatchNorm and the
    precision are those of that training. Nothing is changed, neither the network nor the flow.

    Args:
        run: whose recipe says how negatives are pasted, and lambda.
        network, flow: of any moment of the training.
        batches: of its first steps, see ``first_batches``.
        divergences: keys of ``DIVERGENCES``.
    """
    source = build_source("flow", flow=copy.deepcopy(flow), joint=False, likelihood=False)
    # The cross-entropy, which class weights are for, is not computed.
    objective = SegmentationObjective(
        copy.deepcopy(network), source, run.recipe, torch.ones(1), Ranks()
    ).train()
    half = run.recipe.optimisation.precision == "bf16"
    found: dict[str, list[Losses]] = {name: [] for name in divergences}
    for step, (images, labels) in enumerate(batches):
        mixed = objective.mix(images, labels, source, run.negatives, step)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            logits = objective.network(mixed.images).logits
        full = functional.interpolate(
            logits.float(), size=labels.shape[1:], mode="bilinear", align_corners=False
        )
        pixels = full.permute(0, 2, 3, 1)[mixed.pasted]
        for name, parts in found.items():
            parts.append((run.negatives.weight * DIVERGENCES[name](pixels)).numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def summarise_losses(losses: Losses) -> dict[str, float]:
    """Mean, 99 % quantile and maximum."""
    return {
        "mean": float(losses.mean(dtype=np.float64)),
        "quantile_99": float(np.quantile(losses, QUANTILE)),
        "maximum": float(losses.max()),
    }


def draw_pixel_losses(panels: Mapping[str, Mapping[str, Losses]]) -> bytes:
    """A panel a moment: its title, and losses by divergence."""
    pooled = [one for panel in panels.values() for one in panel.values()]
    widest = max(float(np.quantile(one, _SHOWN)) for one in pooled)
    with draw_canvas(9.0, 3.7) as (drawing, picture):
        axes = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (title, panel) in zip(axes, panels.items(), strict=True):
            for name, losses in panel.items():
                _draw_histogram(axis, name, losses)
            axis.set_title(title)
            axis.set_xlabel("$\\lambda\\,L_{neg}$ of a pasted pixel, nats")
            axis.set_xlim(0, 1.02 * widest)
            axis.legend(loc="upper right", handlelength=1.4)
        axes[0].set_yscale("log")
        axes[0].set_ylim(1e-3, 300.0)  # with room for the legend
        axes[0].set_ylabel("density of pasted pixels, 1 / nat")
    return picture[0]


def _draw_histogram(axis: Any, name: str, losses: Losses) -> None:
    title, colour, dashes = LOOKS[name]
    summary = summarise_losses(losses)
    edges = np.linspace(0.0, summary["maximum"], BINS + 1)
    density = np.histogram(losses, edges, density=True)[0]
    label = f"{title}: mean {summary['mean']:.3f}, 99 % below {summary['quantile_99']:.3f}"
    axis.stairs(density, edges, fill=True, color=colour, alpha=0.13)
    axis.stairs(density, edges, color=colour, linewidth=1.6, linestyle=dashes, label=label)

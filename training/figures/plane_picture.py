"""The plane before and after joint training, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training.figures.document import Figure
from training.figures.finished_runs import Inputs
from training.figures.plane import (
    CENTRES,
    DEVIATION,
    PlaneSettings,
    train_before,
    train_with_negatives,
)
from training.figures.plane_measures import BORDER, PlaneMeasures, measure_plane
from training.presentation.canvas import BLACK, BLUE, GREEN, VERMILION, draw_canvas

SHOWN_SAMPLES = 300
_LEVELS = 16
_CLASSES = ((BLUE, "o"), (GREEN, "s"), (BLACK, "^"))
# Pale, so that marks are seen on it: white is undecided, grey is sure.
_FIELD = ("#ffffff", "#7f8b96")


def plane_figure(inputs: Inputs) -> Figure:
    """The plane with its caption; it is trained here, no run is needed."""
    settings = PlaneSettings()
    before = train_before(settings)
    panels = {
        "before": measure_plane(before),
        "flow by likelihood alone": measure_plane(train_with_negatives(before, settings, False)),
        "joint training": measure_plane(train_with_negatives(before, settings, True)),
    }
    low, high = (limit * DEVIATION for limit in BORDER)
    said = "; ".join(
        f"{title}: {100 * one.border:.0f} % of the samples, JS {100 * one.ring:.0f} %"
        for title, one in panels.items()
    )
    caption = (
        "NFlowJS in the plane: a classifier of three clusters and a flow of the same bijections "
        "as those of images, trained by the same losses "
        f"(lambda = {settings.weight:g}, likelihood weighed by {settings.likelihood_weight:g}, "
        f"{settings.steps} steps). Background: divergence of the prediction from uniform, over its "
        f"maximum. The border, between the dotted lines, is what lies {low:g} to {high:g} from the "
        f"nearest inlier; in it are, {said}. The gradient of JS drives the samples out of the "
        "clusters. Both ways of training on samples take the classifier's confidence away around "
        "them; without negatives it is sure of places where nothing ever was. No scenes are "
        "involved. (Sensors 2024, figure 2.)"
    )
    numbers = {title: one.figures() for title, one in panels.items()}
    return Figure("plane", "Negatives in the plane", caption, draw_plane(panels), numbers)


def draw_plane(panels: Mapping[str, PlaneMeasures]) -> bytes:
    """A panel a pair of networks by its title: the classifier's JS, inliers and samples."""
    with draw_canvas(0.9 + 3.15 * len(panels), 4.0) as (drawing, picture):
        axes = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axis, (title, found) in zip(axes, panels.items(), strict=True):
            filled = _draw_panel(axis, found)
            axis.set_title(title)
            axis.set_xlabel(
                f"in the border: {100 * found.border:.0f} % of the samples, "
                f"JS {100 * found.ring:.0f} %"
            )
        bar = drawing.colorbar(filled, ax=list(axes), shrink=0.82, aspect=24, pad=0.015)
        bar.set_label("JS(U, p) / maximum: 0 undecided, 1 sure")
        bar.set_ticks([0.0, 0.25, 0.5, 0.75, 1.0])
        drawing.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center",
                       ncols=1 + len(CENTRES), markerscale=1.6, handletextpad=0.3)  # fmt: skip
    return picture[0]


def _draw_panel(axis: Any, found: PlaneMeasures) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("sure", _FIELD)
    ticks = [index / (len(found.field) - 1) for index in range(len(found.field))]
    levels = [index / _LEVELS for index in range(_LEVELS + 1)]
    filled = axis.contourf(ticks, ticks, found.field.numpy(), levels, cmap=shades)
    limits = [limit * DEVIATION for limit in BORDER]
    axis.contour(ticks, ticks, found.distance.numpy(), limits, colors=BLACK, linewidths=0.7,
                 linestyles="dotted")  # fmt: skip
    for number, (colour, marker) in enumerate(_CLASSES):
        points = found.inliers[found.labels == number]
        axis.scatter(*points.T.numpy(), s=5, color=colour, marker=marker, linewidths=0,
                     label=f"class {number + 1}")  # fmt: skip
    samples = found.samples[:SHOWN_SAMPLES]
    axis.scatter(*samples.T.numpy(), s=13, color=VERMILION, marker="x", linewidths=0.8,
                 label="samples of the flow")  # fmt: skip
    axis.set_aspect("equal")
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)
    axis.set_xticks([0, 0.5, 1])
    axis.set_yticks([0, 0.5, 1])
    axis.grid(False)
    return filled

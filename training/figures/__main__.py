"""Figures of finished runs: ``python -m training.figures --closed-set ... --flow ... --joint ...``.

Writes ``figures.md`` and ``figures/*.png`` into the output folder. Unknown objects are of the
development families.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from training.data import prepare_data
from training.figures.divergence_curves import divergence_figure
from training.figures.document import Figure, write_document
from training.figures.finished_runs import Inputs, read_flow, read_joint_run, read_network
from training.figures.flow_samples import sample_figure
from training.figures.logit_histograms import logit_figure
from training.figures.pixel_losses import pixel_loss_figure
from training.figures.plane_picture import plane_figure
from training.ranks import Ranks
from training.recipes import Recipe
from training.study.config import Study
from training.study.measuring.scenes import SceneView, StudyScenes, prepare_study_scenes

NUMBERS = Path("benchmarks/results/figures.json")
FIGURES: tuple[Callable[[Inputs], Figure], ...] = (
    divergence_figure,
    pixel_loss_figure,
    plane_figure,
    sample_figure,
    logit_figure,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    try:
        inputs = _read_inputs(options)
        figures = [make(inputs) for make in FIGURES]
        written = write_document(
            figures, options.output, options.numbers, _command(options), _shown(options.numbers)
        )
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for path in written:
        print(f"written to {path}")
    return 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.figures",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--closed-set", type=Path, required=True, metavar="RUN", help="folder or checkpoint")
    add("--flow", type=Path, required=True, metavar="RUN", help="folder or file, pre-trained")
    add("--joint", type=Path, required=True, nargs="+", metavar="RUN",
        help="folder of the joint training; more of them by other divergences")  # fmt: skip
    add("--control", type=Path, metavar="RUN", help="fine-tuned without negatives; default: none")
    add("--scenes", type=int, default=100, help="of the development families; default: 100")
    add("--batches", type=int, default=12, help="that losses are measured on; default: 12")
    add("--config", type=Path, default=Path("config/study.yaml"), help="default: %(default)s")
    add("--cache", type=Path, default=Path("runs/cache"), help="default: %(default)s")
    add("--output", type=Path, default=Path("docs/benchmark"), help="default: %(default)s")
    add("--numbers", type=Path, default=NUMBERS, help="JSON file; default: %(default)s")
    return parser


def _read_inputs(options: argparse.Namespace) -> Inputs:
    """Everything that the figures are made of; scenes are rendered unless they are cached."""
    if options.batches < 1:
        raise ValueError(f"--batches: expected at least 1, found {options.batches}")
    joint = tuple(read_joint_run(folder) for folder in options.joint)
    first = joint[0]
    return Inputs(
        read_network(options.closed_set),
        read_flow(options.flow, first.negatives),
        joint,
        None if options.control is None else read_network(options.control),
        _open_scenes(options),
        prepare_data(_cached_in(first.recipe, options.cache), Ranks(), progress=False),
        options.batches,
    )


def _open_scenes(options: argparse.Namespace) -> StudyScenes:
    """The scenes that the study develops on, as it renders them."""
    size = Study(options.config).config.scenes
    view = SceneView(size.width, size.height, size.supersampling, "development")
    return prepare_study_scenes(options.cache, options.scenes, view, workers=0, progress=False)


def _cached_in(recipe: Recipe, cache: Path) -> Recipe:
    """The recipe with the scenes of another cache."""
    scenes = recipe.data.scenes
    if scenes is None:
        return recipe
    data = replace(recipe.data, simulation=replace(scenes, cache=str(cache)))
    return replace(recipe, data=data)


def _command(options: argparse.Namespace) -> str:
    """What makes the figures again, with paths from here."""
    lines = ["python -m training.figures", f"--closed-set {_shown(options.closed_set)}"]
    lines += [f"--flow {_shown(options.flow)}", f"--joint {' '.join(map(_shown, options.joint))}"]
    if options.control is not None:
        lines.append(f"--control {_shown(options.control)}")
    lines.append(f"--scenes {options.scenes} --batches {options.batches}")
    return " \\\n  ".join([*lines, f"--output {_shown(options.output)}"])


def _shown(path: Path) -> str:
    """The path from the current folder; only its end where it lies elsewhere."""
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure networks or stored score maps under a protocol: ``python -m training.evaluate MODEL``.

MODEL is a checkpoint, a TorchScript or ONNX file or ``package.module:factory`` that gives logits,
or a folder of score maps. Without --protocol the simulation is rendered and measured. Figures are
printed; with --output they are kept too, with a table and a page of pictures and charts. A killed
evaluation goes on where it was when the same command is given again. Several processes:
``torchrun --nproc-per-node N -m training.evaluate ...``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from open_set_seg.metrics.protocols import PROTOCOLS
from open_set_seg.simulation import TEST_SEEDS
from training.command_line import add_model_options, count, source_options
from training.datasets import DATASETS, open_dataset
from training.datasets.frames import Dataset
from training.datasets.simulated_frames import SimulatedFrames
from training.evaluation.passes import Pace
from training.evaluation.plans import Plan
from training.evaluation.report import PAGE_FILE, TABLE_FILE, write_comparison, write_report
from training.evaluation.runner import Evaluation
from training.presentation.tables import terminal_table
from training.presentation.wording import file_problem
from training.ranks import Ranks
from training.sources import EvaluationError, distinctly_named, open_source

# Options of the simulation: what is taken where none is given, and what they are.
SCENES = {
    "frames": (200, "how many scenes"),
    "first_seed": (TEST_SEEDS[0], "of the first scene"),
    "width": (1024, "of the images, px"),
    "height": (512, "of the images, px"),
}


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        usage="%(prog)s MODEL... [--protocol NAME --data ROOT] [--scores NAME...] [--output DIR] "
        "[options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="+", metavar="MODEL", help="several share tables and a page")
    parser.add_argument("--protocol", default="simulation", choices=PROTOCOLS, metavar="NAME",
                        help=f"one of {', '.join(PROTOCOLS)}; default: simulation")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set or sets")
    parser.add_argument("--dataset", metavar="NAME", help="one of the protocol's; default: all")
    parser.add_argument(
        "--split", metavar="NAME", help="default: the one that the protocol is defined on"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep results and report here")
    parser.add_argument("--bootstrap", type=count(0), default=0, metavar="N",
                        help="95 %% intervals from N resamples of the images, 1000 say; paired "
                             "comparisons need them; default: none")  # fmt: skip
    parser.add_argument("--repeats", type=count(1), metavar="N",
                        help="of a data set that is made at random; default: the "
                             "protocol's")  # fmt: skip
    parser.add_argument("--skip-corrupt", action="store_true",
                        help="leave frames with corrupt files out, and count them")  # fmt: skip
    parser.add_argument("--workers", type=count(0), default=2, metavar="N",
                        help="processes that load frames; 0: none but this; default: "
                             "2")  # fmt: skip
    parser.add_argument("--save-every", type=count(1), default=32, metavar="N",
                        help="a killed run loses so many frames at most, and 30 s; default: "
                             "32")  # fmt: skip
    add_model_options(parser)
    simulation = parser.add_argument_group("the simulation's scenes")
    for name, (default, what) in SCENES.items():
        simulation.add_argument(f"--{name.replace('_', '-')}", type=count(1), metavar="N",
                                help=f"{what}; default: {default}")  # fmt: skip
    return parser


def build_plans(options: argparse.Namespace) -> list[Plan]:
    """One plan for every data set.

    Raises:
        ValueError: options that do not fit the protocol.
    """
    protocol = PROTOCOLS[options.protocol]
    names = [options.dataset] if options.dataset else list(protocol.datasets)
    if not set(names) <= set(protocol.datasets):
        known = ", ".join(protocol.datasets)
        raise EvaluationError(
            f"the protocol {options.protocol} is defined on {known}, not on {names[0]!r}"
        )
    scenes = [f"--{name.replace('_', '-')}" for name in SCENES if getattr(options, name)]
    if scenes and "simulation" not in names:
        raise EvaluationError(f"{', '.join(scenes)}: only the protocol simulation renders scenes")
    if options.data is not None and names == ["simulation"]:
        raise EvaluationError(
            "the protocol simulation renders its scenes and reads no --data; for data of your own "
            "give --protocol"
        )
    return [_plan(options, name) for name in names]


def _plan(options: argparse.Namespace, name: str) -> Plan:
    protocol = PROTOCOLS[options.protocol]
    extra: dict[str, Any] = {}
    if name == "simulation":
        number, first, width, height = (
            getattr(options, scene) or default for scene, (default, _) in SCENES.items()
        )
        frames = SimulatedFrames(range(first, first + number), width, height)
        extra = {"first_seed": first, "size": f"{width}x{height}", "families": "development"}
        split = options.split or "test"

        def open_run(run: int) -> Dataset:
            return frames

    else:
        if options.data is None:
            raise EvaluationError(f"give --data, the folder of {DATASETS[name].title}")
        split = options.split or DATASETS[name].default_split

        def open_run(run: int) -> Dataset:
            return open_dataset(name, options.data, split, run)

    if split not in DATASETS[name].splits:
        known = ", ".join(DATASETS[name].splits)
        raise EvaluationError(f"{DATASETS[name].title} has the splits {known}, not {split!r}")
    repeats = options.repeats or protocol.repeats
    if repeats > 1 and protocol.repeats == 1:
        raise EvaluationError(f"--repeats: nothing in {DATASETS[name].title} is made at random")
    title = DATASETS[name].title
    bootstrap = options.bootstrap
    return Plan(options.protocol, protocol, name, title, split, open_run, repeats, bootstrap, extra)


def evaluate(
    options: argparse.Namespace, folder: Path, ranks: Ranks, report: bool = True
) -> list[dict[str, Any]]:
    """Measure every model on every data set; the results, of rank 0 only.

    Args:
        report: whether pictures, tables and pages are written too.

    Raises:
        ValueError: something that cannot be used; one line or a few that say what is wrong.
    """
    chosen = source_options(options, ranks)
    plans = build_plans(options)
    pace = Pace(options.workers, options.save_every, skip_corrupt=options.skip_corrupt)
    sources = distinctly_named([open_source(one, chosen) for one in options.model])
    results, folders = [], []
    for source in sources:
        for plan in plans:
            place = folder / source.name / f"{options.protocol}-{plan.dataset_name}-{plan.split}"
            result = Evaluation(source, plan, place, ranks, pace, 3 if report else 0).run()
            if result is not None:
                if report:
                    write_report(result, place)
                results.append(result)
                folders.append(place)
    if report and len(results) > 1:
        write_comparison(results, folders, folder)
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with what is wrong."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    temporary: Callable[[], Any] = tempfile.TemporaryDirectory
    try:
        ranks = Ranks.join()
        if options.output is None and ranks.count > 1:
            raise EvaluationError("several processes need --output, a folder that all of them see")
        if options.output is not None:
            results = evaluate(options, options.output, ranks)
        else:
            with temporary() as folder:
                results = evaluate(options, Path(folder), ranks, report=False)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except OSError as error:
        parser.exit(2, f"{parser.prog}: {file_problem(error)}\n")
    except KeyboardInterrupt:
        kept = "" if options.output is None else "; the same command goes on from here"
        parser.exit(130, f"{parser.prog}: stopped{kept}\n")
    if results:
        print(terminal_table(results))
    for result in results:
        for note in result["notes"]:
            print(f"{parser.prog}: {note}", file=sys.stderr)
    if results and options.output is not None:
        print(f"Kept: {page_of(results, options.output)}")
    return 0


def page_of(results: Sequence[dict[str, Any]], output: Path) -> Path:
    """Where to look: the page of a result or of several; its table where no page was written."""
    folder = output
    if len(results) == 1:
        names = [results[0]["protocol"]["name"], results[0]["dataset"]["name"]]
        folder /= results[0]["model"]["name"]
        folder /= "-".join([*names, results[0]["dataset"]["split"]])
    page = folder / PAGE_FILE
    return page if page.exists() else folder / TABLE_FILE


if __name__ == "__main__":
    raise SystemExit(main())

"""Measure networks or stored score maps under a protocol: ``python -m training.evaluate MODEL``.

MODEL is a checkpoint, a TorchScript or ONNX file or ``package.module:factory`` that gives logits,
or a folder of score maps. Without --protocol the simulation is rendered and measured. A killed
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

import torch
import yaml

from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.metrics.protocols import PROTOCOLS
from open_set_seg.scores import SCORES
from open_set_seg.simulation import TEST_SEEDS
from training.datasets import DATASETS, open_dataset
from training.datasets.frames import Dataset
from training.datasets.simulated_frames import SimulatedFrames
from training.evaluation.passes import Pace, Ranks
from training.evaluation.plans import Plan
from training.evaluation.report import write_comparison, write_report
from training.evaluation.runner import Evaluation
from training.presentation.tables import terminal_table
from training.sources import (
    EvaluationError,
    SourceOptions,
    distinct_names,
    open_source,
)


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", nargs="+", metavar="MODEL")
    parser.add_argument("--protocol", default="simulation", choices=PROTOCOLS, metavar="NAME",
                        help=f"one of {', '.join(PROTOCOLS)}")  # fmt: skip
    parser.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set or sets")
    parser.add_argument("--dataset", metavar="NAME", help="one of the protocol's; default: all")
    parser.add_argument("--split", help="default: the one that the protocol is defined on")
    parser.add_argument("--output", type=Path, metavar="DIR", help="keep results and report here")
    parser.add_argument("--bootstrap", type=int, default=0, metavar="N",
                        help="intervals from N resamples of the images")  # fmt: skip
    parser.add_argument("--repeats", type=int, metavar="N",
                        help="of a data set that is made at random")  # fmt: skip
    parser.add_argument("--skip-corrupt", action="store_true",
                        help="leave frames with corrupt files out, and count them")  # fmt: skip
    parser.add_argument("--workers", type=int, default=2, help="processes that load frames")
    parser.add_argument("--save-every", type=int, default=32, metavar="N",
                        help="frames after which a killed run goes on (or 30 s)")  # fmt: skip
    add_model_options(parser)
    simulation = parser.add_argument_group("the simulation's scenes")
    simulation.add_argument("--frames", type=int, default=200)
    simulation.add_argument("--first-seed", type=int, default=TEST_SEEDS[0])
    simulation.add_argument("--width", type=int, default=1024)
    simulation.add_argument("--height", type=int, default=512)
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of sources, which other commands share."""
    group = parser.add_argument_group("networks")
    group.add_argument("--scores", nargs="+", choices=SCORES, metavar="NAME",
                       help=f"of {', '.join(SCORES)}; default: the checkpoint's")  # fmt: skip
    group.add_argument("--device", default="auto", help="auto, cpu or cuda")
    group.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    group.add_argument("--threads", type=int, default=0,
                       help="of the CPU; figures may differ in the last digits between numbers of "
                            "threads; default: all cores")  # fmt: skip
    foreign = parser.add_argument_group("networks of others, fed with (RGB * scale - mean) / std")
    foreign.add_argument("--label-space", choices=LABEL_SPACES, metavar="NAME",
                         help=f"classes of the logits: {', '.join(LABEL_SPACES)}")  # fmt: skip
    defaults = SourceOptions()
    foreign.add_argument("--mean", type=float, nargs=3, default=defaults.mean)
    foreign.add_argument("--std", type=float, nargs=3, default=defaults.std)
    foreign.add_argument("--scale", type=float, default=defaults.scale)
    foreign.add_argument("--model-options", nargs="*", default=[], metavar="KEY=VALUE",
                         help="arguments of the factory")  # fmt: skip


def source_options(options: argparse.Namespace, ranks: Ranks) -> SourceOptions:
    """What ``add_model_options`` read; sets the number of threads of this process."""
    # torchrun lets every process have one thread, but one process and several must agree.
    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    device = options.device
    if ranks.count > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        device = f"cuda:{ranks.local % torch.cuda.device_count()}"
    arguments = {}
    for entry in options.model_options:
        key, equals, value = entry.partition("=")
        if not equals:
            raise EvaluationError(f"--model-options takes KEY=VALUE, not {entry!r}")
        arguments[key] = yaml.safe_load(value)
    return SourceOptions(
        scores=None if options.scores is None else tuple(dict.fromkeys(options.scores)),
        device=device,
        precision=options.precision,
        label_space=options.label_space,
        mean=tuple(options.mean),
        std=tuple(options.std),
        scale=options.scale,
        factory=arguments,
    )


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
    if options.bootstrap < 0 or (options.repeats is not None and options.repeats < 1):
        raise EvaluationError("--bootstrap and --repeats are numbers of 1 and more")
    return [_plan(options, name) for name in names]


def _plan(options: argparse.Namespace, name: str) -> Plan:
    protocol = PROTOCOLS[options.protocol]
    extra: dict[str, Any] = {}
    if name == "simulation":
        seeds = range(options.first_seed, options.first_seed + options.frames)
        frames = SimulatedFrames(seeds, options.width, options.height)
        size = f"{options.width}x{options.height}"
        extra = {"first_seed": options.first_seed, "size": size, "families": "development"}
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
    sources = [open_source(one, chosen) for one in options.model]
    names = distinct_names([source.name for source in sources])
    results, folders = [], []
    for source, name in zip(sources, names, strict=True):
        for plan in plans:
            place = folder / name / f"{options.protocol}-{plan.dataset_name}-{plan.split}"
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
    except KeyboardInterrupt:
        kept = "" if options.output is None else "; the same command goes on from here"
        parser.exit(130, f"{parser.prog}: stopped{kept}\n")
    if results:
        print(terminal_table(results))
    for result in results:
        for note in result["notes"]:
            print(f"{parser.prog}: {note}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

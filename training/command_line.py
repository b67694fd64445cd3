"""Options that the commands around sources of scores share."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import torch
import yaml

from open_set_seg.backends import AUTOMATIC, BACKENDS, PyTorchBackend
from open_set_seg.label_spaces import LABEL_SPACES
from open_set_seg.scoring import Scoring, ScoringError, describe_names
from training.ranks import Ranks
from training.sources import EvaluationError, SourceOptions


def count(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number of ``least`` and more."""

    def whole(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"a whole number from {least} is wanted, not {text}")
        return number

    return whole


def score_name(text: str) -> str:
    """An argument's type: the name of a scoring, in the form in which results hold it."""
    try:
        return str(Scoring.parse(text))
    except ScoringError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Options of sources, which other commands share."""
    group = parser.add_argument_group("networks")
    group.add_argument("--scores", nargs="+", type=score_name, metavar="NAME",
                       help="such as jsd, or odin:epsilon=0.001+msp+ground_focus; "
                            f"{describe_names()}; default: the checkpoint's")  # fmt: skip
    group.add_argument("--device", default="auto", metavar="NAME",
                       help="auto, cpu, cuda or cuda:N; default: auto")  # fmt: skip
    group.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"),
                       help="default: auto, what suits the device")  # fmt: skip
    group.add_argument("--backend", default=PyTorchBackend.name, choices=(AUTOMATIC, *BACKENDS),
                       help=f"what runs the network; default: {PyTorchBackend.name}, so that "
                            "figures do not depend on what is installed")  # fmt: skip
    group.add_argument("--threads", type=count(1), metavar="N",
                       help="of the CPU; figures may differ in the last digits between numbers of "
                            "threads; default: all cores")  # fmt: skip
    foreign = parser.add_argument_group("networks of others, fed with (RGB * scale - mean) / std")
    foreign.add_argument("--label-space", choices=LABEL_SPACES, metavar="NAME",
                         help=f"classes of the logits: {', '.join(LABEL_SPACES)}")  # fmt: skip
    defaults = SourceOptions()
    for name in ("mean", "std"):
        values: tuple[float, ...] = getattr(defaults, name)
        shown = " ".join(map(str, values))
        foreign.add_argument(f"--{name}", type=float, nargs=3, default=values,
                             metavar=("R", "G", "B"),
                             help=f"default: {shown}, ImageNet's")  # fmt: skip
    foreign.add_argument("--scale", type=float, default=defaults.scale, metavar="FACTOR",
                         help="default: 1/255")  # fmt: skip
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
        backend=options.backend,
        label_space=options.label_space,
        mean=tuple(options.mean),
        std=tuple(options.std),
        scale=options.scale,
        factory=arguments,
    )

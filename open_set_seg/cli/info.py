"""``open-set-seg info``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "what a checkpoint is"
DESCRIPTION = "Says what a checkpoint holds, how it was made and how well it did."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path, nargs="?", help="default: the demo checkpoint")


def run(options: argparse.Namespace) -> int:
    """Print the description of a checkpoint."""
    from open_set_seg.checkpoint import DEMO_CHECKPOINT, load_checkpoint

    path = options.checkpoint or DEMO_CHECKPOINT
    model, metadata = load_checkpoint(path)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    space = metadata.label_space
    lines = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
        "weights": f"SHA-256 {metadata.weights_sha256}",
        "network": f"{metadata.architecture}, width {metadata.width:g}, {parameters:,} parameters",
        "classes": f"{space.num_classes} of {space.name}: {', '.join(space.classes)}",
        "score": f"{metadata.score}, temperature {metadata.temperature:g}",
        "threshold": f"{metadata.threshold:g} {_in_brackets(metadata.threshold_rule)}",
        "made by": f"open_set_seg {metadata.package_version} "
        + _in_brackets(metadata.code_revision or ""),
        "seed": "unknown" if metadata.seed is None else str(metadata.seed),
        **{f"metric {name}": f"{value:g}" for name, value in metadata.metrics.items()},
        **{f"recipe {name}": str(value) for name, value in metadata.recipe.items()},
    }
    width = max(map(len, lines))
    for name, value in lines.items():
        print(f"{name:<{width}}  {value.strip()}")
    return 0


def _in_brackets(text: str) -> str:
    return f"({text})" if text else ""

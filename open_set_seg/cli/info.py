"""``open-set-seg info``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "what a checkpoint is"
DESCRIPTION = "Says what a checkpoint holds, how it was made and how well it did."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path, nargs="?", help="default: the demo checkpoint")
    parser.add_argument(
        "--size", default="2048x1024", metavar="WxH", help="image for the multiply-adds (2048x1024)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the description of a checkpoint."""
    from open_set_seg.checkpoint import DEMO_CHECKPOINT, load_checkpoint
    from open_set_seg.cli.sizes import read_size
    from open_set_seg.head import head_backend
    from open_set_seg.models import count_multiply_adds, count_parameters

    image_width, image_height = read_size(options.size)
    path = options.checkpoint or DEMO_CHECKPOINT
    model, metadata = load_checkpoint(path)
    parameters = count_parameters(model)
    multiply_adds = count_multiply_adds(model, image_height, image_width)
    space = metadata.label_space
    lines = {
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
        "weights": f"SHA-256 {metadata.weights_sha256}",
        "network": f"{metadata.architecture}, width {metadata.width:g}, {parameters:,} parameters"
        + (", with an outlier head" if metadata.outlier_head else ""),
        "multiply-adds": f"{multiply_adds:,} ({multiply_adds / 1e9:.4g} G) for an image of "
        f"{image_width} x {image_height}",
        "classes": f"{space.num_classes} of {space.name}: {', '.join(space.classes)}",
        "score": f"{metadata.score}, temperature {metadata.temperature:g}",
        "head": f"{head_backend()} on the CPU",
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

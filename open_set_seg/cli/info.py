"""``open-set-seg info``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.checkpoint import CheckpointMetadata

HELP = "what a checkpoint, an exported file or a described one is"
DESCRIPTION = (
    "Says what a checkpoint or an exported file holds, how it was made and how well it did; or "
    "what the description of another network (.yaml) makes of it."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path, nargs="?", help="default: the demo checkpoint")
    parser.add_argument(
        "--size", default="2048x1024", metavar="WxH", help="image for the multiply-adds (2048x1024)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the description of a checkpoint."""
    from open_set_seg.backends import choose_device
    from open_set_seg.checkpoint import (
        DEMO_CHECKPOINT,
        is_exported,
        load_checkpoint,
        load_statistics,
    )
    from open_set_seg.cli.fitted import describe_fitted
    from open_set_seg.cli.reporting import print_lines
    from open_set_seg.cli.sizes import read_size
    from open_set_seg.foreign import is_description
    from open_set_seg.head import head_backend
    from open_set_seg.models import count_multiply_adds, count_parameters

    path = options.checkpoint or DEMO_CHECKPOINT
    if is_exported(path):
        print_lines(_describe_exported(path))
        return 0
    if is_description(path):
        print_lines(_describe_described(path))
        return 0
    device = choose_device("auto")
    image_width, image_height = read_size(options.size)
    model, metadata = load_checkpoint(path)
    parameters = count_parameters(model)
    multiply_adds = count_multiply_adds(model, image_height, image_width)
    network = {
        "network": f"{_describe_network(metadata)}, {parameters:,} parameters",
        "multiply-adds": f"{multiply_adds:,} ({multiply_adds / 1e9:.4g} G) for an image of "
        f"{image_width} x {image_height}",
    }
    print_lines(
        {
            "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
            **network,
            "backend": _describe_backend(metadata),
            "head": f"{head_backend(device)} on {device}",
            **_describe_metadata(metadata),
            **describe_fitted(metadata, load_statistics(path)),
        }
    )
    return 0


def _describe_backend(metadata: CheckpointMetadata) -> str:
    """What runs the network here where nothing else is asked for."""
    from open_set_seg.backends import choose_device, explain_choice
    from open_set_seg.scoring import Scoring

    if Scoring.parse(metadata.score).needs_network:
        return f"pytorch, because the score {metadata.score} needs features or an intervention"
    device = choose_device("auto")
    name, reason = explain_choice(device)
    return f"{name} on {device} ({reason})"


def _describe_exported(path: Path) -> dict[str, str]:
    from open_set_seg.certificates import describe_certificate
    from open_set_seg.checkpoint import read_exported
    from open_set_seg.cli.fitted import describe_fitted
    from open_set_seg.export import FORMATS

    exported = read_exported(path)
    files = FORMATS[exported.format].files(path)
    size = sum(file.stat().st_size for file in files) / 1e6
    settings = exported.settings
    certificate = exported.certificate
    return {
        "file": f"{' and '.join(map(str, files))} ({size:.1f} MB)",
        "kind": f"{exported.format}, {settings.get('precision')}, for images of "
        f"{settings.get('width')}x{settings.get('height')}",
        "network": _describe_network(exported.metadata),
        **(
            {"certificate": "none: the file was not written by `open-set-seg export` as it is now"}
            if certificate is None
            else describe_certificate(certificate)
        ),
        **_describe_metadata(exported.metadata),
        **describe_fitted(exported.metadata, exported.statistics),
    }


def _describe_described(path: Path) -> dict[str, str]:
    import torch

    from open_set_seg.foreign import open_described, read_description

    description = read_description(path)
    metadata = open_described(path, torch.device("cpu"))[1]
    size, multiple = description.input_size, description.input_multiple
    said = _describe_metadata(metadata)
    return {
        "file": f"{path}, which describes {description.file}",
        "network": metadata.architecture,
        "input": f"({description.channel_order} * {description.scale:g} - "
        f"{list(description.mean)}) / {list(description.std)}"
        + (f", resized to {size[1]}x{size[0]}" if size else "")
        + (f", padded to multiples of {multiple}" if multiple else ""),
        **{title: said[title] for title in ("weights", "classes", "score", "threshold")},
    }


def _describe_network(metadata: CheckpointMetadata) -> str:
    text = f"{metadata.architecture}, width {metadata.width:g}"
    return text + (", with an outlier head" if metadata.outlier_head else "")


def _describe_metadata(metadata: CheckpointMetadata) -> dict[str, str]:
    space = metadata.label_space
    return {
        "weights": f"SHA-256 {metadata.weights_sha256}",
        "classes": f"{space.num_classes} of {space.name}: {', '.join(space.classes)}",
        "score": f"{metadata.score}, temperature {metadata.temperature:g}",
        "threshold": f"{metadata.threshold:g} {_in_brackets(metadata.threshold_rule)}",
        "made by": f"open_set_seg {metadata.package_version} "
        + _in_brackets(metadata.code_revision or ""),
        "seed": "unknown" if metadata.seed is None else str(metadata.seed),
        **{f"metric {name}": f"{value:g}" for name, value in metadata.metrics.items()},
        **{f"recipe {name}": str(value) for name, value in metadata.recipe.items()},
    }


def _in_brackets(text: str) -> str:
    return f"({text})" if text else ""

"""``open-set-seg fit``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from open_set_seg.checkpoint import CheckpointMetadata
    from open_set_seg.cli.inlier_images import InlierImages

HELP = "fit what scores know of inlier images, and write it into a checkpoint"
DESCRIPTION = (
    "Runs a checkpoint's network over images that show nothing unknown, and writes a checkpoint "
    "that carries their statistics (for sml, mahalanobis, embedding_density and react) and the "
    "maps that publish unbounded scores in [0, 1]. The weights and the checkpoint's own score, "
    "map and threshold stay as they are. Fit on data like that of the later use."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "images", type=Path, nargs="?", help="folder of pictures, searched with its subfolders"
    )
    parser.add_argument(
        "--simulation", type=int, metavar="N", help="render N scenes without unknown objects"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--scores", nargs="+", metavar="NAME",
        help="unbounded scores that get a map; default: all that the network can give",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--limit", type=int, metavar="N", help="take at most N pictures, evenly spaced"
    )
    parser.add_argument(
        "--size", default="1024x512", metavar="WxH", help="of rendered scenes (1024x512)"
    )


def run(options: argparse.Namespace) -> int:
    """Fit, write the new checkpoint and print what is in it."""
    from open_set_seg.backends import choose_device
    from open_set_seg.checkpoint import add_statistics, load_checkpoint
    from open_set_seg.cli.fitted import describe_fitted
    from open_set_seg.cli.reporting import print_lines, watch
    from open_set_seg.fitting import choose_scores, fit_score_maps, fit_statistics
    from open_set_seg.scores import ScoreStatistics
    from open_set_seg.segmenter import OpenSetSegmenter

    images = _open_images(options)
    if not options.output.absolute().parent.is_dir():
        raise ValueError(f"{options.output.parent} is no folder to write into")
    model, metadata = load_checkpoint(options.checkpoint)

    def segmenter(statistics: ScoreStatistics) -> OpenSetSegmenter:
        return OpenSetSegmenter(
            model, metadata, options.device, statistics=statistics, backend="pytorch"
        )

    # What will be fitted counts as there, so that a score that cannot be had is refused at once.
    anything: Any = {one.name: _nothing() for one in fields(ScoreStatistics)}
    planned = segmenter(ScoreStatistics(**anything))
    wanted = options.scores or choose_scores(planned)
    planned.check_scores(wanted)
    statistics = fit_statistics(
        model,
        metadata.label_space.num_classes,
        watch(images, "fitting statistics", "image"),
        choose_device(options.device),
    )
    maps = {}
    if mapped := _unbounded(wanted, metadata):
        seen = watch(images, "fitting score maps", "image")
        maps = fit_score_maps(segmenter(statistics), seen, mapped)
    written = add_statistics(
        options.checkpoint, options.output, statistics, maps, images.description
    )
    print_lines(describe_fitted(written, statistics))
    print(f"wrote {options.output} ({options.output.stat().st_size / 1e6:.2f} MB)")
    return 0


def _open_images(options: argparse.Namespace) -> InlierImages:
    from open_set_seg.cli.inlier_images import Pictures, RenderedScenes
    from open_set_seg.cli.sizes import read_size

    if (options.images is None) == (options.simulation is None):
        raise ValueError("expected a folder of pictures or --simulation N, one of the two")
    if options.simulation is None:
        return Pictures(options.images, options.limit)
    if options.limit is not None:
        raise ValueError("expected --limit with a folder of pictures only")
    return RenderedScenes(options.simulation, *read_size(options.size))


def _unbounded(names: Sequence[str], metadata: CheckpointMetadata) -> list[str]:
    """Those that need a map and do not have the checkpoint's own."""
    from open_set_seg.scoring import Scoring

    scorings = dict.fromkeys(Scoring.parse(name) for name in names)
    chosen = {str(one) for one in scorings if not one.bounded}
    return sorted(chosen - {metadata.score})


def _nothing() -> Any:
    import torch

    return torch.empty(0)

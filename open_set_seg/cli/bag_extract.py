"""``open-set-seg bag extract``: frames of recordings as files for training and evaluation."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "write frames of recordings as files for training (hard examples)"
DESCRIPTION = (
    "Writes frames of recordings as PNG files in LostAndFound's layout, which the data set "
    "lost_and_found of training and evaluation reads. Labels are written as unknown (255): say "
    "what is free road (1) and what is an obstacle (2), or take the images alone, without labels."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument(
        "bags", type=Path, nargs="+", metavar="BAG",
        help="recording, or folder of recordings such as recorder.folder",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="ROOT")
    parser.add_argument("--split", default="train", choices=("train", "test"))
    parser.add_argument(
        "--spacing", type=float, default=0.5, metavar="S",
        help="least time between two frames: neighbours teach the same; default: 0.5",
    )  # fmt: skip
    parser.add_argument("--image-topic", default="/image", metavar="TOPIC")
    parser.add_argument("--camera-info-topic", default="/camera_info", metavar="TOPIC")
    parser.add_argument("--disparity-topic", default="/disparity", metavar="TOPIC")


def run(options: argparse.Namespace) -> int:
    """Extract every recording; one that was extracted before is an error."""
    from open_set_seg.bags import FrameTopics
    from open_set_seg.bags.extraction import extract_frames

    topics = FrameTopics(
        image=options.image_topic,
        camera_info=options.camera_info_topic,
        disparity=options.disparity_topic,
    )
    for bag in list_recordings(options.bags):
        done = extract_frames(bag, options.output, options.split, options.spacing, topics)
        print(
            f"{bag}: {done.frames} frames as {done.scene}, {done.with_range} with disparity, "
            f"{done.with_prediction} with the detector's labels"
        )
    return 0


def list_recordings(paths: list[Path]) -> list[Path]:
    """The recordings themselves, and those in folders, by name.

    Raises:
        ValueError: a path that is neither a recording nor a folder with one.
    """
    found: list[Path] = []
    for path in paths:
        inside = [each.parent for each in sorted(path.glob("*/metadata.yaml"))]
        inside = [each for each in inside if not each.name.startswith(".")]
        if path.is_dir() and not (path / "metadata.yaml").exists() and inside:
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"{path}: no recording, and no folder with recordings")
    return found

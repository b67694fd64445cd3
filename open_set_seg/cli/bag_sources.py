"""``open-set-seg bag from-...``: stored stereo data sets become recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from open_set_seg.bags.conversion import ConversionSummary, Fault, StereoSource

EXIT_INCOMPLETE = 1
CITYSCAPES_HZ = 17.0  # Cordts et al. 2016, section 2.1; assumed for LostAndFound too
FOLDERS_HZ = 10.0
RECORDED = (
    "Missing and damaged files are named and left out (exit code 1); the rest is converted. "
    "The time of a picture is not part of the data set: it is assumed from --frame-rate, and "
    "/dataset/info of the recording says so."
)


@dataclass(frozen=True)
class Source:
    """A verb that converts a kind of data set."""

    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def _add_layout(parser: argparse.ArgumentParser, splits: tuple[str, ...], split: str) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="holds leftImg8bit and the like")
    parser.add_argument("--split", default=split, choices=splits, help=f"default: {split}")
    parser.add_argument(
        "--scene", default="*", metavar="GLOB", help="scenes to take, such as '04_*'; default: all"
    )
    _add_output(parser, recorded_hz=CITYSCAPES_HZ)


def _add_lost_and_found(parser: argparse.ArgumentParser) -> None:
    _add_layout(parser, ("train", "test"), "test")


def _add_cityscapes(parser: argparse.ArgumentParser) -> None:
    _add_layout(parser, ("train", "val", "test"), "val")


def _add_folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("left", type=Path, metavar="LEFT", help="folder of left images")
    parser.add_argument("right", type=Path, metavar="RIGHT", help="of right ones, equally named")
    parser.add_argument(
        "--calibration", type=Path, nargs="+", required=True, metavar="YAML",
        help="left's and right's file of ROS's camera calibration, or one file with f, cx, cy "
        "(pixels) and baseline (metres)",
    )  # fmt: skip
    state = parser.add_mutually_exclusive_group()
    state.add_argument("--rectify", action="store_true", help="the images are raw: rectify them")
    state.add_argument("--rectified", action="store_true", help="the images are rectified already")
    parser.add_argument(
        "--max-disparity", type=int, metavar="PX", help="searched; default: 12 %% of the width"
    )
    _add_output(parser, recorded_hz=FOLDERS_HZ)


def _add_output(parser: argparse.ArgumentParser, recorded_hz: float) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT",
        help="recording to make; folder of recordings with --bag-of scene or sequence",
    )  # fmt: skip
    parser.add_argument(
        "--bag-of", default="all", choices=("all", "scene", "sequence"),
        help="one recording in all (default), or one for each",
    )  # fmt: skip
    parser.add_argument(
        "--frame-rate", type=float, default=recorded_hz, metavar="HZ",
        help=f"of the camera, assumed; default: {recorded_hz:g}",
    )  # fmt: skip
    parser.add_argument(
        "--timing", default="numbers", choices=("numbers", "even"),
        help="numbers: by the pictures' numbers, so that pictures between them leave gaps "
        "(default); even: one after the other",
    )  # fmt: skip
    parser.add_argument(
        "--gap", type=float, default=1.0, metavar="S", help="between sequences; default: 1"
    )
    parser.add_argument(
        "--images", default="raw", choices=("raw", "compressed", "jpeg"),
        help="raw: rgb8 (default); compressed: CompressedImage with the files' bytes; jpeg: "
        "encoded anew",
    )  # fmt: skip
    parser.add_argument("--jpeg-quality", type=int, default=95, metavar="Q", help="default: 95")
    parser.add_argument("--storage", default="mcap", choices=("mcap", "sqlite3"))
    parser.add_argument(
        "--compression", default="none", choices=("none", "message", "file", "chunk"),
        help="of the recording, Zstandard: rosbag2's message or file, or MCAP's chunks",
    )  # fmt: skip


def _run_lost_and_found(options: argparse.Namespace) -> int:
    from open_set_seg.bags.conversion import open_lost_and_found

    return _convert(open_lost_and_found(options.root, options.split, options.scene), options)


def _run_cityscapes(options: argparse.Namespace) -> int:
    from open_set_seg.bags.conversion import open_cityscapes

    return _convert(open_cityscapes(options.root, options.split, options.scene), options)


def _run_folders(options: argparse.Namespace) -> int:
    from open_set_seg.bags.conversion import StereoFolders, read_pair_calibration

    rectify = True if options.rectify else False if options.rectified else None
    calibration = read_pair_calibration(options.calibration, rectify)
    source = StereoFolders(options.left, options.right, calibration, options.max_disparity)
    return _convert(source, options)


SOURCES = {
    "from-lost-and-found": Source(
        "make a recording of LostAndFound",
        "Makes a recording of LostAndFound: images, both camera_info, disparity, ground truth and "
        f"static transforms. {RECORDED}",
        _add_lost_and_found,
        _run_lost_and_found,
    ),
    "from-cityscapes": Source(
        "make a recording of Cityscapes, or of a data set in its layout",
        "Makes a recording of folders in Cityscapes' layout: leftImg8bit and what there is of "
        f"rightImg8bit, disparity, camera and gtFine. {RECORDED}",
        _add_cityscapes,
        _run_cityscapes,
    ),
    "from-stereo-folders": Source(
        "make a recording of a folder of left and a folder of right images",
        "Makes a recording of pairs of images with equal names and computes their disparity by "
        f"OpenCV's semi-global block matching. {RECORDED}",
        _add_folders,
        _run_folders,
    ),
}


def _convert(source: StereoSource, options: argparse.Namespace) -> int:
    from open_set_seg.bags.conversion import ConversionConfig, convert
    from open_set_seg.cli.reporting import watch

    config = ConversionConfig(
        frame_rate=options.frame_rate,
        timing=options.timing,
        gap_s=options.gap,
        images=options.images,
        jpeg_quality=options.jpeg_quality,
        bag_of=options.bag_of,
        storage=options.storage,
        compression=options.compression,
    )
    summary = convert(source, options.output, config, _report, lambda s: watch(s, "converting"))
    _summarise(summary)
    return 0 if summary.complete else EXIT_INCOMPLETE


def _report(fault: Fault) -> None:
    from tqdm import tqdm

    tqdm.write(str(fault), file=sys.stderr)


def _summarise(summary: ConversionSummary) -> None:
    for bag in summary.bags:
        held: dict[str, Any] = bag.messages
        print(f"{bag.path}: " + ", ".join(f"{count} {topic}" for topic, count in held.items()))
    print(f"converted {summary.converted} of {summary.found} frames")
    if not summary.complete:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(summary.left_out.items()))
        print(f"left out: {kinds} (named above)")

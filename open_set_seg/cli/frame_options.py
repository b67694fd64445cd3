"""Options that several verbs have: the network, where ranges come from, topics of a recording."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.bags import FrameTopics
    from open_set_seg.cli.files import Calibration, SecondKind

TOPICS = {
    "image": "/image",
    "camera_info": "/camera_info",
    "disparity": "/disparity",
    "depth": "/depth",
    "right_camera_info": "/right/camera_info",
}
# Of image and range stamps, as the node's `sync_tolerance_s`.
TOLERANCE_S = 0.01


def add_network_arguments(parser: argparse._ActionsContainer, score_note: str = "") -> None:
    """``--device``, ``--backend``, ``--precision`` and ``--score``.

    Args:
        score_note: what goes with another score.
    """
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--backend", default="auto", metavar="NAME",
        help="what runs the network: auto, pytorch, openvino or cuda_graph",
    )  # fmt: skip
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"),
        help="arithmetic of the network; auto is fp32",
    )  # fmt: skip
    parser.add_argument(
        "--score", metavar="NAME", help=f"instead of the checkpoint's own{score_note}"
    )


def add_range_arguments(parser: argparse.ArgumentParser, title: str) -> None:
    """A second image, a disparity or a depth for pictures, and what is known of the camera."""
    files = parser.add_argument_group(title)
    second = files.add_mutually_exclusive_group()
    second.add_argument("--right", type=Path, metavar="PATH", help="right image(s)")
    second.add_argument(
        "--disparity", type=Path, metavar="PATH", help=".npy in pixels, or 16-bit PNG times 256"
    )
    second.add_argument(
        "--depth", type=Path, metavar="PATH", help=".npy in metres, or 16-bit PNG in millimetres"
    )
    files.add_argument("--camera", type=Path, metavar="YAML", help="camera_info of the left camera")
    files.add_argument("--focal", type=float, metavar="PX", help="focal length, pixels")
    files.add_argument(
        "--principal-point", type=float, nargs=2, metavar=("CX", "CY"), help="default: the centre"
    )
    files.add_argument("--baseline", type=float, metavar="M", help="of the pair, metres")


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """The topics that make up frames."""
    bags = parser.add_argument_group("topics of a recording")
    for name, topic in TOPICS.items():
        option = f"--{name.replace('_', '-')}-topic"
        bags.add_argument(option, default=topic, metavar="TOPIC", help=topic)


def read_topics(options: argparse.Namespace) -> FrameTopics:
    """The topics that were chosen."""
    from open_set_seg.bags import FrameTopics

    return FrameTopics(**{name: getattr(options, f"{name}_topic") for name in TOPICS})


def read_range_source(
    options: argparse.Namespace,
) -> tuple[tuple[SecondKind, Path] | None, Calibration]:
    """Kind and place of the second source of pictures, and what is known of the camera."""
    from open_set_seg.cli.files import SECOND_KINDS, Calibration, read_camera_file

    known = Calibration(
        camera=read_camera_file(options.camera) if options.camera else None,
        focal=options.focal,
        principal_point=tuple(options.principal_point) if options.principal_point else None,
        baseline=options.baseline,
    )
    given = [(kind, getattr(options, kind)) for kind in SECOND_KINDS]
    return next((entry for entry in given if entry[1] is not None), None), known

"""Options of ``calibrate`` that say what the threshold is for and what the frames are."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_detector_arguments(parser: argparse.ArgumentParser) -> None:
    """Network and configuration."""
    group = parser.add_argument_group("what the threshold will be used with")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    group.add_argument("--backend", default="auto", metavar="NAME", help="what runs the network")
    group.add_argument("--precision", default="auto", choices=("auto", "fp32", "bf16", "fp16"))
    group.add_argument("--score", metavar="NAME", help="instead of the checkpoint's own")
    group.add_argument("--no-ground", action="store_true", help="alarms off the road count too")
    group.add_argument("--min-area-px", type=int, metavar="N", help="of an obstacle, pixels")
    group.add_argument("--min-area-m2", type=float, metavar="A", help="of an obstacle, m^2")
    group.add_argument(
        "--min-blind-area-px", type=int, metavar="N", help="of an obstacle without range"
    )
    group.add_argument("--no-opening", action="store_true", help="keep threads and specks")


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Ranges of pictures, sizes of scenes, topics of recordings."""
    files = parser.add_argument_group("ranges of pictures, as for detect")
    second = files.add_mutually_exclusive_group()
    for name in ("right", "disparity", "depth"):
        second.add_argument(f"--{name}", type=Path, metavar="PATH")
    files.add_argument("--camera", type=Path, metavar="YAML", help="camera_info of the left camera")
    files.add_argument("--focal", type=float, metavar="PX", help="focal length, pixels")
    files.add_argument("--principal-point", type=float, nargs=2, metavar=("CX", "CY"))
    files.add_argument("--baseline", type=float, metavar="M", help="of the pair, metres")
    files.add_argument(
        "--size", default="1024x512", metavar="WxH", help="of rendered scenes (1024x512)"
    )
    bags = parser.add_argument_group("topics of a recording")
    for name in ("image", "camera-info", "disparity", "depth", "right-camera-info"):
        topic = "/right/camera_info" if name.startswith("right") else f"/{name.replace('-', '_')}"
        bags.add_argument(f"--{name}-topic", default=topic, metavar="TOPIC", help=topic)

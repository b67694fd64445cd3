"""``open-set-seg demo``."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.demo import LivePlayer

EXIT_INTERRUPTED = 130
ABSENT = argparse.SUPPRESS
HELP = "a simulated drive through the whole system"
DESCRIPTION = (
    "Renders a drive past things that no network was taught, sends it as ROS 2 messages from one "
    "process into the detector in another, and makes pictures, a video, a recording and tables of "
    "what was found."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb; those that are not given keep the defaults of ``DemoConfig``."""
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="default: demo_output", default=ABSENT
    )
    parser.add_argument("--frames", type=int, metavar="N", help="of the drive", default=ABSENT)
    parser.add_argument("--seed", type=int, metavar="S", help="of the drive", default=ABSENT)
    parser.add_argument("--size", type=_size, metavar="WxH", help="of the images", default=ABSENT)
    parser.add_argument(
        "--rate", type=float, dest="rate_hz", metavar="HZ", help="frames a second", default=ABSENT
    )
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="another checkpoint", default=ABSENT
    )
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:N", default=ABSENT)
    parser.add_argument(
        "--backend",
        help="what runs the network: auto, pytorch, openvino or cuda_graph",
        default=ABSENT,
    )
    parser.add_argument(
        "--no-right",
        action="store_false",
        dest="right",
        help="leave the right image out: renders in half the time",
        default=ABSENT,
    )
    parser.add_argument(
        "--no-ros", action="store_true", help="the same pipeline in this process, without ROS"
    )


def run(options: argparse.Namespace) -> int:
    """Run the demo; 0, or 130 when the user ended it early."""
    live: LivePlayer | None = None
    if not options.no_ros:
        if importlib.util.find_spec("rclpy") is None:
            raise ValueError(
                "ROS 2 (rclpy) is not installed: pip install 'open_set_seg[ros]', or source a ROS "
                "installation, or add --no-ros to run the pipeline in this process"
            )
        from open_set_seg.ros.live import play_live

        live = play_live
    from open_set_seg.demo import DemoConfig, run_demo

    chosen = {k: v for k, v in vars(options).items() if k in DemoConfig.__dataclass_fields__}
    if "size" in options:
        chosen["width"], chosen["height"] = options.size
    summary = run_demo(DemoConfig(**chosen), live)
    return EXIT_INTERRUPTED if summary["interrupted"] else 0


def _size(text: str) -> tuple[int, int]:
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"a size is WIDTHxHEIGHT, not {text!r}") from None
    return width, height

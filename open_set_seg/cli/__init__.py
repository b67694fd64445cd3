"""The command line: ``open-set-seg demo | detect | bag | info | fit | export | certify | ...``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

# Beside other busy processes PyTorch's spinning threads cost a factor of six; this must be set
# before torch is imported, which the verbs do.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from open_set_seg import __version__
from open_set_seg.cli import (
    bag,
    benchmark,
    calibrate,
    certify,
    demo,
    detect,
    doctor,
    export,
    fit,
    info,
)

EXIT_FAILED = 2
VERBS: dict[str, Any] = {
    "demo": demo,
    "detect": detect,
    "bag": bag,
    "info": info,
    "fit": fit,
    "calibrate": calibrate,
    "export": export,
    "certify": certify,
    "benchmark": benchmark,
    "doctor": doctor,
}
# Package whose import failed -> the extra that brings it.
EXTRAS = {
    "torch": "torch",
    "cv2": "opencv",
    "rosbags": "bags",
    "openvino": "openvino",
    "onnxruntime": "onnx",
    "onnx": "export",
    "onnxscript": "export",
    "nncf": "export",
    "pyarrow": "parquet",
    "distributed": "fleet",
    "rclpy": "ros",
    "stereo_msgs": "ros",
    "std_srvs": "ros",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; 0 when it is done, 2 after an error (one line on stderr), 130 after Ctrl-C."""
    options = _build_parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up then too
    try:
        return run(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return demo.EXIT_INTERRUPTED
    except ModuleNotFoundError as error:
        print(f"open-set-seg: {_describe_missing(error)}", file=sys.stderr)
    except (ValueError, OSError) as error:
        print(f"open-set-seg: {error}", file=sys.stderr)
    return EXIT_FAILED


def _describe_missing(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    if extra is None:
        return str(error)
    hint = f"pip install 'open_set_seg[{extra}]'"
    if extra == "ros":
        hint += ", or source the setup file of a ROS 2 installation"
    return f"{package} is not installed: {hint}"


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="open-set-seg", description="Open-set segmentation and obstacles with distances."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, verb in VERBS.items():
        verb.add_arguments(verbs.add_parser(name, help=verb.HELP, description=verb.DESCRIPTION))
        verbs.choices[name].set_defaults(run=verb.run)
    return parser

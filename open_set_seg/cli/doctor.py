"""``open-set-seg doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from open_set_seg.doctor import Finding
    from open_set_seg.doctor.snapshot import Role

HELP = "what is wrong with this machine, a model, a recording or a running system"
DESCRIPTION = (
    "Looks at the machine and the model, and at a recording or a running system where one is "
    "named, and prints what was found, the gravest first, with what to do about it. Exit code 0: "
    "no errors (warnings aside, but with --strict); 1: errors; 2: wrong usage."
)
EXIT_ERRORS = 1
RECORDING_SECONDS, LIVE_SECONDS = 30.0, 5.0
TOPICS: dict[Role, str] = {
    "image": "/image",
    "camera_info": "/camera_info",
    "disparity": "/disparity",
    "depth": "/depth",
    "right_camera_info": "/right/camera_info",
}
COLOURS = {"error": "\033[1;31m", "warning": "\033[33m", "note": "\033[36m", "ok": "\033[32m"}
RESET = "\033[0m"
WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("bag", type=Path, nargs="?", help="a recording (rosbag2) to look into")
    parser.add_argument("--live", action="store_true", help="look at what is being published now")
    parser.add_argument(
        "--node", default="", help="full name of a running detector: look at what it listens to"
    )
    parser.add_argument(
        "--seconds", type=float, help="how long to listen (5); of a recording how much to read (30)"
    )
    for role, name in TOPICS.items():
        parser.add_argument(
            f"--{role.replace('_', '-')}", default=name, metavar="TOPIC", help=f"default: {name}"
        )
    parser.add_argument("--model", type=Path, help="default: the demo checkpoint")
    parser.add_argument(
        "--calibration", default="auto", metavar="FILE",
        help="auto: MODEL.calibration.yaml where it is there (default); off; or a file",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print findings for machines")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for warnings too")


def run(options: argparse.Namespace) -> int:
    """Run the checks and print what they found."""
    from open_set_seg.doctor import findings_to_json, sort_findings

    found = _examine(options)
    if options.json:
        print(json.dumps(findings_to_json(found), indent=2))
    else:
        _print(sort_findings(found))
    bad = ("error", "warning") if options.strict else ("error",)
    return EXIT_ERRORS if any(finding.severity in bad for finding in found) else 0


def _examine(options: argparse.Namespace) -> list[Finding]:
    from open_set_seg.doctor import ModelFiles, attempt, examine_environment, examine_model

    _refuse_nonsense(options)
    model = options.model or _demo_checkpoint()
    found = [
        *examine_environment(),
        *examine_model(ModelFiles(model, _calibration(options.calibration))),
    ]
    if options.bag is not None:
        found += attempt("recording", lambda: _examine_recording(options))
    if options.live:
        found += attempt("live", lambda: _examine_live(options))
    return found


def _refuse_nonsense(options: argparse.Namespace) -> None:
    options.live = options.live or bool(options.node)
    if options.bag is not None and options.live:
        raise ValueError("expected a recording or --live, found both")
    if options.bag is not None and not options.bag.exists():
        raise ValueError(f"expected a recording at {options.bag}, found nothing there")
    if options.seconds is not None and not 0 <= options.seconds <= 86400:
        raise ValueError(f"expected --seconds from 0 to 86400, found {options.seconds:g}")


def _examine_recording(options: argparse.Namespace) -> list[Finding]:
    from open_set_seg.bags import BagError
    from open_set_seg.doctor import error
    from open_set_seg.doctor.inputs import examine_inputs
    from open_set_seg.doctor.recording import examine_recording

    seconds = RECORDING_SECONDS if options.seconds is None else options.seconds
    try:
        return examine_inputs(examine_recording(options.bag, _topics(options), seconds, _segment()))
    except BagError as failure:
        advice = "name its folder (with metadata.yaml); `ros2 bag reindex FOLDER` writes one anew"
        return [error(str(failure), advice)]


def _examine_live(options: argparse.Namespace) -> list[Finding]:
    from open_set_seg.doctor import error
    from open_set_seg.doctor.inputs import examine_inputs
    from open_set_seg.ros.examination import ExaminationError, examine_live

    seconds = LIVE_SECONDS if options.seconds is None else options.seconds
    try:
        snapshot = examine_live(_topics(options), _full_name(options.node), seconds, _segment())
    except ExaminationError as failure:
        advice = "ros2 node list shows names; is ROS_DOMAIN_ID the same here and there?"
        return [error(str(failure), advice)]
    return examine_inputs(snapshot)


def _full_name(node: str) -> str:
    return f"/{node.strip('/')}" if node else ""


def _topics(options: argparse.Namespace) -> dict[Role, str]:
    return {role: getattr(options, role) for role in TOPICS}


def _segment() -> int | None:
    from open_set_seg.doctor import Surroundings
    from open_set_seg.doctor.middleware import segment_of

    return segment_of(Surroundings.here())


def _calibration(choice: str) -> Path | Literal["off"] | None:
    if choice == "auto":
        return None
    return "off" if choice == "off" else Path(choice)


def _demo_checkpoint() -> Path:
    # By its place: importing the checkpoint's module would need torch.
    return Path(__file__).resolve().parent.parent / "checkpoints" / "demo.safetensors"


def _print(found: list[Finding]) -> None:
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    names = max((len(finding.check) for finding in found), default=0)
    for finding in found:
        severity = f"{finding.severity:<7}"
        if coloured:
            severity = f"{COLOURS[finding.severity]}{severity}{RESET}"
        indent = " " * (8 + names + 2)
        print(f"{severity} {finding.check:<{names}}  {_fold(finding.what, indent)}")
        if finding.advice:
            # In one line, however long, so that a command in it can be copied.
            print(f"{indent}-> {finding.advice}")
    print(_summary(found))


def _fold(text: str, indent: str) -> str:
    """A text in lines of at most ``WIDTH``; words, which may be commands, stay whole."""
    lines = textwrap.wrap(
        text, WIDTH - len(indent), break_long_words=False, break_on_hyphens=False
    ) or [""]
    return f"\n{indent}".join(lines)


def _summary(found: list[Finding]) -> str:
    counts = {
        title: sum(finding.severity == severity for finding in found)
        for severity, title in (("error", "error"), ("warning", "warning"), ("note", "note"))
    }
    said = [f"{n} {title}{'s' if n != 1 else ''}" for title, n in counts.items() if n]
    rest = sum(finding.severity == "ok" for finding in found)
    return "\n" + ", ".join([*said, f"{rest} ok"])

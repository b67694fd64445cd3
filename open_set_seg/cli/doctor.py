"""``open-set-seg doctor``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.doctor import Finding

HELP = "what is wrong with this machine, a model, a recording or a running system"
DESCRIPTION = (
    "Looks at the machine and the model, and at a recording or a running system where one is "
    "named, and prints what was found, the gravest first, with what to do about it. Exit code 0: "
    "no errors (warnings aside, but with --strict); 1: errors; 2: wrong usage."
)
EXIT_ERRORS = 1
COLOURS = {"error": "\033[1;31m", "warning": "\033[33m", "note": "\033[36m", "ok": "\033[32m"}
RESET = "\033[0m"
WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("--model", type=Path, help="default: the demo checkpoint")
    parser.add_argument(
        "--calibration", type=Path, help="default: MODEL.calibration.yaml where it is there"
    )
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
    from open_set_seg.doctor import ModelFiles, examine_environment, examine_model

    model = options.model or _demo_checkpoint()
    return [*examine_environment(), *examine_model(ModelFiles(model, options.calibration))]


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

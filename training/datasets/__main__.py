"""``python -m training.datasets check ROOT``: what data is there, and is it whole?"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from training.datasets.check import check_datasets, summary
from training.datasets.registry import DATASETS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.datasets", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser(
        "check",
        help="list the data sets below a folder",
        description="What there is of every data set and split; with --read also whether it can be "
        "used. The exit code is 1 if a file that was read cannot be used, else 0.",
    )
    check.add_argument(
        "root", metavar="ROOT", help="a data set's own folder, or a folder that holds some"
    )
    check.add_argument(
        "--dataset",
        action="append",
        choices=DATASETS,
        metavar="NAME",
        help=f"only this one, with the expected layout if it is not there; may be repeated: "
        f"{', '.join(DATASETS)}",
    )
    check.add_argument("--read", action="store_true", help="load every frame, name corrupt files")
    check.add_argument(
        "--workers", type=int, metavar="N", help="threads that load (default: one a processor)"
    )
    check.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    if not Path(options.root).expanduser().is_dir():
        parser.error(f"{options.root}: no such folder")

    checks = check_datasets(
        options.root, options.dataset, options.read, options.workers, sys.stderr.isatty()
    )
    if options.json:
        print(json.dumps({name: asdict(each) for name, each in checks.items()}, indent=2))
    else:
        print(summary(checks))
    corrupt = (split.corrupt for check in checks.values() for split in check.splits.values())
    return 1 if any(corrupt) else 0


if __name__ == "__main__":
    sys.exit(main())

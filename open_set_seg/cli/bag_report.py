"""``open-set-seg bag report``: pages of recordings that were processed before."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EXIT_INCOMPLETE = 1
HELP = "make the pages of processed recordings again, and an index over them"
DESCRIPTION = (
    "Makes report.html in the folder of every recording that `bag process` wrote into OUT, and "
    "index.html over all of them, from the files that lie there: no network runs. OUT may also be "
    "the folder of one recording, which then gets its page alone."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("output", type=Path, metavar="OUT", help="as given to `bag process -o`")


def run(options: argparse.Namespace) -> int:
    """Make the pages; what is damaged is named, and the others are made."""
    from open_set_seg.processing.report import write_index, write_report
    from open_set_seg.processing.run_file import RUN

    output: Path = options.output
    if (output / RUN).is_file():
        print(write_report(output))
        return 0
    folders = sorted(path.parent for path in output.glob(f"*/{RUN}"))
    if not folders:
        raise ValueError(
            f"{output} holds no processed recording (no {RUN}, here or a folder below)"
        )
    failed = 0
    for folder in folders:
        try:
            print(write_report(folder))
        except (ValueError, OSError) as error:
            failed += 1
            print(f"{folder}: {error}", file=sys.stderr)
    print(write_index(output))
    return EXIT_INCOMPLETE if failed else 0

"""``python -m training.study.page`` writes the page anew from the results that are there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from training.study.page.page import PAGE, RESULTS, write_page
from training.study.results.reading import ResultError


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.study.page", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER",
                        help="default: %(default)s")  # fmt: skip
    parser.add_argument("--output", type=Path, default=PAGE, metavar="FILE.md",
                        help="default: %(default)s")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        written = write_page(options.results, options.output)
    except ResultError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for path in written:
        print(f"written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Compare stored evaluations on one page: ``python -m training.compare DIR... --output PAGE``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from open_set_seg.report.text import plain
from training.presentation.collection import collect_results
from training.presentation.differences import difference_table
from training.presentation.page import write_page
from training.presentation.runs import groups_of
from training.presentation.tables import comparison_tables


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m training.compare", description=__doc__)
    parser.add_argument(
        "places", nargs="+", type=Path, metavar="DIR", help="results, or folders of results"
    )
    parser.add_argument("--output", type=Path, required=True, help="the HTML page to write")
    options = parser.parse_args(arguments)
    try:
        found = collect_results(options.places)
        results, folders = [result for result, _ in found], [folder for _, folder in found]
        write_page(options.output, results, folders)
    except (ValueError, ModuleNotFoundError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for group in groups_of(results, folders):
        print(plain(comparison_tables(group)[0]))
        if (differences := difference_table(group)) is not None:
            print(plain(differences))
    print(f"{len(results)} results on one page: {options.output}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

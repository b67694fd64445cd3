"""Compare stored evaluations on one page: ``python -m training.compare DIR... --output PAGE``.

Several training runs of one recipe are named together, ``--seeds NAME DIR...``: the page then has
means over seeds, and differences between such arms, paired by seed in the order given.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from open_set_seg.report import Table
from open_set_seg.report.text import plain
from training.presentation.collection import collect_results
from training.presentation.differences import difference_table
from training.presentation.page import write_page
from training.presentation.runs import groups_of
from training.presentation.seeds import arm_difference_table, collect_arms, mean_table, seed_section
from training.presentation.tables import comparison_tables
from training.presentation.wording import file_problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m training.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "places", nargs="*", type=Path, metavar="DIR", help="results, or folders of results"
    )
    parser.add_argument("--seeds", nargs="+", action="append", default=[], metavar="NAME DIR",
                        help="an arm: its name, and the results of its seeds")  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="PAGE", help="the HTML page to write"
    )
    options = parser.parse_args(arguments)
    try:
        arms = collect_arms(_named_arms(options.seeds))
        everything = [*options.places, *(Path(one) for _, *some in options.seeds for one in some)]
        found = collect_results(everything)
        results, folders = [result for result, _ in found], [folder for _, folder in found]
        groups = groups_of(results, folders)
        write_page(options.output, results, folders, [seed_section(arms)] if arms else [])
    except (ValueError, ModuleNotFoundError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except OSError as error:
        parser.exit(2, f"{parser.prog}: {file_problem(error)}\n")
    for group in groups:
        _print_tables(comparison_tables(group)[0], difference_table(group))
    if arms:
        _print_tables(mean_table(arms), arm_difference_table(arms))
    count = "1 result" if len(results) == 1 else f"{len(results)} results on one page"
    print(f"{count}: {options.output}")
    return 0


def _named_arms(given: Sequence[Sequence[str]]) -> dict[str, list[Path]]:
    arms: dict[str, list[Path]] = {}
    for name, *places in given:
        if not places or name in arms:
            raise ValueError(f"--seeds takes a name of its own and results, not {name!r} {places}")
        arms[name] = [Path(place) for place in places]
    return arms


def _print_tables(*tables: Table | None) -> None:
    for table in tables:
        if table is not None:
            print(plain(table))


if __name__ == "__main__":
    raise SystemExit(main())

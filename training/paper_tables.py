"""The papers' tables with room for ours: ``python -m training.paper_tables [RESULTS...]``.

Prints Markdown. ``docs/paper_tables.md`` is its output without results, and with them once somebody
has measured: ``python -m training.paper_tables runs/evaluation > docs/paper_tables.md``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH
from open_set_seg.report.text import markdown
from training.presentation.cells import number_cell
from training.presentation.collection import collect_results
from training.presentation.papers import Measurement, Published, PublishedTable, load_published
from training.presentation.published import needs_text, source_text
from training.presentation.runs import Result, Run, groups_of, numbered
from training.presentation.tables import our_source
from training.presentation.wording import METRICS, band_name, percent, score_title

WIDEST = 9  # columns of figures in one table; wider ones are printed by data set
HEAD = """# The papers' tables

Every table of results of the five papers, as they print it, with room for what this project
measures by the same rules. Nothing of ours is entered before somebody has measured it: the data
sets are not ours to ship.

This page is generated. To fill it, run the commands under a table with a checkpoint and the folder
that holds the data sets (`python -m training.datasets check ROOT` tells what is found there), then:

```
python -m training.paper_tables runs/evaluation > docs/paper_tables.md
```

Figures are percentages unless a table says otherwise. What ± means differs and is said with each
table. *needs*: aux, real negative data in training; resyn, synthesis of the image. T: the paper's
table. A dash: the paper does not print it.
"""
CONTRADICTIONS = """## Known contradictions

Where the papers disagree with each other, or with themselves. AP / FPR95 / AUROC in this order.
"""


def paper_tables(results: Sequence[Result] = ()) -> str:
    """The page as Markdown, with our results where a table has their protocol and data set."""
    published = load_published()
    runs = [run for group in groups_of(results) for run in group.runs] if results else []
    parts = [HEAD, _papers(published)]
    parts += [_section(table, published, runs) for table in published.tables.values()]
    parts.append(CONTRADICTIONS + "\n" + "\n".join(f"- {one}" for one in published.contradictions))
    return "\n".join(parts) + "\n"


def tables_with_ours(
    table: PublishedTable, published: Published, runs: Sequence[Run] = ()
) -> list[Table]:
    """A published table with rows of ours below: one a model and score, or one empty row.

    Wide tables come as one a data set.
    """
    places = range(len(table.measurements))
    if sum(len(one.metrics) for one in table.measurements) <= WIDEST:
        return [_part(table, published, runs, list(places), "")]
    names = [one.name for one in table.measurements]
    return [_part(table, published, runs, [place], names[place]) for place in places]


def commands(table: PublishedTable) -> list[str]:
    """What measures ours for a table: a command a protocol; empty where the project has none."""
    lines = {
        f"python -m training.evaluate CHECKPOINT --protocol {one.protocols[0]} --data ROOT "
        "--output runs/evaluation": None
        for one in table.measurements
        if one.dataset
    }
    return list(lines)


def _papers(published: Published) -> str:
    lines = [f"- **{paper.name}**: {paper.citation}" for paper in published.papers.values()]
    return "## Papers\n\n" + "\n".join(lines) + "\n"


def _section(table: PublishedTable, published: Published, runs: Sequence[Run]) -> str:
    lines = [f"## {table.key} {table.title}", "", table.about, ""]
    lines += [markdown(part) for part in tables_with_ours(table, published, runs)]
    lines += [f"{note}\n" for note in table.notes]
    if found := commands(table):
        lines += ["Ours:", "", "```", *found, "```", ""]
    return "\n".join(lines)


def _part(
    table: PublishedTable,
    published: Published,
    runs: Sequence[Run],
    places: Sequence[int],
    caption: str,
) -> Table:
    """The table with the measurements at some places only."""
    measurements = [table.measurements[place] for place in places]
    header = [_heading(one, metric, caption) for one in measurements for metric in one.metrics]
    rows = []
    for row in table.rows:
        values = [value for place in places for value in row.values[place]]
        if any(value is not None for value in values):
            figures = [DASH if value is None else value.text for value in values]
            after = (needs_text(row.flags), source_text(row, published.papers))
            rows.append(Row((row.method, *figures, *after)))
    empty = Row(("ours", *[""] * len(header), "", ""), "ours")
    rows += _our_rows(measurements, runs) or [empty]
    return Table(("method", *header, "needs", "source"), tuple(rows), caption, texts=(0, -2, -1))


def _heading(measurement: Measurement, metric: str, caption: str) -> str:
    name = "" if measurement.name == caption else measurement.name
    shown = f"{metric} m" if measurement.metric else METRICS[metric].heading
    return f"{name} {shown}".strip()


def _our_rows(measurements: Sequence[Measurement], runs: Sequence[Run]) -> list[Row]:
    """Rows by model and score; each takes its figures from as many results as fit."""
    same: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if any(_fits(run, one) for one in measurements):
            model = json.dumps(run.result["model"], sort_keys=True)
            same.setdefault((model, run.score), []).append(run)
    names = numbered(
        [f"{found[0].result['model']['name']}, {score_title(score)}"
         for (_, score), found in same.items()]
    )  # fmt: skip
    rows = []
    for name, found in zip(names, same.values(), strict=True):
        cells: list[Cell | str] = []
        for measurement in measurements:
            fitting = [run for run in found if _fits(run, measurement)]
            values = _values(fitting[0], measurement) if fitting else {}
            cells += [values.get(metric, Cell("")) for metric in measurement.metrics]
        source = our_source(run.result["dataset"] for run in found)
        rows.append(Row((name, *cells, "", source), "ours"))
    return rows


def _fits(run: Run, measurement: Measurement) -> bool:
    result = run.result
    return (
        result["dataset"]["name"] == measurement.dataset
        and result["protocol"]["name"] in measurement.protocols
    )


def _values(run: Run, measurement: Measurement) -> Mapping[str, Cell]:
    if measurement.metric:
        bands = (run.content.get("distance") or {}).get("bands", ())
        return {band_name(one["band"]): Cell(percent(one[measurement.metric])) for one in bands}
    return {key: number_cell(number) for key, number in run.numbers().items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; exit code 0, or 2 with one line on what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m training.paper_tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="*", type=Path, metavar="RESULTS",
                        help="outputs of training.evaluate, or folders of them")  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        found = collect_results(options.results)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    sys.stdout.write(paper_tables([result for result, _ in found]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

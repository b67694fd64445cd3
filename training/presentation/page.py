"""The evaluation as one HTML page that can be attached to a review."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from open_set_seg.report import (
    Block,
    Cell,
    Fact,
    Fold,
    Page,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
    Text,
    save_page,
)
from training.presentation import plots
from training.presentation.cells import number_cell
from training.presentation.details import component_table, distance_table, frame_table
from training.presentation.differences import difference_table
from training.presentation.object_tables import object_figures, object_summary, tables_by_condition
from training.presentation.recognition import class_table, confusion_tables, open_set_tables
from training.presentation.rules import rule_sentences
from training.presentation.runs import Group, Result, Run, groups_of, numbered
from training.presentation.tables import comparison_tables, region_table
from training.presentation.wording import METRICS, percent, score_title

FACTS = ("AP", "FPR95", "AUROC", "mean_F1", "open_mIoU", "closed_mIoU")
RANKS = {"best": "Best", "worst": "Worst"}
PANELS = (
    "Each picture, from the left: the image; the truth, with outliers in orange, small ones "
    "ringed, and ignored pixels dark; the score, from dark violet (low) to yellow (high), on one "
    "scale for all pictures of a result."
)


def write_page(
    path: Path,
    results: Sequence[Result],
    folders: Sequence[Path | None],
    first: Sequence[Section] = (),
) -> None:
    """Write one self-contained HTML page of one or more results.

    Results of one protocol and data set share tables and charts.

    Args:
        path: of the HTML file.
        results: contents of ``result.json``.
        folders: where each of them lies, with its pictures; None for one without.
        first: sections that stand before all others.

    Raises:
        ValueError: no result, one of another format, or not as many folders as results.
        ModuleNotFoundError: matplotlib or Jinja2 is missing.
    """
    page = evaluation_page(results, folders)
    save_page(path, replace(page, sections=(*first, *page.sections)))


def evaluation_page(results: Sequence[Result], folders: Sequence[Path | None]) -> Page:
    """The page as data; arguments and errors of ``write_page``."""
    groups = groups_of(results, folders)
    alone = len(groups) == 1
    sections = [] if alone else [Section("Overview", (_overview(groups),))]
    for group in groups:
        title = "" if alone else group.title
        sections += [replace(section, group=title) for section in group_sections(group)]
    models = dict.fromkeys(run.result["model"]["name"] for group in groups for run in group.runs)
    return Page(
        title=groups[0].title if alone else "Evaluation",
        subtitle=f"Open-set evaluation of {', '.join(models)}",
        facts=_facts(groups[0]) if alone else (),
        sections=(*sections, _environment(results)),
        footer="Written by open_set_seg. This page loads nothing and runs no script.",
    )


def group_sections(group: Group) -> list[Section]:
    """The sections of one protocol and data set, without those that would be empty."""
    main = group.regions[0] if group.regions else ""
    first, *ablations = comparison_tables(group, "Unknown pixels")
    parts: list[tuple[str, list[Block | None]]] = [
        (
            "Results",
            [
                *_warnings(group),
                first,
                *(Fold(table.caption, (table,)) for table in ablations),
                difference_table(group),
                region_table(group) if len(group.regions) > 1 else None,
            ],
        ),
        ("Curves", [plots.curve_figures(group, main), *_other_curves(group)]),
        ("Scores of inliers and outliers", [plots.histogram_figures(group, main)]),
        ("Distance", [plots.distance_figures(group), distance_table(group)]),
        ("Components", [plots.component_figure(group), component_table(group)]),
        ("Open-set recognition", [*open_set_tables(group), *_confusions(group)]),
        ("Known classes", [class_table(group)]),
        ("Obstacles", [object_figures(group), object_summary(group), *_obstacles(group)]),
        ("Frames", [plots.frame_figure(group), *_frames(group)]),
        ("Best and worst frames", _pictures(group)),
        ("Rules of counting", [_rules(group)]),
    ]
    return [
        Section(title, tuple(kept))
        for title, blocks in parts
        if (kept := [block for block in blocks if block is not None])
    ]


def _overview(groups: Sequence[Group]) -> Table:
    """AP and FPR95 of every model under every score, a pair of columns a data set."""
    known = list(dict.fromkeys(_identity(run) for group in groups for run in group.runs))
    names = numbered([name for name, _ in known])
    keys = ("AP", "FPR95")
    found = [{_identity(run): run.numbers() for run in group.runs} for group in groups]
    rows = [
        Row((name, *(number_cell(one.get(which, {}).get(key)) for one in found for key in keys)))
        for name, which in zip(names, known, strict=True)
    ]
    header = (f"{METRICS[key].heading} {group.title}" for group in groups for key in keys)
    return Table(("run", *header), tuple(rows), notes=("Percent, each by its protocol.",))


def _identity(run: Run) -> tuple[str, str]:
    """Its name, and what tells it from another model of that name."""
    model = run.result["model"]
    name = f"{model['name']}, {score_title(run.score)}"
    return name, json.dumps(model, sort_keys=True)


def _facts(group: Group) -> tuple[Fact, ...]:
    """The figures of the best run by AP."""
    run = max(group.runs, key=_average_precision)
    several = len(group.runs) > 1
    facts = [Fact("frames", str(group.dataset["frames"]), group.dataset.get("split") or "")]
    if several:
        facts.insert(0, Fact("best run by AP", run.name))
    for key in FACTS:
        number = run.numbers().get(key)
        if number is not None and number.value is not None:
            cell = number_cell(number)
            facts.append(Fact(METRICS[key].title, f"{cell.text} %", cell.note))
    return tuple(facts)


def _average_precision(run: Run) -> float:
    number = run.numbers().get("AP")
    return -1.0 if number is None or number.value is None else number.value


def _warnings(group: Group) -> list[Block]:
    skipped = {one["id"]: one["reason"] for r in group.results for one in _skipped(r)}
    notes = dict.fromkeys(f"{note}." for r in group.results for note in r.get("notes") or ())
    warnings: list[Block] = [Text(note, "warning") for note in notes]
    if skipped:
        names = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:5])
        more = f"; and {len(skipped) - 5} more" if len(skipped) > 5 else ""
        what = "1 frame" if len(skipped) == 1 else f"{len(skipped)} frames"
        text = f"Without {what} that could not be used: "
        warnings.append(Text(f"{text}{names}{more}.", "warning"))
    return warnings


def _skipped(result: Result) -> list[dict[str, str]]:
    return list(result["dataset"].get("skipped") or ())


def _other_curves(group: Group) -> list[Block]:
    found = [(region, plots.curve_figures(group, region)) for region in group.regions[1:]]
    return [Fold(f"Curves: {name}", (figures,)) for name, figures in found if figures is not None]


def _confusions(group: Group) -> list[Block]:
    return [Fold(table.caption, (table,)) for table in confusion_tables(group)]


def _obstacles(group: Group) -> list[Block]:
    found = tables_by_condition(group)
    return [Fold(f"By distance and size: {name}", tuple(found[name])) for name in found]


def _frames(group: Group) -> list[Block]:
    runs = [run for run in group.runs if run.content.get("frames")]
    return [Fold(f"All frames: {run.name}", (frame_table(run),)) for run in runs]


def _pictures(group: Group) -> list[Block | None]:
    pictures = []
    several = len(group.results) > 1
    for run in {id(run.result): run for run in group.runs}.values():
        for one in run.result.get("pictures") or ():
            file = None if run.folder is None else run.folder / one["file"]
            if file is None or not file.is_file():
                continue
            model = f"{run.result['model']['name']}, " if several else ""
            what = f"{one['id']}, {model}{score_title(one['score'])}, AP {percent(one['AP'])} %"
            caption = f"{RANKS.get(one['rank'], one['rank'])}: {what}"
            alternative = f"Image, truth and anomaly score of frame {one['id']} side by side"
            pictures.append(Picture(file.read_bytes(), caption, alternative))
    return [Text(PANELS), Pictures(tuple(pictures))] if pictures else []


def _rules(group: Group) -> Block | None:
    sentences = rule_sentences(group.protocol["name"])
    start = f"{group.protocol['title']}, after {group.protocol['source']}."
    return Text(" ".join([start, *sentences]))


def _environment(results: Sequence[Result]) -> Section:
    rows: list[Row] = []
    for result in results:
        dataset = result["dataset"]
        named = {
            "protocol": result["protocol"]["title"],
            "data set": f"{dataset['title']} {dataset.get('split') or ''}".strip(),
            **{key: value for key, value in result["model"].items() if key != "name"},
            **(result.get("environment") or {}),
            "seconds": result.get("seconds"),
        }
        rows.append(Row((result["model"]["name"],), "group"))
        rows += [
            Row((key.replace("_", " "), Cell(str(value))))
            for key, value in named.items()
            if value is not None
        ]
    return Section("What it was measured with", (Table(("", ""), tuple(rows), texts=(0, 1)),))

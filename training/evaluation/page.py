"""The evaluation as one HTML page that can be attached to a review."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from open_set_seg.report import (
    Block,
    Fact,
    Figures,
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
from training.evaluation import plots
from training.evaluation.details import (
    closed_set_table,
    component_table,
    confusion_tables,
    distance_table,
    frame_table,
    object_tables,
    open_set_tables,
)
from training.evaluation.runs import Group, Result, Run, groups_of, percent
from training.evaluation.tables import comparison_table, measured_by, region_table


def write_page(path: Path, results: Sequence[Result], folders: Sequence[Path]) -> None:
    """Write one self-contained HTML page of one or more results.

    Results of one protocol and data set share tables and charts.

    Args:
        path: of the HTML file.
        results: contents of ``result.json``.
        folders: where each of them lies, with its pictures.

    Raises:
        ValueError: no result, one of another format, or not as many folders as results.
        ModuleNotFoundError: matplotlib or Jinja2 is missing.
    """
    groups = groups_of(results, folders)
    sections = [section for group in groups for section in group_sections(group)]
    save_page(
        path,
        Page(
            title=_title(groups),
            subtitle=_subtitle(groups),
            facts=_facts(groups[0]) if len(groups) == 1 else (),
            sections=(*sections, _environment(results)),
            footer="Written by open_set_seg. Nothing on this page is loaded from anywhere.",
        ),
    )


def group_sections(group: Group) -> list[Section]:
    """The sections of one protocol and data set, without those that would be empty."""
    main = group.regions[0] if group.regions else ""
    parts: list[tuple[str, list[Block | None]]] = [
        ("Results", [*_warnings(group), comparison_table(group), *_regions(group)]),
        ("Curves", [plots.curve_figures(group, main), *_other_curves(group)]),
        ("Scores of inliers and outliers", [plots.histogram_figures(group, main)]),
        ("Distance", [plots.distance_figures(group), distance_table(group)]),
        ("Components", [plots.component_figure(group), component_table(group)]),
        ("Open-set recognition", [*open_set_tables(group), *confusion_tables(group)]),
        ("Known classes", [closed_set_table(group)]),
        ("Obstacles", list(object_tables(group))),
        ("Frames", [plots.frame_figure(group), *_frames(group)]),
        ("Best and worst frames", [_pictures(group)]),
    ]
    return [
        Section(title, tuple(kept))
        for title, blocks in parts
        if (kept := [block for block in blocks if block is not None])
    ]


def _title(groups: Sequence[Group]) -> str:
    return f"Evaluation: {groups[0].title}" if len(groups) == 1 else "Evaluation"


def _subtitle(groups: Sequence[Group]) -> str:
    models = dict.fromkeys(run.result["model"]["name"] for group in groups for run in group.runs)
    return ", ".join(models)


def _facts(group: Group) -> tuple[Fact, ...]:
    run = max(group.runs, key=lambda one: _figure(one, "AP"))
    numbers = run.numbers()
    facts = []
    for key, title in (("AP", "AP"), ("FPR95", "FPR95"), ("AUROC", "AUROC"), ("mean_F1", "mean F1"),
                       ("open_mIoU", "open mIoU"), ("closed_mIoU", "closed mIoU")):  # fmt: skip
        number = numbers.get(key)
        if number is None or number.value is None:
            continue
        low = number.low
        note = "" if low is None else f"{percent(low)} to {percent(number.high)}"
        facts.append(Fact(title, f"{percent(number.value)} %", note))
    return (Fact("frames", str(group.dataset["frames"]), run.name), *facts)


def _figure(run: Run, key: str) -> float:
    number = run.numbers().get(key)
    return -1.0 if number is None or number.value is None else number.value


def _warnings(group: Group) -> list[Block]:
    skipped = [one for result in group.results for one in result["dataset"].get("skipped") or ()]
    if not skipped:
        return []
    names = ", ".join(f"{one['id']} ({one['reason']})" for one in skipped[:5])
    more = f" and {len(skipped) - 5} more" if len(skipped) > 5 else ""
    return [Text(f"{len(skipped)} frames were skipped: {names}{more}.", "warning")]


def _regions(group: Group) -> list[Block]:
    return [region_table(group)] if len(group.regions) > 1 else []


def _other_curves(group: Group) -> list[Block]:
    return [
        Fold(f"Curves: {region}", (figures,))
        for region in group.regions[1:]
        if isinstance(figures := plots.curve_figures(group, region), Figures)
    ]


def _frames(group: Group) -> list[Block]:
    return [
        Fold(f"All frames: {run.name}", (frame_table(run),))
        for run in group.runs
        if run.content.get("frames")
    ]


def _pictures(group: Group) -> Pictures | None:
    pictures = []
    for run in {id(run.result): run for run in group.runs}.values():
        for one in run.result.get("pictures") or ():
            if run.folder is None or not (run.folder / one["file"]).is_file():
                continue
            caption = f"{one['rank']}: {one['id']}, {one['score']}, AP {percent(one['AP'])} %"
            pictures.append(
                Picture(
                    (run.folder / one["file"]).read_bytes(),
                    caption,
                    f"Input, truth and anomaly score of frame {one['id']}",
                )
            )
    return Pictures(tuple(pictures)) if pictures else None


def _environment(results: Sequence[Result]) -> Section:
    rows = []
    for result in results:
        rows.append(Row((result["model"]["name"],), "group"))
        identity = {k: v for k, v in result["model"].items() if k != "name"}
        for key, value in {**identity, **result.get("environment", {})}.items():
            rows.append(Row((key, str(value))))
        if result.get("seconds") is not None:
            rows.append(Row(("seconds", str(result["seconds"]))))
    table = Table(("", ""), tuple(rows), text_columns=2)
    return Section("How it was measured", (*_rules(results), table))


def _rules(results: Sequence[Result]) -> list[Block]:
    return [Text(measured_by(group)) for group in groups_of(results)]

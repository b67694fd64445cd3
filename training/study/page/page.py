"""The page of the synthetic benchmark: ``python -m training.study.page`` writes docs/benchmark.md.

Plots lie beside it in ``docs/benchmark/``; ``docs/benchmark/notes.md``, written by hand, is taken
over as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from open_set_seg.files import write_whole
from open_set_seg.report import Table
from open_set_seg.report.text import markdown
from training.study.page.details import (
    aims_table,
    missing_lines,
    null_table,
    ordering_table,
    probe_table,
    training_table,
)
from training.study.page.plots import draw_plots
from training.study.page.strata import band_tables, family_tables
from training.study.page.tables import (
    class_table,
    difference_table,
    headline_table,
    margin_table,
    score_table,
)
from training.study.page.text import (
    DEVELOPMENT,
    EMPTY,
    HEAD,
    NULL_NOTE,
    ON_DEVELOPMENT_NOTE,
    PROBE_NOTE,
    STRATA_NOTE,
    TRAINING_NOTE,
    VERDICTS,
    missing,
    protocol,
    provenance,
)
from training.study.results.collection import REGION_TITLES, Study, read_study
from training.study.results.plan import Plan, read_plan
from training.study.results.reading import ResultError
from training.study.verdicts.differences import compare, noise_gains
from training.study.verdicts.margins import closed_set_margin
from training.study.verdicts.wording import margin_verdict, noise_verdict

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "study"
PAGE = ROOT / "docs" / "benchmark.md"
PLOTS = {
    "endpoints.png": "The four endpoints by arm. Small dots: seeds; large mark: their mean; "
    "line: its interval over images and seeds.",
    "tradeoff.png": "AP against FPR95 by arm: better is up and left. Small dots: seeds; large "
    "mark: their mean.",
    "distance.png": "AP and FPR95 on the road by distance, with standard deviations over seeds.",
}


def write_page(results_folder: Path, output: Path, plan: Plan | None = None) -> list[Path]:
    """Write the page and its plots; the files written.

    Sealed families where there are results of them; else development families, with no claim.

    Args:
        results_folder: holds ``<families>/<arm>/<seed>.json`` and perhaps ``plan.json``.
        output: the page; plots go to the folder beside it that has its name without ``.md``.
        plan: None for the one in the folder of results.

    Raises:
        ResultError: results that cannot be read or do not belong together, or sealed results of
            another configuration than the frozen one.
    """
    plan = plan or read_plan(results_folder)
    sealed = read_study(results_folder, "sealed")
    frozen = plan.frozen.get("config_sha256")
    for result in sealed.results[:1]:
        if frozen and result.config_sha256 != frozen:
            raise ResultError(
                f"sealed results are of configuration {result.config_sha256}, frozen was {frozen}"
            )
    development = read_study(results_folder, "development")
    study = sealed if sealed.arms else development
    folder = output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw_plots(study, plan) if study.arms else {}
    for name, picture in plots.items():
        (folder / name).write_bytes(picture)
    notes = folder / "notes.md"
    text = page_text(
        study,
        plan,
        [f"{folder.name}/{name}" for name in plots],
        notes.read_text(encoding="utf-8") if notes.exists() else "",
        development if sealed.arms else None,
    )
    write_whole(output, text)
    return [output, *(folder / name for name in plots)]


def page_text(
    study: Study,
    plan: Plan,
    plots: Sequence[str] = (),
    notes: str = "",
    development: Study | None = None,
) -> str:
    """The page as Markdown.

    Args:
        study: what it is about.
        plan: how it is judged.
        plots: where its plots lie, seen from the page.
        notes: written by hand; taken over as they are.
        development: shown after everything else, headline only.
    """
    lacking = missing(missing_lines(study, plan))
    if not study.arms:
        return "\n".join(part for part in (HEAD, EMPTY, lacking) if part)
    pictures = {Path(one).name: one for one in plots}
    parts = [HEAD, DEVELOPMENT if study.families == "development" else "", lacking]
    parts += ["## What was asked\n", protocol(study, plan), provenance(study, plan)]
    parts += ["## Results\n", markdown(headline_table(study, plan))]
    parts += [_picture(pictures, name) for name in ("endpoints.png", "tradeoff.png")]
    parts += ["## Aims\n", markdown(aims_table(study, plan))]
    parts += _differences(study, plan)
    parts += _known_classes(study, plan)
    if notes:
        parts += ["## What helped and what did not\n", notes.rstrip() + "\n"]
    parts += _scores(study, plan)
    parts += _strata(study, plan, pictures)
    parts += _checks(study, plan)
    if table := ordering_table(study, plan):
        note = "Directions of means only; no test is made and no size is compared.\n"
        parts += ["## Orderings of the papers\n", note, markdown(table)]
    if table := training_table(study, plan):
        parts += ["## Training\n", TRAINING_NOTE, markdown(table)]
    if development is not None and development.arms:
        parts += ["## On the development families\n", ON_DEVELOPMENT_NOTE]
        parts.append(markdown(headline_table(development, plan)))
    return "\n".join(part for part in parts if part)


def _differences(study: Study, plan: Plan) -> list[str]:
    parts = ["## Differences\n", VERDICTS]
    for arm in plan.compared:
        if comparison := compare(study, plan, arm):
            parts.append(markdown(difference_table(study, plan, comparison)))
        else:
            titles = f"{study.title(plan.ours)} and {study.title(arm)}"
            parts.append(f"{titles} have no seed in common yet.\n")
    parts.append(f"**Noise**: {noise_verdict(study, plan, noise_gains(study, plan))}\n")
    return parts


def _known_classes(study: Study, plan: Plan) -> list[str]:
    parts = ["## Known classes\n"]
    if margin := closed_set_margin(study, plan, plan.ours):
        parts.append(f"{study.title(plan.ours)}: {margin_verdict(study, plan, margin)}\n")
    if table := margin_table(study, plan):
        parts.append(markdown(table))
    return [
        *parts,
        "IoU by class, %, mean ± standard deviation over seeds:\n",
        markdown(class_table(study, plan)),
    ]


def _scores(study: Study, plan: Plan) -> list[str]:
    tables: list[Table] = [score_table(study, plan, region) for region in REGION_TITLES]
    note = "Means ± standard deviations over seeds, %; bold: the best of an arm.\n"
    return ["## Every arm with every score\n", note, *map(markdown, tables)]


def _strata(study: Study, plan: Plan, pictures: dict[str, str]) -> list[str]:
    tables = [
        *band_tables(study, plan, "distance"),
        *band_tables(study, plan, "size"),
        *family_tables(study, plan),
    ]
    if not tables:
        return []
    head = ["## By distance, size and family\n", STRATA_NOTE, _picture(pictures, "distance.png")]
    return [*head, *map(markdown, tables)]


def _checks(study: Study, plan: Plan) -> list[str]:
    parts = ["## Checks\n"]
    if table := probe_table(study, plan):
        parts += [PROBE_NOTE, markdown(table)]
    return [*parts, NULL_NOTE, markdown(null_table(study, plan))]


def _picture(pictures: dict[str, str], name: str) -> str:
    return f"![{PLOTS[name]}]({pictures[name]})\n\n{PLOTS[name]}\n" if name in pictures else ""

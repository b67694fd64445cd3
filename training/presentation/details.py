"""Tables of what lies behind the figures: components, distance, single frames."""

from __future__ import annotations

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH, decimal, thousands
from training.presentation.cells import interval_cell
from training.presentation.papers import load_published
from training.presentation.published import comparable_rows, source_text
from training.presentation.runs import Group, Run
from training.presentation.wording import band_name, percent

COMPONENT_NOTE = (
    "A true component counts as missed where its sIoU is below tau, a predicted one as false where "
    "its PPV is. Beside F1: found / false / missed."
)


def component_table(group: Group) -> Table | None:
    """F1 of components at each tau with its counts; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("components")]
    if not runs:
        return None
    found = [run.content["components"] for run in runs]
    rows = []
    for place, one in enumerate(found[0]["by_tau"]):
        cells = []
        for each in found:
            at = each["by_tau"][place]
            counts = " / ".join(f"{at[key]:g}" for key in ("TP", "FP", "FN"))
            cells.append(Cell(percent(at["F1"]), counts))
        rows.append(Row((decimal(one["tau"]), *cells)))
    for key, title in (("mean_F1", "mean F1"), ("sIoU_gt", "sIoU-gt"), ("PPV", "PPV")):
        rows.append(Row((title, *(interval_cell(each, key) for each in found)), "total"))
    rows.append(Row(("threshold", *(decimal(each["threshold"], 4) for each in found))))
    header = ("tau", *(f"{run.name}, F1 %" for run in runs))
    return Table(header, tuple(rows), caption="Components", notes=(COMPONENT_NOTE,))


def distance_table(group: Group) -> Table | None:
    """FPR95 and AP by distance, ours and the papers'; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("distance")]
    if not runs:
        return None
    bands = runs[0].content["distance"]["bands"]
    names = [band_name(one["band"]) for one in bands]
    published = comparable_rows(group.protocol["name"], group.dataset["name"], bands=True)
    papers = load_published().papers
    rows: list[Row] = []
    for metric in ("FPR95", "AP"):
        rows.append(Row((f"{metric}, %",), "group"))
        for run in runs:
            by_band = {band_name(one["band"]): one for one in run.content["distance"]["bands"]}
            figures = [interval_cell(by_band.get(name, {}), metric) for name in names]
            after = ("ours",) if published else ()
            rows.append(Row((Cell(run.name, slot=run.slot), *figures, *after), "ours"))
        for one in published:
            if one.measurement.metric == metric:
                texts = [one.values[name].text if name in one.values else DASH for name in names]
                rows.append(Row((one.row.method, *texts, source_text(one.row, papers))))
    rows.append(Row(("pixels of the data set",), "group"))
    for key in ("outliers", "inliers"):
        counts = [thousands(one[key]) for one in bands]
        rows.append(Row((key, *counts, *([""] if published else []))))
    return Table(
        ("distance, m", *names, *(["source"] if published else [])),
        tuple(rows),
        caption="By distance from the camera",
        notes=("Inlier and outlier pixels inside the band; a threshold a band.",),
        texts=(0, -1) if published else (0,),
    )


def frame_table(run: Run) -> Table:
    """Every frame of a run, the worst first; those without a figure last."""
    frames = sorted(
        run.content.get("frames") or (),
        key=lambda one: (one["AP"] is None, one["AP"] or 0.0, one["id"]),
    )
    rows = tuple(
        Row(
            (
                str(one["id"]),
                percent(one["AP"]),
                percent(one["FPR95"]),
                thousands(one["outliers"]),
                thousands(one["inliers"]),
            )
        )
        for one in frames
    )
    return Table(
        ("frame", "AP %", "FPR95 %", "outlier px", "inlier px"),
        rows,
        notes=("Each frame by itself; a dash where it lacks outliers or inliers.",),
    )

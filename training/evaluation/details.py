"""Tables of what lies behind the figures: components, distance, classes, objects, frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from open_set_seg.report import Cell, Row, Table
from training.evaluation.published import comparable_rows, load_published, source_text
from training.evaluation.runs import DASH, Group, Run, decimal, percent, score_title


def component_table(group: Group) -> Table | None:
    """True and false components at each tau of the mean F1; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("components")]
    if not runs:
        return None
    rows: list[Row] = []
    for run in runs:
        found = run.content["components"]
        title = f"{run.name}: threshold {decimal(found['threshold'], 4)}"
        rows.append(Row((title,), "group"))
        for one in found["by_tau"]:
            counts = [str(round(one[key])) for key in ("TP", "FP", "FN")]
            rows.append(Row((decimal(one["tau"]), *counts, percent(one["F1"]))))
        mean = ("mean", "", "", "", percent(found["mean_F1"]))
        rows.append(Row(mean, "total"))
    return Table(
        ("tau", "TP", "FP", "FN", "F1 %"),
        tuple(rows),
        caption="Components",
        notes=(
            "A true component counts as missed where its sIoU is below tau, a predicted one as "
            "false where its PPV is; the threshold is the best pixel F1.",
        ),
    )


def distance_table(group: Group) -> Table | None:
    """FPR95 and AP by distance, ours and the papers'; None where nobody measured them."""
    runs = [run for run in group.runs if run.content.get("distance")]
    if not runs:
        return None
    bands = [tuple(one["band"]) for one in runs[0].content["distance"]["bands"]]
    names = [band_name(band) for band in bands]
    rows: list[Row] = []
    published = comparable_rows(group.protocol["name"], group.dataset["name"], bands=True)
    papers = load_published().papers
    for metric in ("FPR95", "AP"):
        rows.append(Row((f"{metric}, %",), "group"))
        for run in runs:
            by_band = {tuple(one["band"]): one for one in run.content["distance"]["bands"]}
            figures = [percent(by_band.get(band, {}).get(metric)) for band in bands]
            rows.append(Row((Cell(run.name, slot=run.slot), "", *figures), "ours"))
        for one in published:
            if one.measurement.metric == metric:
                figures = [one.values[name].text if name in one.values else DASH for name in names]
                source = source_text(one.row, papers)
                rows.append(Row((one.row.method, source, *figures)))
    rows.append(Row(("Pixels of the data",), "group"))
    bands_of_first = runs[0].content["distance"]["bands"]
    for key in ("outliers", "inliers"):
        counts = [
            f"{one[key]:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") for one in bands_of_first
        ]
        rows.append(Row((key, "", *counts)))
    return Table(
        ("distance, m", "source", *names),
        tuple(rows),
        caption="By distance from the camera",
        notes=(f"Disparity by the rule: {runs[0].content['distance']['rule']}.",),
        text_columns=2,
    )


def closed_set_table(group: Group) -> Table | None:
    """IoU of every known class; None where nobody measured it."""
    results = [result for result in group.results if result.get("closed_set")]
    if not results:
        return None
    classes = list(dict.fromkeys(c for r in results for c in r["closed_set"]["class_IoU"]))
    names = [result["model"]["name"] for result in results]
    rows = [
        Row((name, *(percent(r["closed_set"]["class_IoU"].get(name)) for r in results)))
        for name in classes
    ]
    for key, title in (("mIoU", "mean IoU"), ("pixel_accuracy", "pixel accuracy")):
        figures = [percent(result["closed_set"].get(key)) for result in results]
        rows.append(Row((title, *figures), "total"))
    return Table(("class", *names), tuple(rows), caption="Known classes, IoU in %")


def open_set_tables(group: Group) -> list[Table]:
    """open-mIoU by fold and class; empty where nobody measured it."""
    tables = []
    for run in group.runs:
        found = run.content.get("open_set")
        if not found:
            continue
        folds = found["folds"]
        rows = [_fold_row(str(fold["group"]), fold) for fold in folds]
        total: Mapping[str, Any] = {**found, "images": sum(fold["images"] for fold in folds)}
        rows.append(_fold_row("both", total, "total"))
        tables.append(
            Table(
                ("fold", "images", "threshold", "open mIoU %", "closed mIoU %", "mIoU K+1 %",
                 "IoU of unknown %"),
                tuple(rows),
                caption=f"Open-set recognition, {run.name}",
                notes=(
                    "Each fold's threshold was found on the other one; both: mean weighted by "
                    "images. open mIoU is the mean over the known classes, in which unknown "
                    "pixels count as errors; mIoU K+1 counts unknown as one class more.",
                ),
            )
        )  # fmt: skip
    return tables


def confusion_tables(group: Group) -> list[Table]:
    """Open-world confusion matrices, a row a true class, shares of the row."""
    tables = []
    for run in group.runs:
        for fold in (run.content.get("open_set") or {}).get("folds", ()):
            matrix = fold.get("confusion")
            if matrix:
                names = [*fold["class_IoU"], "unknown"]
                title = f"Confusion, {run.name}, fold {fold['group']}, % of the true class"
                tables.append(matrix_table(matrix, names, title))
    return tables


def matrix_table(matrix: Sequence[Sequence[int]], names: Sequence[str], title: str) -> Table:
    """A square matrix of counts as shares of its rows, shaded."""
    rows = []
    for name, counts in zip(names, matrix, strict=False):
        total = sum(counts)
        shares = [count / total if total else None for count in counts[: len(names)]]
        cells = [
            Cell("" if share is None or share < 0.0005 else percent(share), shade=share or 0.0)
            for share in shares
        ]
        rows.append(Row((name, *cells)))
    return Table(("true class", *names), tuple(rows), caption=title, upright=True)


def object_tables(group: Group) -> list[Table]:
    """Obstacles as objects, by distance, for every condition; empty where nobody measured them."""
    tables = []
    for result in group.results:
        for condition, found in (result.get("objects") or {}).items():
            if not isinstance(found, Mapping) or "bands" not in found:
                continue
            rows = [_object_row(band_name(one["band"]), one) for one in found["bands"]]
            rows.append(_object_row("all", found["overall"], "total"))
            title = f"Obstacles, {condition}"
            if len(group.results) > 1:
                title = f"{title}: {result['model']['name']}"
            note = (
                f"All false obstacles a frame: {decimal(found['false_per_frame'])}, of unknown "
                f"distance {decimal(found['false_of_unknown_distance_per_frame'])}."
            )
            tables.append(Table(_OBJECT_HEADER, tuple(rows), caption=title, notes=(note,)))
    return tables


def frame_table(run: Run) -> Table:
    """Every frame of a run, the worst first; those without a figure last."""
    frames = sorted(
        run.content.get("frames") or (),
        key=lambda one: (one["AP"] is None, one["AP"] if one["AP"] is not None else 0.0, one["id"]),
    )
    rows = tuple(
        Row((str(one["id"]), percent(one["AP"]), percent(one["FPR95"]),
             str(one["outliers"]), str(one["inliers"])))
        for one in frames
    )  # fmt: skip
    return Table(
        ("frame", "AP %", "FPR95 %", "outlier px", "inlier px"),
        rows,
        caption=f"Frames of {score_title(run.score)}, {run.result['model']['name']}",
        notes=("Each frame by itself; a dash where it lacks outliers or inliers.",),
    )


def thousands(count: int) -> str:
    """A count with narrow spaces between groups of three digits."""
    return f"{count:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def band_name(band: Sequence[float]) -> str:
    """``[5.0, 10.0]`` as ``5-10``."""
    return f"{band[0]:g}-{band[1]:g}"


_OBJECT_HEADER = (
    "distance, m", "objects", "recall %", "false/frame", "rel. error %", "bias m", "spread m",
    "bias/sigma", "spread/sigma",
)  # fmt: skip


def _object_row(name: str, one: Mapping[str, Any], kind: Any = "plain") -> Row:
    return Row(
        (
            name,
            str(one["objects"]),
            percent(one["recall"]),
            decimal(one["false_per_frame"], 3),
            percent(one["median_relative_error"], 2),
            decimal(one["bias"], 3),
            decimal(one["spread"], 3),
            decimal(one["bias_in_sigmas"]),
            decimal(one["spread_in_sigmas"]),
        ),
        kind,
    )


def _fold_row(name: str, fold: Mapping[str, Any], kind: Any = "plain") -> Row:
    return Row(
        (
            name,
            str(fold["images"]),
            decimal(fold.get("threshold"), 4),
            percent(fold.get("open_mIoU"), 2),
            percent(fold.get("closed_mIoU"), 2),
            percent(fold.get("mIoU_K_plus_1"), 2),
            percent(fold.get("unknown_IoU"), 2),
        ),
        kind,
    )

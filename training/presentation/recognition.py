"""Tables of classes: closed set, open set, confusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from open_set_seg.report import Cell, Row, Table
from open_set_seg.report.numbers import DASH, decimal
from training.presentation.cells import interval_cell
from training.presentation.runs import Group
from training.presentation.wording import percent

FOLD_HEADER = (
    "fold", "images", "threshold", "open mIoU %", "closed mIoU %", "mIoU K+1 %", "IoU of unknown %",
)  # fmt: skip
FOLD_NOTE = (
    "Each fold's threshold was found on the other one; both: mean weighted by images. open mIoU is "
    "the mean over the known classes, in which unknown pixels count as errors; mIoU K+1 counts "
    "unknown as one class more."
)

CLASS_NOTE = (
    "Closed: of the pixels of all folds together. The closed mIoU of the first table is the mean "
    "of the folds, weighted by images."
)


def class_table(group: Group) -> Table | None:
    """IoU of every known class, closed and open; None where nobody measured it."""
    columns: list[tuple[str, Mapping[str, Cell]]] = []
    closing: list[tuple[Cell, Cell | None]] = []
    for result in group.results:
        if found := result.get("closed_set"):
            each = {**found["class_IoU"], "intervals": found.get("intervals")}
            cells = {name: interval_cell(each, name) for name in found["class_IoU"]}
            columns.append((f"{result['model']['name']}, closed", cells))
            means = [interval_cell(found, key) for key in ("mIoU", "pixel_accuracy")]
            closing.append((means[0], means[1]))
    for run in group.runs:
        for fold in (run.content.get("open_set") or {}).get("folds", ()):
            cells = {name: Cell(percent(iou)) for name, iou in fold["class_IoU"].items()}
            columns.append((f"{run.name}, open, {fold['group']}", cells))
            closing.append((Cell(percent(fold["open_mIoU"])), None))
    if not columns:
        return None
    classes = list(dict.fromkeys(name for _, found in columns for name in found))
    rows = [Row((name, *(found.get(name, Cell(DASH)) for _, found in columns))) for name in classes]
    rows.append(Row(("mean IoU", *(mean for mean, _ in closing)), "total"))
    if any(accuracy for _, accuracy in closing):
        rows.append(Row(("pixel accuracy", *(accuracy or "" for _, accuracy in closing))))
    header = ("class", *(name for name, _ in columns))
    folds = any(run.content.get("open_set") for run in group.runs)
    notes = (CLASS_NOTE,) if folds and any(accuracy for _, accuracy in closing) else ()
    return Table(header, tuple(rows), "Known classes, IoU in %", notes)


def open_set_tables(group: Group) -> list[Table]:
    """open-mIoU by fold; empty where nobody measured it."""
    tables = []
    for run in group.runs:
        found = run.content.get("open_set")
        if found:
            folds = found["folds"]
            rows = [_fold_row(str(fold["group"]), fold) for fold in folds]
            total = {**found, "images": sum(fold["images"] for fold in folds)}
            rows.append(_fold_row("both", total, "total"))
            caption = f"Open-set recognition, {run.name}"
            tables.append(Table(FOLD_HEADER, tuple(rows), caption, (FOLD_NOTE,)))
    return tables


def confusion_tables(group: Group) -> list[Table]:
    """Open-world confusion matrices, a row a true class, as shares of the row."""
    tables = []
    for run in group.runs:
        for fold in (run.content.get("open_set") or {}).get("folds", ()):
            if matrix := fold.get("confusion"):
                names = [*fold["class_IoU"], "unknown"]
                title = f"Confusion, {run.name}, fold {fold['group']}, % of the true class"
                tables.append(matrix_table(matrix, names, title))
    return tables


def matrix_table(matrix: Sequence[Sequence[int]], names: Sequence[str], title: str) -> Table:
    """A square matrix of counts as shares of its rows, shaded by them.

    Args:
        matrix: counts, a row a true class; rows and columns beyond ``names`` are left out.
        names: of the classes, in order.
        title: above it.
    """
    rows = []
    for name, line in zip(names, matrix, strict=False):
        counts = list(line)[: len(names)]
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        # Shares that would be printed as zero are left blank: the eye finds the confusions.
        cells = [Cell(percent(s) if s >= 0.0005 else "", shade=s) for s in shares]
        rows.append(Row((name, *cells)))
    return Table(("true class", *names), tuple(rows), title, upright=True)


def _fold_row(name: str, fold: Mapping[str, Any], kind: Literal["plain", "total"] = "plain") -> Row:
    threshold = fold.get("threshold")
    return Row(
        (
            name,
            str(fold["images"]),
            "" if threshold is None else decimal(threshold, 4),
            interval_cell(fold, "open_mIoU"),
            interval_cell(fold, "closed_mIoU"),
            interval_cell(fold, "mIoU_K_plus_1"),
            percent(fold["unknown_IoU"]) if "unknown_IoU" in fold else "",
        ),
        kind,
    )

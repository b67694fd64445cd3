"""Published rows that ours may be set beside."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from training.presentation.papers import (
    FLAGS,
    Measurement,
    Paper,
    Printed,
    PublishedRow,
    PublishedTable,
    load_published,
)


@dataclass(frozen=True)
class Comparable:
    """A published row that was measured on the data set in question.

    Attributes:
        table: that it is from.
        row: itself.
        measurement: the columns in question.
        values: figure by metric.
    """

    table: PublishedTable
    row: PublishedRow
    measurement: Measurement
    values: Mapping[str, Printed]


def comparable_rows(protocol: str, dataset: str, *, bands: bool = False) -> list[Comparable]:
    """Published rows for a protocol on a data set, comparisons of methods before ablations.

    Args:
        protocol: key of ``PROTOCOLS``.
        dataset: key of the data set.
        bands: rows by distance, instead of those of whole images.
    """
    tables = sorted(load_published().tables.values(), key=lambda table: table.ablation)
    return [
        Comparable(table, row, measurement, values)
        for table in tables
        for place, measurement in enumerate(table.measurements)
        if dataset == measurement.dataset
        and protocol in measurement.protocols
        and bool(measurement.metric) == bands
        for row in table.rows
        if (values := _known(measurement, row.values[place]))
    ]


def source_text(row: PublishedRow, papers: Mapping[str, Paper]) -> str:
    """Such as ``NFlowJS 2021 T3, NFlowJS 2024 T2``."""
    return ", ".join(_source(papers[key].name, table) for key, table in row.sources.items())


def needs_text(flags: Sequence[str]) -> str:
    """What a method needs beyond ordinary training images, in short."""
    return ", ".join(FLAGS[flag] for flag in flags)


def _source(paper: str, table: str) -> str:
    """A bare number of a table gets a T; other places are named in words, and some have none."""
    numbered = re.match(r"[A-Z]?\.?\d|I", table) is not None
    return f"{paper} T{table}" if numbered else f"{paper} {table}".strip()


def _known(measurement: Measurement, values: Sequence[Printed | None]) -> dict[str, Printed]:
    pairs = zip(measurement.metrics, values, strict=True)
    return {metric: value for metric, value in pairs if value is not None}

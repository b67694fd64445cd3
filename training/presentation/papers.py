"""What the papers printed, read from the YAML files beside this module.

Figures are kept as the papers print them (percent, with their digits and deviations), so that a
reader can find them there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from training.presentation.wording import METRICS

_FIGURE = re.compile(r"(?P<value>\d+(\.\d+)?)(±(?P<deviation>\d+(\.\d+)?))?")
FLAGS = {"auxiliary": "aux", "resynthesis": "resyn"}


@dataclass(frozen=True)
class Paper:
    """A paper by its short name.

    Attributes:
        name: in tables.
        citation: in full.
    """

    name: str
    citation: str


@dataclass(frozen=True)
class Printed:
    """A figure as printed.

    Attributes:
        text: with its digits.
        value: the number of ``text``.
        deviation: what follows the plus-minus sign.
    """

    text: str
    value: float
    deviation: float | None = None


@dataclass(frozen=True)
class Measurement:
    """Columns of a table that belong to one data set.

    Attributes:
        name: above the columns; empty where a table has one data set only.
        dataset: key of the data set, or "" where the project has none for it.
        split: of the data set.
        protocols: under which ours are counted by the same rules.
        metrics: keys of ``METRICS``, or bands such as ``5-10`` with their ``metric``.
        metric: what is measured in bands.
    """

    name: str
    dataset: str
    split: str
    protocols: tuple[str, ...]
    metrics: tuple[str, ...]
    metric: str = ""


@dataclass(frozen=True)
class PublishedRow:
    """A method's row.

    Attributes:
        method: as the paper calls it.
        sources: key of each paper that prints the row so, with its table.
        flags: keys of ``FLAGS``: real negative data, or synthesis of the image.
        own: whether it is the method that the paper proposes.
        values: for each measurement, a figure or None for each of its metrics.
    """

    method: str
    sources: Mapping[str, str]
    flags: tuple[str, ...]
    own: bool
    values: tuple[tuple[Printed | None, ...], ...]


@dataclass(frozen=True)
class PublishedTable:
    """A table of the papers.

    Attributes:
        key: such as ``H03``.
        title: what it compares.
        about: what must be known to read it.
        ablation: whether it takes one method apart, rather than comparing methods.
        measurements: its groups of columns.
        rows: methods.
        fill: the command that measures the same; "" where the project cannot.
        notes: on single rows.
    """

    key: str
    title: str
    about: str
    ablation: bool
    measurements: tuple[Measurement, ...]
    rows: tuple[PublishedRow, ...]
    fill: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """All of it.

    Attributes:
        papers: by key.
        tables: by key, H01 first.
        contradictions: where the papers disagree with each other or themselves.
    """

    papers: Mapping[str, Paper]
    tables: Mapping[str, PublishedTable]
    contradictions: tuple[str, ...]


@cache
def load_published() -> Published:
    """The data that lies beside this module.

    Raises:
        ValueError: a row that does not fit its columns, or a figure that is no number.
    """
    folder = resources.files("training.presentation").joinpath("published")
    head = yaml.safe_load(folder.joinpath("papers.yaml").read_text(encoding="utf-8"))
    papers = {key: Paper(**entry) for key, entry in head["papers"].items()}
    tables: dict[str, PublishedTable] = {}
    for name in head["files"]:
        content = yaml.safe_load(folder.joinpath(name).read_text(encoding="utf-8"))
        for key, entry in content.items():
            tables[key] = read_table(key, entry, papers)
    return Published(papers, dict(sorted(tables.items())), tuple(head["contradictions"]))


def read_table(key: str, entry: Mapping[str, Any], papers: Mapping[str, Paper]) -> PublishedTable:
    """One table from its entry in a file; errors of ``load_published``."""
    measurements = tuple(_measurement(key, one) for one in entry["measured"])
    return PublishedTable(
        key=key,
        title=entry["title"],
        about=entry.get("about", ""),
        ablation=entry.get("ablation", False),
        measurements=measurements,
        rows=tuple(_row(key, one, measurements, papers) for one in entry["rows"]),
        fill=entry.get("fill", ""),
        notes=tuple(entry.get("notes", ())),
    )


def _measurement(key: str, entry: Mapping[str, Any]) -> Measurement:
    metrics = tuple(str(metric) for metric in entry["metrics"])
    metric = entry.get("metric", "")
    unknown = set([metric] if metric else metrics) - METRICS.keys()
    if unknown:
        raise ValueError(f"{key}: {sorted(unknown)} are no metrics")
    return Measurement(
        name=entry.get("name", ""),
        dataset=entry.get("dataset", ""),
        split=entry.get("split", ""),
        protocols=tuple(entry.get("protocols", ())),
        metrics=metrics,
        metric=metric,
    )


def _row(
    key: str,
    entry: Mapping[str, Any],
    measurements: Sequence[Measurement],
    papers: Mapping[str, Paper],
) -> PublishedRow:
    what = f"{key}, {entry['method']}"
    sources = {paper: str(table) for paper, table in entry["from"].items()}
    flags = tuple(entry.get("needs", ()))
    if unknown := (sources.keys() - papers.keys()) | (set(flags) - FLAGS.keys()):
        raise ValueError(f"{what}: {sorted(unknown)} are no papers or needs")
    texts = entry["values"]
    if len(texts) != len(measurements):
        raise ValueError(f"{what}: {len(texts)} groups of figures for {len(measurements)}")
    values = tuple(
        _figures(what, str(text), measurement)
        for text, measurement in zip(texts, measurements, strict=True)
    )
    return PublishedRow(entry["method"], sources, flags, entry.get("own", False), values)


def _figures(what: str, text: str, measurement: Measurement) -> tuple[Printed | None, ...]:
    words = text.split()
    if words == ["-"]:
        words *= len(measurement.metrics)
    if len(words) != len(measurement.metrics):
        raise ValueError(f"{what}: {len(words)} figures for {', '.join(measurement.metrics)}")
    return tuple(None if word == "-" else _printed(what, word) for word in words)


def _printed(what: str, word: str) -> Printed:
    found = _FIGURE.fullmatch(word)
    if found is None:
        raise ValueError(f"{what}: {word!r} is no figure")
    deviation = found["deviation"]
    text = word.replace("±", " ± ")
    return Printed(text, float(found["value"]), float(deviation) if deviation else None)

"""The files beside ``result.json`` that people read: a table and a page."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.evaluation.page import write_page
from training.evaluation.tables import markdown_table
from training.evaluation.work_folder import write_whole

TABLE_FILE = "table.md"
PAGE_FILE = "report.html"


def write_report(result: dict[str, Any], folder: Path) -> None:
    """Table and page of one result, in its folder."""
    write_comparison([result], [folder], folder)


def write_comparison(
    results: Sequence[dict[str, Any]], folders: Sequence[Path], output: Path
) -> None:
    """Table and page of several results in ``output``; no page where its libraries are missing."""
    write_whole(output / TABLE_FILE, markdown_table(results))
    if all(map(importlib.util.find_spec, ("matplotlib", "jinja2"))):
        write_page(output / PAGE_FILE, results, folders)

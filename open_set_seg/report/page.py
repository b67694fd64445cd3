"""Writes a page as one self-contained HTML file."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from open_set_seg.report.content import Block, Cell, Fold, Page
from open_set_seg.report.pictures import Card, Cards


def render_page(page: Page) -> str:
    """The page as HTML: styles, charts and pictures inside, nothing loaded, nothing run.

    All text is escaped. The page's own policy forbids the browser to fetch anything.

    Raises:
        ModuleNotFoundError: Jinja2 is missing.
        ValueError: a picture that is no PNG, JPEG or WebP, or two cards with one anchor.
    """
    try:
        from markupsafe import Markup

        template = _template(_environment())
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "report pages need Jinja2: pip install 'open_set_seg[report]'"
        ) from error
    taken = [card.anchor for section in page.sections for card in _cards(section.blocks)]
    if len(set(taken)) < len(taken):
        raise ValueError(f"two cards have the anchor {max(taken, key=taken.count)!r}")
    anchors = _anchors([section.title for section in page.sections], taken)
    pairs = zip(anchors, page.sections, strict=True)
    groups = itertools.groupby(pairs, key=lambda pair: pair[1].group)
    text = str(
        template.render(
            page=page,
            sections=page.sections,
            groups=[(group, list(members)) for group, members in groups],
            style=Markup(_read("page.css")),
            trusted=Markup,
        )
    )
    return text if text.endswith("\n") else text + "\n"


def _environment() -> Any:
    """Jinja2's class: asked for every time, so that its absence is found out every time."""
    from jinja2 import Environment

    return Environment


@functools.cache
def _template(environment_class: Any) -> Any:
    from jinja2 import StrictUndefined

    environment = environment_class(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = _as_cell
    environment.tests["kind"] = _is_kind
    return environment.from_string(_read("page.html"))


def save_page(path: Path, page: Page) -> None:
    """Write ``render_page(page)`` to ``path``; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Names of files may hold bytes that are no UTF-8, which Python keeps as lone surrogates.
    path.write_text(render_page(page), encoding="utf-8", errors="replace")


def _read(name: str) -> str:
    return resources.files("open_set_seg.report").joinpath(name).read_text(encoding="utf-8")


def _as_cell(value: Cell | str) -> Cell:
    return Cell(value) if isinstance(value, str) else value


def _is_kind(block: Any, name: str) -> bool:
    return type(block).__name__ == name


def _cards(blocks: Iterable[Block]) -> Iterator[Card]:
    for block in blocks:
        if isinstance(block, Cards):
            yield from block.cards
        elif isinstance(block, Fold):
            yield from _cards(block.blocks)


def _anchors(titles: list[str], taken: list[str]) -> list[str]:
    """One id a section, from its title, unique in the page."""
    anchors: list[str] = []
    for title in titles:
        word = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        repeated = sum(
            re.fullmatch(rf"{word}(-\d+)?", other) is not None for other in (*anchors, *taken)
        )
        anchors.append(f"{word}-{repeated + 1}" if repeated else word)
    return anchors

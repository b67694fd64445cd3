"""Figures with their captions, as files: pictures, a Markdown page and the numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from open_set_seg.files import write_whole
from open_set_seg.machine import describe_machine

PAGE, PICTURES = "figures.md", "figures"
_HEAD = """\
# Figures

What negatives of a jointly trained flow do, drawn from finished runs of the synthetic benchmark by

```
{command}
```

Unknown objects are of the development families throughout; the sealed families were not met. The
numbers are in `{numbers}`.
"""


@dataclass(frozen=True)
class Figure:
    """A picture that is explained.

    Attributes:
        name: of its file, without an ending.
        title: a few words.
        caption: Markdown, what is seen.
        picture: PNG file.
        numbers: what the caption and the picture say, as JSON values.
    """

    name: str
    title: str
    caption: str
    picture: bytes
    numbers: Mapping[str, Any]


def write_document(
    figures: Sequence[Figure], output: Path, numbers: Path, command: str, shown_numbers: str
) -> list[Path]:
    """Write ``figures.md`` and ``figures/*.png`` into the folder ``output``, and the numbers.

    Args:
        figures: in their order.
        output: folder; made if it is not there.
        numbers: JSON file, with the machine, versions and commit.
        command: that makes them again.
        shown_numbers: how the page calls the JSON file.

    Returns:
        The files.
    """
    folder = output / PICTURES
    for path in (folder, numbers.parent):
        path.mkdir(parents=True, exist_ok=True)
    pictures = [folder / f"{figure.name}.png" for figure in figures]
    for path, figure in zip(pictures, figures, strict=True):
        write_whole(path, figure.picture)
    write_whole(output / PAGE, page_text(figures, command, shown_numbers))
    content = {
        "command": command,
        "families": "development",
        "figures": {figure.name: figure.numbers for figure in figures},
        "machine": describe_machine(),
    }
    text = json.dumps(content, indent=2, allow_nan=False)
    write_whole(numbers, text + "\n")
    return [*pictures, output / PAGE, numbers]


def page_text(figures: Sequence[Figure], command: str, shown_numbers: str) -> str:
    """The page as Markdown; pictures lie in the folder ``figures`` beside it."""
    parts = [_HEAD.format(command=command, numbers=shown_numbers)]
    for figure in figures:
        picture = f"![{figure.title}]({PICTURES}/{figure.name}.png)"
        parts += [f"## {figure.title}\n", f"{picture}\n", f"{figure.caption}\n"]
    return "\n".join(parts)

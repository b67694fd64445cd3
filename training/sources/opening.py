"""Tells from what a command line names which kind of source it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from open_set_seg.opening import kind_of
from training.sources import foreign, stored
from training.sources.answers import Source, SourceOptions
from training.sources.networks import open_checkpoint


def open_source(specification: str, options: SourceOptions) -> Source:
    """The source that a command line names.

    Args:
        specification: a checkpoint, TorchScript or ONNX file, the YAML description of one of the
            latter two, ``package.module:factory``, or a folder of score maps.
        options: see ``SourceOptions``.

    Raises:
        ValueError: no such thing, or options that do not fit; one line that says what is wrong.
    """
    path = Path(specification)
    if path.is_dir():
        return stored.open_stored_maps(path, options)
    if ":" in specification and not path.exists():
        return foreign.open_factory(specification, options)
    kind = kind_of(path)
    if kind == "description":
        return foreign.open_description(path, options)
    if kind == "undescribed":
        return foreign.open_file(path, options)
    return open_checkpoint(path, options)


def distinctly_named(sources: Sequence[Source]) -> list[Source]:
    """The same sources, the second of two with equal names renamed with ``-2`` and so on.

    Folders, tables and charts know a source by its name.
    """
    taken: set[str] = set()
    result = []
    for source in sources:
        name, number = source.name, 1
        while name in taken:
            number += 1
            name = f"{source.name}-{number}"
        taken.add(name)
        result.append(source if name == source.name else source.renamed(name))
    return result

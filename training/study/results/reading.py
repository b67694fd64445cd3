"""JSON into frozen dataclasses and back, strictly.

A number that may be missing is ``null`` in the file and NaN in memory. A field whose name in the
file is no Python name says so in its metadata, with ``keep``.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

Kind = TypeVar("Kind")


class ResultError(ValueError):
    """A file of the study that cannot be read, or files that do not belong together."""


def keep(key: str | None = None, digits: int | None = None) -> Any:
    """A field called ``key`` in the file, whose numbers are written with so many decimals."""
    return dataclasses.field(metadata={"key": key, "digits": digits})


def read_file(kind: type[Kind], path: Path) -> Kind:
    """The dataclass that a JSON file holds.

    Raises:
        ResultError: an unreadable file, an unknown or missing key, a wrong type or a value out of
            range; the message names the file and the place in it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read {path}: {error}") from error
    try:
        found: Kind = _read(kind, content, "")
    except ResultError as error:
        raise ResultError(f"{path}: {error}") from error
    return found


def read_mapping(kind: type[Kind], content: Mapping[str, Any]) -> Kind:
    """The dataclass of nested mappings, as a JSON file holds them.

    Raises:
        ResultError: see ``read_file``.
    """
    found: Kind = _read(kind, content, "")
    return found


def json_text(value: Any) -> str:
    """A dataclass as JSON, with lists of numbers on one line each.

    Raises:
        ValueError: an infinite number.
    """
    text = json.dumps(_plain(value, None), indent=1, allow_nan=False, ensure_ascii=False)
    return re.sub(r"\[\s+([^][{}\"]*?)\s+\]", _on_one_line, text) + "\n"


def _on_one_line(numbers: re.Match[str]) -> str:
    return f"[{', '.join(one.strip() for one in numbers[1].split(','))}]"


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON; a number that is missing is null")


def _plain(value: Any, digits: int | None) -> Any:
    if dataclasses.is_dataclass(value):
        return {
            one.metadata.get("key") or one.name: _plain(
                getattr(value, one.name), one.metadata.get("digits") or digits
            )
            for one in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {key: _plain(item, digits) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item, digits) for item in value]
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if digits is None else round(value, digits)
    return value


def _read(kind: Any, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise ResultError(f"{where or 'the file'}: expected an object, found {_shown(content)}")
    hints = typing.get_type_hints(kind)
    fields = {one.metadata.get("key") or one.name: one for one in dataclasses.fields(kind)}
    for key in content:
        if key not in fields:
            near = difflib.get_close_matches(str(key), fields, n=1, cutoff=0.0)
            raise ResultError(f"unknown key {_join(where, key)!r}; did you mean {near[0]!r}?")
    values = {}
    for key, field in fields.items():
        if key in content:
            hint = hints[field.name]
            values[field.name] = _convert(hint, content[key], _join(where, key))
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise ResultError(f"{_join(where, key)}: expected a value, found nothing")
    try:
        return kind(**values)
    except ResultError as error:
        raise ResultError(f"{where}: {error}" if where else str(error)) from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _read(hint, value, where)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (typing.Union, types.UnionType):
        return None if value is None else _convert(arguments[0], value, where)
    elif origin is tuple:
        if isinstance(value, list):
            kinds = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
            if len(kinds) == len(value):
                pairs = enumerate(zip(kinds, value, strict=True))
                return tuple(_convert(kind, one, f"{where}[{i}]") for i, (kind, one) in pairs)
    elif origin is Mapping:
        if isinstance(value, dict):
            return {key: _convert(arguments[1], v, _join(where, key)) for key, v in value.items()}
    elif hint is float:
        if value is None:
            return math.nan
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ResultError(f"{where}: expected {_name(hint)}, found {_shown(value)}")


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _name(hint: Any) -> str:
    names = {float: "a number", int: "a whole number", str: "text"}
    return names.get(hint, str(hint).replace("typing.", ""))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

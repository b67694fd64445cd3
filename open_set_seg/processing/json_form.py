"""Frozen dataclasses of numbers and texts as JSON objects, and back.

NaN is null, infinities are texts: the files are JSON for every reader, not only for Python's.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")
_INFINITIES = {"inf": math.inf, "-inf": -math.inf}


class FormError(ValueError):
    """JSON that is not of the form; the message says where and what was expected."""


def to_json(value: Any) -> Any:
    """Lists, objects with string keys, texts, numbers and null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if isinstance(value, Path):
        return str(value)
    return value


def from_json(kind: type[Kind], value: Any, where: str = "record") -> Kind:
    """An instance of a dataclass from what ``to_json`` made of it.

    Raises:
        FormError: a field that is missing, unknown, or of another kind.
    """
    if not isinstance(value, Mapping):
        raise FormError(f"{where}: expected an object, found {_name(value)}")
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]
    wrong = set(hints) ^ set(value)
    if wrong:
        name = min(wrong)
        found = "unknown" if name in value else "missing"
        raise FormError(f"{where}: the field {name!r} is {found}")
    return kind(**{n: _read(hint, value[n], f"{where}.{n}") for n, hint in hints.items()})


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        return _read(next(one for one in arguments if one is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise FormError(f"{where}: expected a list, found {_name(value)}")
        return tuple(_read(arguments[0], one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is Literal:
        if value not in arguments:
            raise FormError(f"{where}: expected one of {', '.join(arguments)}, found {value!r}")
        return value
    if origin is not None:  # a mapping from texts
        if not isinstance(value, Mapping):
            raise FormError(f"{where}: expected an object, found {_name(value)}")
        return {key: _read(arguments[1], one, f"{where}.{key}") for key, one in value.items()}
    if is_dataclass(hint):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    return _read_plain(hint, value, where)


def _read_plain(kind: Any, value: Any, where: str) -> Any:
    if kind is float:
        if value is None:
            return math.nan
        if isinstance(value, str) and value in _INFINITIES:
            return _INFINITIES[value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise FormError(f"{where}: expected {kind.__name__}, found {_name(value)}")


def _name(value: Any) -> str:
    return "null" if value is None else f"{value!r:.40}"

"""Strict reading of YAML into frozen dataclasses.

A key that no dataclass has is an error that names the nearest key; a value of another type is an
error too. ``section.key=value`` on the command line replaces single values.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

Section = TypeVar("Section")


class RecipeError(ValueError):
    """A recipe that says something unknown, of the wrong type or out of range."""


def require(condition: bool, name: str, expected: object) -> None:
    """RecipeError that says what is expected of ``name``, unless the condition holds."""
    if not condition:
        raise RecipeError(f"{name}: expected {expected}")


def read_yaml(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML file with ``section.key=value`` replacements.

    Raises:
        RecipeError: an unreadable file, or one that holds no mapping.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"cannot read the recipe {path}: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"expected a mapping in {path}, found {type(content).__name__}")
    for override in overrides:
        _apply_override(content, override)
    return content


def read_section(kind: type[Section], content: object, where: str = "") -> Section:
    """A dataclass of nested mappings, as YAML or a checkpoint gives them.

    Raises:
        RecipeError: unknown key, wrong type, or a value out of range.
    """
    section: Section = _read(kind, content, where)
    return section


def to_mapping(section: Any) -> dict[str, Any]:
    """Nested mappings and lists of plain values of a dataclass, for YAML and JSON."""
    mapping: dict[str, Any] = _plain(dataclasses.asdict(section))
    return mapping


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise RecipeError(f"expected section.key=value, found {override!r}")
    *sections, last = key.strip().split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"{key}: {section!r} is a value, not a section")
    content[last] = yaml.safe_load(text)


def _read(kind: Any, content: Any, where: str) -> Any:
    if not isinstance(content, Mapping):
        raise RecipeError(f"{where or 'recipe'}: expected a section, found {content!r}")
    hints = typing.get_type_hints(kind)
    for key in content:
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1, cutoff=0.0)
            raise RecipeError(f"unknown key {_join(where, key)!r}; did you mean {near[0]!r}?")
    for name, item in kind.__dataclass_fields__.items():
        required = item.default is item.default_factory is dataclasses.MISSING
        if required and name not in content:
            raise RecipeError(f"{_join(where, name)}: expected a value, found nothing")
    return kind(**{key: _convert(hints[key], v, _join(where, key)) for key, v in content.items()})


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _read(hint, value, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value in arguments:
            return value
    elif origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _convert(arguments[0], value, where)
    elif origin is tuple:
        if isinstance(value, Sequence) and not isinstance(value, str):
            if arguments[-1] is Ellipsis:
                arguments = (arguments[0],) * len(value)
            if len(value) == len(arguments):
                pairs = enumerate(zip(arguments, value, strict=True))
                return tuple(_convert(hint, one, f"{where}[{i}]") for i, (hint, one) in pairs)
    elif origin is Mapping:
        if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
            return dict(value)
    elif hint is float:
        # YAML reads 1e-3 (without a point) as text.
        if isinstance(value, str):
            value = _number(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise RecipeError(f"{where}: expected {expected}, found {value!r}")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text

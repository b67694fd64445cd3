"""Strict reading of YAML into frozen dataclasses.

A key that no dataclass has is an error that names the nearest key; a value of another type or out
of range is an error too. All name the place, as ``data.sets[0].name``: a dataclass that checks its
values names them alone, and whoever reads it puts the section before them. ``section.key=value`` on
the command line replaces single values.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
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
    """RecipeError that says what is expected of ``name``, unless the condition holds.

    Args:
        condition: whether the value is as it should be.
        name: of the value inside its own section.
        expected: what it should be; a list is a choice.
    """
    if not condition:
        choice = f"one of {', '.join(expected)}" if isinstance(expected, list) else expected
        raise RecipeError(f"{name}: expected {choice}")


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
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{key}: expected a value in YAML, found {text!r}") from error
    *sections, last = key.strip().split(".")
    for section in sections:
        if content.get(section) is None:
            content[section] = {}
        content = content[section]
        if not isinstance(content, dict):
            raise RecipeError(f"{key}: {section!r} is a value, not a section")
    content[last] = value


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
    values = {key: _convert(hints[key], v, _join(where, key)) for key, v in content.items()}
    try:
        return kind(**values)
    except RecipeError as error:
        raise RecipeError(_join(where, error)) from error


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
        return None if value is None else _convert(arguments[0], value, where)
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
        number = _number(value)
        if number is not None:
            return number
    elif isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise RecipeError(f"{where}: expected {_describe(hint)}, found {value!r}")


def _number(value: object) -> float | None:
    """A finite number; None where it is none."""
    # YAML reads 1e-3 (without a point) as text.
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _describe(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin is tuple:
        return "a list" if arguments[-1] is Ellipsis else f"a list of {len(arguments)}"
    if origin is Mapping:
        return "a mapping from names"
    return "a finite number" if hint is float else str(hint.__name__)

"""Values of a YAML file, each of the kind that is expected, or one line that says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from open_set_seg.calibration.bounds import CalibrationError

# A calibration takes a few thousand bytes, and a hundred for each of at most 5000 frames that drift
# is judged by; nothing larger is parsed.
MOST_BYTES = 2**20


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, where YAML would let the last one win, and aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(problem="aliases are not used here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str) or keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r:.60} is there twice"
                )
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds.

    Raises:
        CalibrationError: it cannot be read, or is no YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise CalibrationError(f"expected a calibration at {path}, found more than 1 MiB")
        return yaml.load(content.decode(), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise CalibrationError(f"expected a calibration at {path}, found {error}") from None
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        if isinstance(error, CalibrationError):
            raise
        line = " ".join(str(error).split())
        raise CalibrationError(f"{path}: expected YAML, found {line:.200}") from None


class Fields:
    """A mapping with exactly the keys that are expected.

    Args:
        content: what was read.
        expected: its keys.
        place: before the names of the keys in messages.

    Raises:
        CalibrationError: no mapping, or other keys.
    """

    def __init__(self, content: Any, expected: Sequence[str], place: str = "") -> None:
        self._place = place
        if not isinstance(content, dict):
            raise CalibrationError(f"expected keys and values{self._at('')}, found {content!r:.60}")
        for key in content:
            if key not in expected:
                raise CalibrationError(f"unknown key {place}{key!s:.60}")
        for key in expected:
            if key not in content:
                raise CalibrationError(f"expected the key {place}{key}, found none")
        self._content = content

    def value(self, key: str) -> Any:
        """Whatever it is."""
        return self._content[key]

    def text(self, key: str) -> str:
        """A text."""
        return str(self._require(key, isinstance(self._content[key], str), "a text"))

    def choice(self, key: str, choices: Sequence[str]) -> Any:
        """One of several texts."""
        return self._require(key, self._content[key] in choices, f"one of {', '.join(choices)}")

    def whole(self, key: str) -> int:
        """A whole number of at least 0."""
        value = self._content[key]
        return int(self._require(key, type(value) is int and value >= 0, "a whole number >= 0"))

    def number(self, key: str) -> float:
        """A finite number."""
        return float(self._require(key, _is_number(self._content[key]), "a finite number"))

    def optional_number(self, key: str) -> float | None:
        """A finite number, or nothing."""
        return None if self._content[key] is None else self.number(key)

    def share(self, key: str) -> float | None:
        """A number in [0, 1], or nothing."""
        number = self.optional_number(key)
        inside = number is None or 0 <= number <= 1
        self._require(key, inside, "a number in [0, 1]")
        return number

    def list_of(self, key: str) -> list[Any]:
        """A list."""
        return list(self._require(key, isinstance(self._content[key], list), "a list"))

    def settings(self, key: str) -> dict[str, Any]:
        """A mapping of names to numbers, texts, truth values or nothing."""
        value = self._content[key]
        plain = isinstance(value, dict) and all(
            isinstance(name, str)
            and (one is None or isinstance(one, bool | str) or _is_number(one))
            for name, one in value.items()
        )
        return dict(self._require(key, plain, "names with plain values"))

    def _require(self, key: str, holds: bool, expected: str) -> Any:
        if not holds:
            raise CalibrationError(
                f"expected {expected}{self._at(key)}, found {self._content[key]!r:.60}"
            )
        return self._content[key]

    def _at(self, key: str) -> str:
        place = f"{self._place}{key}".rstrip(".")
        return f" at {place}" if place else ""


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False

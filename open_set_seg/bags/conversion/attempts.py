"""Reading what may be missing or damaged: a value, or a fault with the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

from open_set_seg.bags.conversion.frames import Fault

Value = TypeVar("Value")
Map = TypeVar("Map", bound=NDArray[Any])


class Attempts:
    """Collects the faults of one frame."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    @property
    def faults(self) -> tuple[Fault, ...]:
        """In the order in which they were met."""
        return tuple(self._faults)

    def read(self, path: Path | None, kind: str, reader: Callable[[Path], Value]) -> Value | None:
        """What ``reader`` makes of a file; None, and a fault, where it raises or has no file."""
        if path is None:
            return None
        try:
            return reader(path)
        except FileNotFoundError:
            self.leave_out(path, kind, "is missing")
        except OSError as error:
            self.leave_out(path, kind, f"cannot be read ({error.strerror or error})")
        except ValueError as error:
            self.leave_out(path, kind, str(error))
        return None

    def fit(
        self, values: Map | None, path: Path | None, kind: str, size: tuple[int, int]
    ) -> Map | None:
        """The map, or None and a fault where its (height, width) is not ``size``."""
        if values is None or path is None or values.shape[:2] == size:
            return values
        height, width = values.shape[:2]
        reason = f"has {width} x {height} pixels, its left image {size[1]} x {size[0]}"
        self.leave_out(path, kind, reason)
        return None

    def leave_out(self, path: Path, kind: str, reason: str) -> None:
        """Note a fault."""
        self._faults.append(Fault(path, kind, reason))

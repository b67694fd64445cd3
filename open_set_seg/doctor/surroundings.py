"""What the checks of the machine look at: packages, environment variables, files of the system.

All of it goes through one object, so that a test can stand any machine in for this one.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from open_set_seg.doctor.findings import NotCheckedError


@dataclass(frozen=True)
class Surroundings:
    """The machine, the interpreter and the environment.

    Attributes:
        python: version of the interpreter.
        executable, prefix, base_prefix: as in ``sys``.
        variables: of the environment.
        load: imports a module by its dotted name, or raises what the import raises.
        version: of an installed distribution; None where it is not installed.
        read: content of a text file; raises ``OSError``.
        exists: whether a path is there.
        free_bytes: of the file system of a path; raises ``OSError``.
    """

    python: tuple[int, int, int]
    executable: str
    prefix: str
    base_prefix: str
    variables: Mapping[str, str]
    load: Callable[[str], Any]
    version: Callable[[str], str | None]
    read: Callable[[str], str]
    exists: Callable[[str], bool]
    free_bytes: Callable[[str], int]

    @classmethod
    def here(cls) -> Surroundings:
        """This machine."""
        return cls(
            python=sys.version_info[:3],
            executable=sys.executable,
            prefix=sys.prefix,
            base_prefix=sys.base_prefix,
            variables=dict(os.environ),
            load=importlib.import_module,
            version=_installed_version,
            read=lambda path: Path(path).read_text(encoding="utf-8", errors="replace"),
            exists=lambda path: Path(path).exists(),
            free_bytes=lambda path: shutil.disk_usage(path).free,
        )

    def require(self, name: str) -> Any:
        """Import what another check reports on.

        Raises:
            ModuleNotFoundError: it is not installed.
            NotCheckedError: it does not load.
        """
        try:
            return self.load(name)
        except ModuleNotFoundError:
            raise
        except Exception as failure:
            raise NotCheckedError(f"{name} does not load") from failure

    def read_line(self, path: str) -> str:
        """First line of a file; empty where it cannot be read."""
        try:
            return (self.read(path).splitlines() or [""])[0].strip()
        except OSError:
            return ""


def version_numbers(text: str) -> tuple[int, ...]:
    """Leading numbers of a version: ``2.13.0+cpu`` -> (2, 13, 0)."""
    numbers: list[int] = []
    for part in text.partition("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _installed_version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

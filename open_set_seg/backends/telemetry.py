"""Imports of packages that would report their use to their makers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

# OpenVINO and NNCF send usage statistics through this package, already when they are imported.
# Both do without it where it is missing.
_REPORTER = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Within it an import of OpenVINO or NNCF finds no package that could send anything.

    What a program has imported before stays as it was.
    """
    if _REPORTER in sys.modules:
        yield
        return
    # None makes ``import`` raise, as for a package that is not installed.
    sys.modules[_REPORTER] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        sys.modules.pop(_REPORTER, None)


def import_openvino() -> ModuleType:
    """The package ``openvino``, silenced.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    with without_telemetry():
        import openvino

    package: ModuleType = openvino
    return package

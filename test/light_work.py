"""Work for the tests of replaceable processes, in a module that is imported in no time."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def note(item: tuple[str, str, str], progress) -> str:
    """Work, ``kill``, ``kill once``, ``raise`` or ``wait``, as told; with a mark meanwhile."""
    folder, name, order = item
    mark, killed = Path(folder) / f"{name}.{os.getpid()}", Path(folder) / f"killed.{name}"
    try:
        mark.touch()
        progress(3)
        if order == "kill" or (order == "kill once" and not killed.exists()):
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if order == "raise":
            raise ValueError(f"{name} is wrong")
        time.sleep(60.0 if order == "wait" else 0.02)
        progress(2)
    finally:
        mark.unlink()
    return name

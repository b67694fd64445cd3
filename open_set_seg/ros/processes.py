"""Starting executables of this package as processes of their own, and ending them for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

STOPPING_S = 10.0
SHOWN_LINES = 12


class ProcessError(ChildProcessError):
    """A process that was started ended on its own, or did not do what it should."""


class Executable:
    """A module of this package run as a process; leaving the ``with`` block ends it.

    Args:
        module: such as ``open_set_seg.ros.node``.
        parameters: ROS parameters by name.
        environment: added to that of this process.
        log: file that takes what the process writes.
    """

    def __init__(
        self,
        module: str,
        parameters: Mapping[str, object],
        environment: Mapping[str, str],
        log: Path,
    ) -> None:
        self.name = module.rpartition(".")[2]
        self._log = log
        self._command = [sys.executable, "-m", module]
        if parameters:
            self._command += ["--ros-args"]
        for name, value in parameters.items():
            self._command += ["-p", f"{name}:={_as_yaml(value)}"]
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}

    def __enter__(self) -> Executable:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C reaches this process alone, which then ends the others.
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Exit code; None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raise ``ProcessError`` with the end of its log if it has failed."""
        code = self.exit_code
        if code:
            lines = self._log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
            told = "\n".join(f"  {line}" for line in lines) or "  (it wrote nothing)"
            raise ProcessError(f"{self.name} ended with exit code {code}; its last lines:\n{told}")

    def stop(self, gently: signal.Signals = signal.SIGINT) -> int:
        """End it by a signal, and by SIGKILL where that does not help; returns the exit code."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(gently)
                self._process.wait(STOPPING_S)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when a second Ctrl-C ends the waiting
            if self._process.poll() is None:
                self._process.kill()
        return self._process.wait()


def _as_yaml(value: object) -> str:
    """A parameter's value as the command line wants it: YAML, in which quoted text stays text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_as_yaml, value))}]"
    if isinstance(value, (str, Path)):
        return "'" + str(value).replace("'", "''") + "'"
    return str(value)

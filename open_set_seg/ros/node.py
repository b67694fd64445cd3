"""The executable ``detector``: process entry, signals, exit codes.

Imports nothing heavy at module level, so that an interrupt is harmless from the first moment on.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_set_seg.ros.lifecycle import ManagedDetector

_LONGEST_SLEEP_S = 0.25


def main(args: Sequence[str] | None = None) -> int:
    """Run the detector node until SIGINT or SIGTERM.

    Returns:
        0 after a shutdown that was asked for, also while starting; 1 when the node cannot start,
        with one line that says why.
    """
    # Beside other busy processes, spinning OpenMP threads are several times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    stop = threading.Event()
    # rclpy's own handler, installed by init, shuts the context down and then calls this one: no
    # KeyboardInterrupt can surface anywhere, however often the signal comes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        return _run(args, stop)
    finally:
        # Unlike a Python handler, "ignore" survives the interpreter's own shutdown.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _run(args: Sequence[str] | None, stop: threading.Event) -> int:
    import rclpy

    from open_set_seg.ros.lifecycle import ManagedDetector, describe_error

    node: ManagedDetector | None = None
    failure: Exception | None = None
    try:
        rclpy.init(args=args)
        if stop.is_set():
            return 0
        node = ManagedDetector()
        _spin(node)
        failure = node.failure
    except Exception as error:
        failure = error
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    if failure is None or stop.is_set():
        return 0
    print(f"detector: {describe_error(failure)}", file=sys.stderr)
    return 1


def _spin(node: ManagedDetector) -> None:
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        node.start()
        while node.context.ok():
            # Not spin(): rclpy ends the context a moment after a signal has woken the executor. One
            # that looks in between sleeps on, for ever where no timer runs.
            executor.spin_once(timeout_sec=_LONGEST_SLEEP_S)
    except ExternalShutdownException:
        pass
    finally:
        executor.shutdown()


if __name__ == "__main__":
    sys.exit(main())

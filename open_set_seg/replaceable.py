"""Calls in processes that are replaced when they are killed.

``concurrent.futures`` gives up everything when one of its processes is killed (the kernel does so
when memory is short). Here the others go on, and only a call that is killed again and again is
given up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from typing import Any, Generic, NoReturn, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
# Told how much of its work a call has done since it last said so.
Progress = Callable[[int], None]

ATTEMPTS = 3
ENDING_S = 15.0
_MESSAGE = struct.Struct("<ii")  # number of the call, work done; 0: it begins
_CONTEXT = multiprocessing.get_context("spawn")
_REPORT: Any = None
_ENDING = False


def run_in_processes(
    work: Callable[[Item, Progress], Result],
    items: Sequence[Item],
    jobs: int,
    progress: Progress,
) -> Iterator[tuple[int, Result | None]]:
    """Yield (number of the item, result) in the order of their end.

    A killed process takes its neighbours along. The calls that were running are then made again
    one at a time, so that only one whose own process is killed ``ATTEMPTS`` times is given up: its
    result is None. However the iteration ends, no process outlives it.

    Args:
        work: importable by name, as are the items; called in processes without a terminal's SIGINT.
        jobs: number of processes.
        progress: called in a thread; work that was lost is taken back.

    Raises:
        ChildProcessError: processes end before any call begins.
        Exception: whatever a call raises.
    """
    waiting = dict(enumerate(items))
    while waiting:
        pool = _Round(work, waiting, progress)
        yield from pool.run(jobs)
        waiting = {number: waiting[number] for number in waiting if number not in pool.finished}
        for number in sorted(pool.begun & set(waiting)):
            yield from _run_alone(work, number, waiting.pop(number), progress)
        if waiting and not pool.begun:
            raise ChildProcessError("processes end before they begin to work: is memory short?")


def _run_alone(
    work: Callable[[Item, Progress], Result], number: int, item: Item, progress: Progress
) -> Iterator[tuple[int, Result | None]]:
    for _ in range(ATTEMPTS - 1):
        pool = _Round(work, {number: item}, progress)
        yield from pool.run(1)
        if pool.finished:
            return
    yield number, None


class _Round(Generic[Item, Result]):
    """Processes until one of them is killed.

    Attributes:
        begun, finished: numbers of the items.
    """

    def __init__(
        self,
        work: Callable[[Item, Progress], Result],
        items: Mapping[int, Item],
        progress: Progress,
    ) -> None:
        self._work, self._items, self._progress = work, items, progress
        self._done: Counter[int] = Counter()
        self.begun: set[int] = set()
        self.finished: set[int] = set()

    def run(self, jobs: int) -> Iterator[tuple[int, Result]]:
        """Yield results; ends early when a process was killed."""
        with (
            self._listening() as writer,
            _pool(min(jobs, len(self._items)), writer) as pool,
            suppress(BrokenProcessPool),  # submitting raises it, too, where one is killed at once
        ):
            futures = {
                pool.submit(_call, self._work, number, item): number
                for number, item in self._items.items()
            }
            for future in as_completed(futures):
                result: Result = future.result()
                self.finished.add(futures[future])
                yield futures[future], result
        for number in self.begun - self.finished:
            self._progress(-self._done[number])

    @contextmanager
    def _listening(self) -> Iterator[Any]:
        """A pipe of reports; all are heard when the block is left."""
        reader, writer = _CONTEXT.Pipe(duplex=False)
        thread = threading.Thread(target=self._listen, args=(reader,), daemon=True)
        thread.start()
        try:
            yield writer
        finally:
            writer.close()
            thread.join(ENDING_S)

    def _listen(self, reader: Any) -> None:
        with reader, suppress(EOFError):
            while True:
                number, done = _MESSAGE.unpack(reader.recv_bytes())
                self.begun.add(number)
                self._done[number] += done
                self._progress(done)


@contextmanager
def _pool(size: int, writer: Any) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are gone when the block is left, however it is left."""
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(size, _CONTEXT, initializer=_begin, initargs=(writer,))
    try:
        yield pool
        pool.shutdown()
    finally:
        children = set(multiprocessing.active_children()) - before
        pool.shutdown(wait=False, cancel_futures=True)
        for stop in ("terminate", "kill"):
            for child in children:
                with suppress(ValueError):  # closed already
                    getattr(child, stop)()
            for child in children:
                with suppress(ValueError):
                    child.join(ENDING_S)


def _begin(writer: Any) -> None:
    """In a new process: end by SIGTERM alone, after cleaning up, and with the parent."""
    global _REPORT
    # One write of so few bytes is atomic: no lock that a killed process could hold for ever.
    _REPORT = writer.send_bytes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _end(*_: object) -> NoReturn:
    global _ENDING
    _ENDING = True
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not break the cleaning up
    sys.exit(1)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _call(work: Callable[[Item, Progress], Result], number: int, item: Item) -> Result:
    report: Callable[[bytes], None] = _REPORT

    def progress(done: int) -> None:
        with suppress(OSError):  # nobody listens any more
            report(_MESSAGE.pack(number, done))

    try:
        progress(0)
        return work(item, progress)
    finally:
        if _ENDING:  # all is cleaned up; the pool would send back what was raised, and go on
            os._exit(1)

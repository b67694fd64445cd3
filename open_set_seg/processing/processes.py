"""Tasks on this machine: in this process, or in several that are replaced when they are killed."""

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
from typing import Any, NoReturn

from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.recording import Progress, Task
from open_set_seg.processing.working import Outcome, work_on

# A recording whose process was killed so often is given up: it may need more memory than there is.
ATTEMPTS = 3
ENDING_S = 10.0
_MESSAGE = struct.Struct("<ii")  # number of the task, images done; 0 images: it begins
_CONTEXT = multiprocessing.get_context("spawn")
_REPORT: Any = None


def run_here(tasks: Sequence[Task], config: ProcessConfig, progress: Progress) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for task in tasks:
        yield work_on(task, config, progress)


def run_in_processes(
    tasks: Sequence[Task], config: ProcessConfig, progress: Progress, jobs: int
) -> Iterator[Outcome]:
    """Several at a time, in processes of their own; outcomes come in the order of their end.

    A killed process costs nothing but time. It takes the others along; recordings that were being
    worked on are then done again one at a time, so that only those are given up whose process is
    killed ``ATTEMPTS`` times.

    Args:
        jobs: number of processes.
    """
    waiting = dict(enumerate(tasks))
    while waiting:
        pool = _Round(waiting, config, progress)
        yield from pool.run(jobs)
        waiting = {number: waiting[number] for number in waiting if number not in pool.finished}
        for number in pool.begun & set(waiting):
            yield from _run_alone(number, waiting.pop(number), config, progress)
        if waiting and not pool.begun:
            raise ChildProcessError("processes end before they begin to work: is memory short?")


def _run_alone(
    number: int, task: Task, config: ProcessConfig, progress: Progress
) -> Iterator[Outcome]:
    for _ in range(ATTEMPTS - 1):
        pool = _Round({number: task}, config, progress)
        yield from pool.run(1)
        if pool.finished:
            return
    text = f"its process was killed {ATTEMPTS} times: is memory short?"
    yield Outcome(task.source, task.folder, text)


class _Round:
    """Processes until one of them is killed.

    Attributes:
        begun, finished: numbers of the tasks.
    """

    def __init__(
        self, tasks: Mapping[int, Task], config: ProcessConfig, progress: Progress
    ) -> None:
        self._tasks, self._config, self._progress = tasks, config, progress
        self._images: Counter[int] = Counter()
        self.begun: set[int] = set()
        self.finished: set[int] = set()

    def run(self, jobs: int) -> Iterator[Outcome]:
        """Yield outcomes; ends early when a process was killed."""
        with self._listening() as writer, _pool(min(jobs, len(self._tasks)), writer) as pool:
            futures = {
                pool.submit(_work, number, task, self._config): number
                for number, task in self._tasks.items()
            }
            try:
                for future in as_completed(futures):
                    outcome = future.result()
                    self.finished.add(futures[future])
                    yield outcome
            except BrokenProcessPool:
                pass
        for number in self.begun - self.finished:  # these images will be done again
            self._progress(-self._images[number])

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
                number, images = _MESSAGE.unpack(reader.recv_bytes())
                self.begun.add(number)
                self._images[number] += images
                self._progress(images)


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
        for stop in (multiprocessing.Process.terminate, multiprocessing.Process.kill):
            for child in children:
                with suppress(ValueError):  # closed already
                    if child.is_alive():
                        stop(child)
            for child in children:
                with suppress(ValueError):
                    child.join(ENDING_S)


def _begin(writer: Any) -> None:
    """In a new process: end by SIGTERM alone, with what was begun removed, and with the parent."""
    global _REPORT
    # One write of so few bytes is atomic: no lock that a killed process could hold for ever.
    _REPORT = writer.send_bytes
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    threading.Thread(target=_follow_parent, daemon=True).start()


def _end(*_: object) -> NoReturn:
    sys.exit(1)


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _work(number: int, task: Task, config: ProcessConfig) -> Outcome:
    report: Callable[[bytes], None] = _REPORT

    def progress(images: int) -> None:
        with suppress(OSError):  # nobody listens any more
            report(_MESSAGE.pack(number, images))

    progress(0)
    return work_on(task, config, progress)

"""Loading frames ahead of their use, in processes that import no network."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

import cv2

from training.datasets.frames import CorruptFileError, Dataset, LabelledFrame


@dataclass(frozen=True)
class CorruptFrame:
    """A frame that could not be loaded, with the reason, which names the file."""

    reason: str


def load_ahead(
    dataset: Dataset, indices: Sequence[int], workers: int
) -> Iterator[tuple[int, LabelledFrame | CorruptFrame]]:
    """Frames in the order of ``indices``, at most two a worker waiting in memory."""
    if not workers:
        for index in indices:
            yield index, _load(dataset, index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (dataset,)) as pool:
        jobs: deque[tuple[int, Future[LabelledFrame | CorruptFrame]]] = deque()
        following = iter(indices)
        try:
            while True:
                for index in islice(following, 2 * workers - len(jobs)):
                    with _uninterrupted():
                        jobs.append((index, pool.submit(_load_in_worker, index)))
                if not jobs:
                    return
                index, job = jobs.popleft()
                yield index, job.result()
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Processes that are started inside never see Ctrl-C, which a terminal sends to all.

    This one tells them to stop, and says so once; for it the signal waits a moment.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _load(dataset: Dataset, index: int) -> LabelledFrame | CorruptFrame:
    try:
        return dataset.load(index)
    except CorruptFileError as error:
        return CorruptFrame(str(error))


_worker_dataset: Dataset | None = None


def _start_worker(dataset: Dataset) -> None:
    global _worker_dataset
    _worker_dataset = dataset
    cv2.setNumThreads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        # A parent that is killed cannot tell its workers to stop.
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _load_in_worker(index: int) -> LabelledFrame | CorruptFrame:
    assert _worker_dataset is not None
    return _load(_worker_dataset, index)

"""Calls of one function that do not depend on each other, in several processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from tqdm import tqdm


def run_tasks(
    function: Callable[..., object],
    tasks: Sequence[tuple[Any, ...]],
    workers: int,
    title: str,
    progress: bool = True,
    unit: str = "it",
    begin: Callable[[], object] | None = None,
) -> None:
    """Call a function with the arguments of every task; one that fails stops those still waiting.

    Args:
        function: importable by name.
        tasks: arguments that can be pickled.
        workers: processes; 0: this one.
        title: of the progress bar, ``unit`` is what it counts.
        progress: whether to draw it.
        begin: called once in every process of its own.

    Raises:
        Exception: what the first task to fail raised.
    """
    hidden = not (progress and tasks)
    with tqdm(total=len(tasks), desc=title, unit=unit, disable=hidden) as bar:
        if not workers:
            for task in tasks:
                function(*task)
                bar.update()
        elif tasks:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(workers, context, begin) as pool:
                jobs = [pool.submit(function, *task) for task in tasks]
                try:
                    for job in as_completed(jobs):
                        job.result()
                        bar.update()
                except BaseException:
                    pool.shutdown(wait=True, cancel_futures=True)
                    raise

"""Tasks on this machine: in this process, or in several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.recording import Progress, Task
from open_set_seg.processing.working import Outcome, work_on
from open_set_seg.replaceable import ATTEMPTS, run_in_processes

_KILLED = f"its process was killed {ATTEMPTS} times: is memory short?"


def run_here(tasks: Sequence[Task], config: ProcessConfig, progress: Progress) -> Iterator[Outcome]:
    """One after the other, in this process."""
    for task in tasks:
        yield work_on(config, task, progress)


def run_in_jobs(
    tasks: Sequence[Task], config: ProcessConfig, progress: Progress, jobs: int
) -> Iterator[Outcome]:
    """Several at a time, in processes of their own; outcomes come in the order of their end.

    A killed process costs nothing but time: see ``replaceable.run_in_processes``.
    """
    work = partial(work_on, config)
    for number, outcome in run_in_processes(work, tasks, jobs, progress):
        task = tasks[number]
        yield outcome or Outcome(task.source, task.folder, _KILLED)

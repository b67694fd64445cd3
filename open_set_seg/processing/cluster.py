"""Tasks on a Dask cluster: one that is there, or one of worker processes on this machine.

Recordings and results must lie where every worker finds them under the same paths, and every worker
needs the same version of this package. Dask gives a killed worker's recording to another one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from open_set_seg import __version__
from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.recording import Progress, Task
from open_set_seg.processing.working import Outcome, work_on

if TYPE_CHECKING:
    from distributed import Client

FLEET_EXTRA = "pip install 'open_set_seg[fleet]'"
TOPIC = "open_set_seg.images"
CONNECTING_S = 10.0


class ClusterError(ValueError):
    """There is no usable cluster; the message says why."""


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """The address of a cluster of worker processes, one thread each, on this machine.

    Raises:
        ClusterError: Dask is not installed.
    """
    _require_dask()
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        host="127.0.0.1",
        env={"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")},
    ) as cluster:
        yield cluster.scheduler_address


def run_on_cluster(
    tasks: Sequence[Task], config: ProcessConfig, progress: Progress, address: str
) -> Iterator[Outcome]:
    """Yield outcomes in the order of their end.

    Args:
        address: of the scheduler, such as ``tcp://10.0.0.1:8786``.

    Raises:
        ClusterError: Dask is not installed, there is no scheduler, or a worker has another version.
        ValueError: a worker cannot load the network.
    """
    _require_dask()
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    with _client(address) as client:
        done: dict[str, int] = {}
        client.subscribe_topic(TOPIC, lambda event: _advance(event, done, progress))
        futures = {
            client.submit(_work, task, config, __version__, pure=False): task for task in tasks
        }
        try:
            for future in as_completed(list(futures)):
                task = futures[future]
                try:
                    yield future.result()
                except KilledWorker as error:
                    yield Outcome(task.source, task.folder, f"its workers were killed: {error}")
        finally:
            client.cancel(list(futures))


@contextmanager
def _client(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECTING_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        yield client


def _work(task: Task, config: ProcessConfig, version: str) -> Outcome:
    from distributed import get_worker

    if version != __version__:
        raise ClusterError(f"expected open_set_seg {version} on the workers, found {__version__}")
    worker = get_worker()
    name = str(task.folder)
    images = 0

    def progress(count: int) -> None:
        nonlocal images
        images += count
        worker.log_event(TOPIC, {"task": name, "images": images})

    progress(0)
    return work_on(config, task, progress)


def _advance(event: Any, done: dict[str, int], progress: Progress) -> None:
    """Pass on how many images more, or fewer where a killed worker's recording begins again."""
    _, content = event
    name, images = content["task"], int(content["images"])
    progress(images - done.get(name, 0))
    done[name] = images


def _require_dask() -> None:
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError:
        raise ClusterError(f"a cluster needs Dask: {FLEET_EXTRA}") from None

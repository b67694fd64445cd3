"""A task and what becomes of it, wherever it is worked on."""

from __future__ import annotations

import logging
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

from open_set_seg.processing.config import ProcessConfig
from open_set_seg.processing.network import Network
from open_set_seg.processing.recording import Progress, Task, process_recording

LOGGER = logging.getLogger(__name__)
# A network belongs to one thread.
_LOADED = threading.local()


@dataclass(frozen=True)
class Outcome:
    """What became of a task.

    Attributes:
        source: the recording; ``folder``: of its results.
        error: why there are none, in one line; None where there are.
        frames, obstacles: numbers of them.
        undecodable: number of images that could not be used.
        seconds: that it took.
    """

    source: Path
    folder: Path
    error: str | None = None
    frames: int = 0
    obstacles: int = 0
    undecodable: int = 0
    seconds: float = 0.0


def work_on(config: ProcessConfig, task: Task, progress: Progress) -> Outcome:
    """Process a recording with this thread's network, which is loaded first where it is not.

    Whatever is wrong with the recording is part of the outcome: others get their turn.

    Raises:
        ValueError: the network cannot be loaded, which no other recording would change.
    """
    network = _network(config)
    try:
        run = process_recording(task, network, progress)
    except Exception as error:
        LOGGER.debug("%s", traceback.format_exc())
        return Outcome(task.source, task.folder, _one_line(error))
    return Outcome(
        source=task.source,
        folder=task.folder,
        frames=run["frames"],
        obstacles=run["obstacles"],
        undecodable=len(run["undecodable"]),
        seconds=run["seconds"],
    )


def _network(config: ProcessConfig) -> Network:
    held: Network | None = getattr(_LOADED, "network", None)
    if held is None or not held.serves(config):
        held = Network.load(config)
    _LOADED.network = held.reconfigured(config)
    network: Network = _LOADED.network
    return network


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    if isinstance(error, ValueError | OSError):
        return text
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {text} ({place.filename}:{place.lineno})"

"""One pass over a data set: load frames ahead, let the source answer, count, save."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch.distributed
from tqdm import tqdm

from training.datasets.frames import Dataset, LabelledFrame
from training.datasets.loading import CorruptFrame, load_ahead
from training.evaluation.seen import SeenFrame
from training.evaluation.work_folder import Chunks, FrameNote
from training.sources import EvaluationError

SKIPPING = "--skip-corrupt leaves such frames out"


@dataclass(frozen=True)
class Ranks:
    """The processes that share an evaluation, as torchrun starts them.

    Attributes:
        rank: of this process; 0 does what only one may do.
        count: of all processes.
        local: rank among the processes of this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def join(cls) -> Ranks:
        """The ranks of the environment; waits for the others to come."""
        count = int(os.environ.get("WORLD_SIZE", "1"))
        if count == 1:
            return cls()
        if not torch.distributed.is_initialized():
            # The first rank adds up alone, for as long as it takes.
            torch.distributed.init_process_group("gloo", timeout=timedelta(days=7))
        return cls(torch.distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.count > 1:
            torch.distributed.barrier()


@dataclass(frozen=True)
class Pace:
    """How the work of a pass is spread out and saved.

    Attributes:
        workers: processes that load frames ahead; 0: this process loads them.
        save_frames, save_seconds: see ``Chunks``.
        skip_corrupt: whether frames with corrupt files are left out; else they are an error.
        progress: whether to draw a bar.
    """

    workers: int = 2
    save_frames: int = 32
    save_seconds: float = 30.0
    skip_corrupt: bool = False
    progress: bool = True


def run_pass(
    chunks: Chunks,
    dataset: Dataset,
    see: Callable[[LabelledFrame], SeenFrame],
    ranks: Ranks,
    pace: Pace,
    title: str,
) -> None:
    """Count all frames that are not done; every rank takes its share.

    Returns when all ranks are through.

    Raises:
        EvaluationError: a corrupt frame, if those are not to be skipped, or a frame or score that
            cannot be counted; names it.
    """
    done = chunks.done()
    mine = range(ranks.rank, len(dataset.ids), ranks.count)
    waiting = [index for index in mine if index not in done]
    bar = tqdm(
        load_ahead(dataset, waiting, pace.workers),
        desc=title,
        unit="frame",
        total=len(mine),
        initial=len(mine) - len(waiting),
        disable=not pace.progress or ranks.rank != 0,
    )
    for index, frame in bar:
        if isinstance(frame, CorruptFrame):
            if not pace.skip_corrupt:
                raise EvaluationError(f"{frame.reason} ({SKIPPING})")
            chunks.add(FrameNote(index, dataset.ids[index], skipped=frame.reason), None)
            continue
        try:
            seen = see(frame)
            chunks.add(FrameNote(index, frame.id, resized=seen.answer.resized), seen)
        except ValueError as error:
            named = frame.id in str(error)
            raise EvaluationError(str(error) if named else f"{frame.id}: {error}") from error
    chunks.save()
    ranks.wait()

"""One pass over a data set: load frames ahead, let the source answer, count, save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tqdm import tqdm

from training.datasets.frames import Dataset, LabelledFrame
from training.datasets.loading import CorruptFrame, load_ahead
from training.evaluation.seen import SeenFrame
from training.evaluation.work_folder import Chunks, FrameNote
from training.ranks import Ranks
from training.sources import EvaluationError

SKIPPING = "--skip-corrupt leaves such frames out"


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

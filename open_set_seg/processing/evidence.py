"""What a report needs beyond the records: pictures of obstacles, and the judgement by labels."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

from open_set_seg.frame import FrameResult
from open_set_seg.processing.album import Album
from open_set_seg.processing.describing import ProcessedFrame
from open_set_seg.processing.ground_truth import GroundTruth, TruthError
from open_set_seg.processing.truth_counts import TruthCounts


class AlbumSink:
    """``thumbnails``: small pictures of confirmed obstacles.

    Args:
        folder: where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._album = folder, Album()

    def add(self, frame: ProcessedFrame) -> None:
        """Look at the obstacles of a frame."""
        self._album.add(frame.record.number, frame.frame.image, frame.observation.result)

    def finish(self) -> dict[str, Any]:
        """Write the files."""
        self._album.save(self._folder)
        return {"pictures": len(self._album.thumbnails)}

    def discard(self) -> None:
        """Nothing is open."""


class Judge:
    """Compares results with the labels of their recording; a context manager.

    Args:
        source: the recording, with labels or without.

    Raises:
        BagError: not a whole recording.
    """

    def __init__(self, source: Path) -> None:
        self._truth = GroundTruth(source)
        self._counts = TruthCounts(self._truth.name, self._truth.count, self._truth.problem)

    def judge(self, number: int, result: FrameResult) -> dict[str, float] | None:
        """Judge a frame by the labels of its stamp.

        Returns:
            As ``TruthCounts.add``; None where the frame has no labels that can be used.
        """
        try:
            labels = self._truth.find(result.stamp_ns)
        except TruthError as error:
            self._counts.leave_out(str(error))
            return None
        return None if labels is None else self._counts.add(number, result, labels)

    def finish(self, folder: Path) -> dict[str, Any]:
        """Write ``ground_truth.json`` where the recording has labels."""
        if self._truth.present:
            self._counts.save(folder)
        return {"labels": self._truth.count, "problem": self._truth.problem}

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._truth.close()

"""What a report needs beyond the records: pictures of obstacles, and the judgement by labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from open_set_seg.processing.album import Album
from open_set_seg.processing.ground_truth import GroundTruth, TruthError
from open_set_seg.processing.truth_counts import TruthCounts

if TYPE_CHECKING:
    from open_set_seg.processing.sinks import ProcessedFrame


class EvidenceSink:
    """``thumbnails`` and, where the recording has labels, ``ground_truth.json``.

    Args:
        source: the recording; folder: where files go.
    """

    def __init__(self, source: Path, folder: Path) -> None:
        self._folder, self._album = folder, Album()
        self._truth = GroundTruth(source)
        self._counts = TruthCounts(self._truth.name, self._truth.count, self._truth.problem)

    def add(self, frame: ProcessedFrame) -> None:
        """Look at a frame; its labels are those of its stamp."""
        result, number = frame.observation.result, frame.record.number
        self._album.add(number, frame.frame.image, result)
        try:
            labels = self._truth.find(frame.frame.stamp_ns)
        except TruthError as error:
            self._counts.leave_out(str(error))
            return
        if labels is not None:
            self._counts.add(number, result, labels)

    def finish(self) -> dict[str, Any]:
        """Write the files."""
        self._truth.close()
        self._album.save(self._folder)
        if self._truth.present:
            self._counts.save(self._folder)
        return {"thumbnails": len(self._album.thumbnails), "labels": self._truth.count}

    def discard(self) -> None:
        """Close the recording."""
        self._truth.close()

"""Data sets one after another, by one index; what to do about corrupt files."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from training.datasets.frames import CorruptFileError, Dataset, DatasetError, LabelledFrame

logger = logging.getLogger(__name__)

# So many frames in a row may be corrupt where they are skipped; more is no accident.
MOST_SKIPPED = 20


class JoinedFrames:
    """Frames of several data sets; any number of threads may load at once, in any order.

    Args:
        datasets: in the order of the indices.
        skip_corrupt: put the next readable frame in the place of one with a corrupt file, and say
            so in the log; else such a frame is an error.

    Raises:
        DatasetError: no data set.
    """

    def __init__(self, datasets: Sequence[Dataset], skip_corrupt: bool = False) -> None:
        if not datasets:
            raise DatasetError("no data set to train on")
        self.datasets = tuple(datasets)
        self.skip_corrupt = skip_corrupt
        self._ends = list(accumulate(len(each.ids) for each in datasets))
        self._skipped: dict[Path, str] = {}

    @property
    def skipped(self) -> Mapping[Path, str]:
        """Corrupt files met so far, with what is wrong; loading does not depend on it."""
        return dict(self._skipped)

    def __len__(self) -> int:
        return self._ends[-1]

    def load(self, index: int) -> tuple[int, LabelledFrame]:
        """Number of the data set, and the frame at ``index`` or the one in its place.

        Raises:
            CorruptFileError: a file that cannot be used, and such are not skipped, or too many
                frames in a row have one.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        if not self.skip_corrupt:
            return self._read(index)
        first: CorruptFileError | None = None
        for place in range(index, index + min(len(self), MOST_SKIPPED + 1)):
            try:
                return self._read(place % len(self))
            except CorruptFileError as error:
                first = first or error
                self._report(error)
        assert first is not None
        raise first

    def _read(self, index: int) -> tuple[int, LabelledFrame]:
        number = bisect_right(self._ends, index)
        begin = self._ends[number - 1] if number else 0
        return number, self.datasets[number].load(index - begin)

    def _report(self, error: CorruptFileError) -> None:
        message = str(error)
        # Only the thread that comes first finds its own message there.
        if self._skipped.setdefault(error.path, message) is message:
            logger.warning("left out, corrupt file %d: %s", len(self._skipped), message)

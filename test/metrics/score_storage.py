"""Score counts that keep what they count in each of the ways they can, on small data."""

from contextlib import contextmanager

import pytest

from open_set_seg.metrics import ScoreCounts
from open_set_seg.metrics.score_counts import archive, runs, store, table

MIB = 2**20
# roomy: all in memory; paged: much of it in pages of neighbours; spilled: all in scratch files;
# mixed: a bit of everything.
MEMORY = {"roomy": 64 * MIB, "paged": 64 * MIB, "spilled": 1, "mixed": 4 * MIB}


@contextmanager
def storage(kind):
    """A maker of accumulators; inside, a few pixels suffice for what needs millions otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        if kind != "roomy":
            for module in (runs, table):
                patch.setattr(module, "FENCE", 3)
                patch.setattr(module, "BLOCK", 8)
            patch.setattr(runs, "PART", 5)
            patch.setattr(archive, "PART", 5)
            patch.setattr(store, "MOST_RUNS", 3)
            patch.setattr(store, "MOST_FILE_RUNS", 4)
            patch.setattr(store.KeyStore, "_piece", 7)
        if kind in ("paged", "mixed"):
            patch.setattr(table, "WORTH_A_PAGE", 2)
        yield lambda: ScoreCounts(MEMORY[kind])

"""Tiny networks run faster on one thread, the more so on a busy machine; scenes are shared."""

from __future__ import annotations

import pytest
import torch
from made_runs import SIMULATION

from open_set_seg.simulation import TRAINING_SEEDS, VALIDATION_SEEDS
from training.datasets.simulation import View, prepare_scenes


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def scene_cache(tmp_path_factory):
    """A cache that holds the scenes of ``made_runs``."""
    cache = tmp_path_factory.mktemp("scenes")
    size = [SIMULATION[name] for name in ("width", "height", "supersampling")]
    for seeds, count in (
        (TRAINING_SEEDS, "training_scenes"),
        (VALIDATION_SEEDS, "validation_scenes"),
    ):
        view = View(*size, unknown_objects=seeds is VALIDATION_SEEDS)
        prepare_scenes(cache, seeds[: SIMULATION[count]], view, workers=0, progress=False)
    return cache

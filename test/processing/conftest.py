"""One drive, its recording and a network for all tests of the folder."""

from __future__ import annotations

import pytest
from drive_bags import render, save_model, write_bag

FRAMES = 8


@pytest.fixture(scope="session")
def drive():
    return render(FRAMES)


@pytest.fixture(scope="session")
def bag(tmp_path_factory, drive):
    return write_bag(tmp_path_factory.mktemp("bags") / "drive", drive)


@pytest.fixture(scope="session")
def model(tmp_path_factory, drive):
    return save_model(tmp_path_factory.mktemp("model"), drive)

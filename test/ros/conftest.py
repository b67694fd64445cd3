"""Fixtures of the ROS tests."""

from __future__ import annotations

import pytest
from node_harness import Running


@pytest.fixture
def run_node():
    """Starts nodes with given parameters; stops them at the end."""
    started: list[Running] = []

    def start(parameters=None, **options) -> Running:
        started.append(Running(parameters, **options))
        return started[-1].start()

    yield start
    for running in started:
        running.stop()

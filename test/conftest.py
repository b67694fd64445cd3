"""Settings that every test shares."""

import os
import signal

# Beside other busy processes PyTorch's spinning OpenMP threads cost a factor of six.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Real DDS, but only on loopback and apart from whatever else runs on this machine.
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
# Off by default in Jazzy: wrong types in message fields become errors.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    # Without a device Triton's programs are interpreted; it asks once, when it is first imported.
    os.environ.setdefault("TRITON_INTERPRET", "1")

# Started as a background job of a shell, this process ignores SIGINT, and so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A change is judged by the same examples every time; at the desk, every run looks at new ones.
settings.register_profile("reproducible", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("reproducible")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip GPU tests where torch sees no CUDA device."""
    if torch.cuda.is_available():
        return
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))

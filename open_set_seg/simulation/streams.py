"""Random streams: one for every object, keyed by the scene's seed and the object's key.

An object draws its numbers from its own stream, so that nothing which is added, removed or hidden
elsewhere changes it: both views, every resolution and all frames of a drive show the same object.
"""

from __future__ import annotations

import hashlib

import numpy as np

# Disjoint seeds, so that no scene of one use can appear in another. Seeds below one million are
# free: the demo and unit tests take theirs from there.
TRAINING_SEEDS = range(1_000_000, 2_000_000)
VALIDATION_SEEDS = range(2_000_000, 2_100_000)
TEST_SEEDS = range(3_000_000, 3_100_000)


def open_stream(seed: int, key: str) -> np.random.Generator:
    """Generator of the object ``key`` in scene ``seed``; independent of ``PYTHONHASHSEED``."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    words = np.frombuffer(digest[:16], dtype="<u4").tolist()
    return np.random.default_rng(np.random.SeedSequence(words))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A Python float, uniform in [low, high)."""
    return low + (high - low) * float(rng.random())


def log_between(rng: np.random.Generator, low: float, high: float) -> float:
    """A Python float, log-uniform in [low, high); both bounds positive."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)

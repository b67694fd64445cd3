"""The speed of everything on this machine, measured by variants that take turns."""

from open_set_seg.benchmark.config import (
    DEFAULT_SCORES,
    PARTS,
    BenchmarkConfig,
    BenchmarkError,
)
from open_set_seg.benchmark.run import run_benchmark

__all__ = ["DEFAULT_SCORES", "PARTS", "BenchmarkConfig", "BenchmarkError", "run_benchmark"]

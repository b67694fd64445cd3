"""What is benchmarked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from open_set_seg.backends import check_backend
from open_set_seg.backends.pytorch import DTYPES
from open_set_seg.models import MODELS
from open_set_seg.scoring import Scoring

DEFAULT_SCORES = (
    "jsd", "msp", "entropy", "energy", "max_logit", "op", "op_ms", "dense_hybrid", "sml",
    "odin+msp", "mc_dropout:samples=2+entropy",
)  # fmt: skip
PARTS = ("heads", "frame", "busy", "memory")


class BenchmarkError(ValueError):
    """A benchmark that cannot be run as asked; says why in one line."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """One run of the benchmark.

    Args:
        checkpoint: whose network is measured; None: a network with random weights, for speed only.
        network: key in ``MODELS`` of the random network; width and classes: as ``build_model``.
        size: (H, W) of the image.
        backends: keys of backends.
        precisions: of every backend.
        model_files: exported models; each is a further engine.
        scores: names of scorings; the first one is the frame's.
        parts: of ``PARTS``: what is measured.
        rounds: of every interleaved run.
        threads: of the processor; None: as many as PyTorch takes.
        device: ``auto``, ``cpu``, ``cuda``...
        busy: processes that do nothing but compute, in the part of that name.

    Raises:
        BenchmarkError: a value out of range, or a name that is not known.
    """

    checkpoint: Path | None = None
    network: str | None = None
    width: float = 1.0
    classes: int = 19
    size: tuple[int, int] = (1024, 2048)
    backends: tuple[str, ...] = ("pytorch", "openvino")
    precisions: tuple[str, ...] = ("fp32", "bf16")
    model_files: tuple[Path, ...] = ()
    scores: tuple[str, ...] = DEFAULT_SCORES
    parts: tuple[str, ...] = PARTS
    rounds: int = 11
    threads: int | None = None
    device: str = "auto"
    busy: int = 2

    def __post_init__(self) -> None:
        height, width = self.size
        threads = 1 if self.threads is None else self.threads
        both = self.checkpoint is not None and self.network is not None
        _require(
            min(self.size) >= 32 and max(self.size) <= 16384,
            f"expected a size of 32 to 16384 pixels a side, found {width} x {height}",
        )
        for what, number, most in (
            ("rounds", self.rounds, 1000),
            ("busy processes", self.busy, 64),
            ("threads", threads, 1024),
            ("scores", len(self.scores), 100),
        ):
            _require(1 <= number <= most, f"expected 1 to {most} {what}, found {number}")
        _require(not both, "expected a checkpoint or --network, found both")
        for given, known, what in (
            (self.parts, PARTS, "part"),
            (self.precisions, tuple(DTYPES), "precision"),
            ((self.network,) if self.network else (), tuple(MODELS), "network"),
        ):
            unknown = [name for name in given if name not in known]
            _require(
                not unknown, f"unknown {what} {', '.join(unknown)!r}; known are {', '.join(known)}"
            )
        for name in self.backends:
            check_backend(name)
        for name in self.scores:
            _require(not Scoring.parse(name).steps, f"{name!r}: steps after a score are not timed")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise BenchmarkError(message)

"""Whether thresholds keep what they promise: coverage over many resamples of frame statistics.

    python -m benchmarks.calibration

writes ``results/calibration.json``. Every row draws resamples of n frame statistics, calibrates
each, and asks how many of the thresholds have a true rate of false alarms of at most the target.
The truth is known: a large sample of the same distribution.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ROOT, save_result
from open_set_seg.calibration import (
    CalibrationError,
    FrameStatistic,
    calibrate_threshold,
    needed_samples,
    tolerated_alarms,
)

Values = NDArray[np.float64]
TARGET, CONFIDENCE = 0.05, 0.95
TRUTH = 2_000_000
STEP_NS = 100_000_000


def uniform(rng: np.random.Generator, shape: Any) -> Values:
    """No ties, no tail."""
    return as_scores(rng.random(shape))


def heavy_tailed(rng: np.random.Generator, shape: Any) -> Values:
    """Pareto of exponent 0.7, without a mean, squeezed into [0, 1)."""
    raw = rng.pareto(0.7, shape)
    return as_scores(0.99 * raw / (1 + raw))


def tied(rng: np.random.Generator, shape: Any) -> Values:
    """Five values; three frames in five never alarm."""
    return as_scores(rng.choice([0, 0.25, 0.5, 0.75, 0.9], shape, p=[0.6, 0.2, 0.1, 0.07, 0.03]))


def two_kinds(rng: np.random.Generator, shape: Any) -> Values:
    """Eight frames in a hundred are of a kind that scores high."""
    odd = rng.random(shape) < 0.08
    return as_scores(np.where(odd, rng.beta(30, 2, shape), rng.beta(2, 30, shape)))


def as_scores(values: NDArray[Any]) -> Values:
    """Rounded as score maps are."""
    scores: Values = np.clip(values, 0, 1).astype(np.float32).astype(np.float64)
    return scores


DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, Any], Values]] = {
    "uniform": uniform,
    "heavy_tailed": heavy_tailed,
    "tied": tied,
    "two_kinds": two_kinds,
}


def measure_frames(
    name: str, samples: int, confidence: float | None, resamples: int, shift: float = 0.0
) -> dict[str, Any]:
    """Independent frames; ``shift`` is added to all statistics after the calibration."""
    rng = np.random.default_rng((11, samples, round(100 * shift)))
    truth = np.sort(as_scores(DISTRIBUTIONS[name](rng, TRUTH) + shift))
    rates, refused = [], 0
    for scores in DISTRIBUTIONS[name](rng, (resamples, samples)):
        try:
            frames = [FrameStatistic(float(score)) for score in scores]
            value = calibrate_threshold(frames, TARGET, confidence).value
        except CalibrationError:
            refused += 1
            continue
        rates.append(1 - int(np.searchsorted(truth, value, side="right")) / TRUTH)
    return {
        "distribution": name,
        "frames": samples,
        "confidence": confidence,
        "shift": shift,
        **_summary(rates, refused),
    }


def measure_video(decay: float, frames: int, resamples: int, per_segment: bool) -> dict[str, Any]:
    """Video of known memory, per segment, or as if its first 59 frames were independent."""
    rng = np.random.default_rng((13, round(100 * decay)))
    reference = video(rng, TRUTH, decay)
    rates, lengths, refused = [], [], 0
    for _ in range(resamples):
        scores = video(rng, frames, decay)
        if not per_segment:
            rates.append(float(np.mean(reference > scores[:59].max())))
            continue
        statistics = [FrameStatistic(float(s), i * STEP_NS) for i, s in enumerate(scores)]
        try:
            found = calibrate_threshold(statistics, TARGET, CONFIDENCE, "segment")
        except CalibrationError:
            refused += 1
            continue
        length = found.segment_frames
        blocks = reference[: TRUTH // length * length].reshape(-1, length).max(axis=1)
        rates.append(float(np.mean(blocks > found.value)))
        lengths.append(length)
    return {
        "correlation_of_neighbours": decay,
        "frames": frames,
        "samples": "segments" if per_segment else "59 frames in a row (wrong)",
        "median_segment_frames": float(np.median(lengths)) if lengths else 1,
        **_summary(rates, refused),
    }


def video(rng: np.random.Generator, count: int, decay: float) -> Values:
    """Autoregressive Gaussian of order 1, as scores."""
    weights = math.sqrt(1 - decay**2) * decay ** np.arange(400.0)
    values = np.convolve(rng.standard_normal(count + 399), weights, mode="valid")
    return as_scores(1 / (1 + np.exp(-values)))


def measure_needed_samples(draws: int) -> list[dict[str, Any]]:
    """The fewest samples that tolerate r alarms, and one less; uniform statistics, drawn."""
    rows = []
    for alarms in (0, 1, 4):
        needed = needed_samples(TARGET, CONFIDENCE)
        while (tolerated_alarms(needed, TARGET, CONFIDENCE) or 0) < alarms:
            needed += 1
        for samples in (needed, needed - 1):
            rng = np.random.default_rng((17, samples))
            kept, place = 0, samples - 1 - alarms
            for _ in range(draws // 10_000):
                drawn = rng.random((10_000, samples), np.float32)
                kept += int(np.sum(np.partition(drawn, place, axis=1)[:, place] >= 1 - TARGET))
            rows.append(
                {
                    "samples": samples,
                    "alarms_tolerated": alarms,
                    "enough": samples == needed,
                    "draws": draws,
                    "kept": kept / draws,
                    "standard_error": math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / draws),
                }
            )
    return rows


def main() -> None:
    """Measure everything and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1_000_000)
    options = parser.parse_args()
    count = options.resamples
    save_result(
        ROOT / "benchmarks" / "results" / "calibration.json",
        {
            "what": "calibration",
            "target": TARGET,
            "confidence": CONFIDENCE,
            "standard_error_of_kept": math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / count),
            "frames": [
                measure_frames(name, samples, CONFIDENCE, count)
                for name in DISTRIBUTIONS
                for samples in (59, 93, 500)
            ],
            "expected_rate": [measure_frames(name, 19, None, count) for name in DISTRIBUTIONS],
            "shifted": [
                measure_frames(name, 93, CONFIDENCE, count, shift)
                for name in DISTRIBUTIONS
                for shift in (0.02, 0.1, 0.3)
            ],
            "video": [
                measure_video(decay, 12_000, count // 2, per_segment)
                for decay in (0.0, 0.8, 0.95)
                for per_segment in (True, False)
            ],
            "needed_samples": measure_needed_samples(options.draws),
        },
    )


def _summary(rates: list[float], refused: int) -> dict[str, Any]:
    found = np.array(rates)
    return {
        "resamples": len(rates),
        "refused": refused,
        "kept": float(np.mean(found <= TARGET)) if rates else None,
        "mean_rate": float(np.mean(found)) if rates else None,
        "largest_rate": float(np.max(found)) if rates else None,
    }


if __name__ == "__main__":
    main()

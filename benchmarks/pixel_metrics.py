"""Time and memory of exact AP, FPR95 and AUROC over many pixels, beside scikit-learn's.

    python -m benchmarks.pixel_metrics --pixels 100000000

Both see the same pixels, each in a process of its own. Ours takes them frame by frame, as an
evaluation does; scikit-learn needs them as one array. Making the pixels is not timed. Writes
benchmarks/results/pixel_metrics_<name>.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import ROOT, save_result
from open_set_seg.benchmark.memory import peak_mib
from open_set_seg.metrics import ScoreCounts

FRAME = 1024 * 2048
OUTLIER_SHARE = 0.1
FIGURES = ("AP", "FPR95", "AUROC")

Scores = NDArray[np.float32]
Labels = NDArray[np.uint8]


def uniform(random: np.random.Generator, start: int, labels: Labels) -> Scores:
    """Scores in [0, 1] with 24 random bits: 17 million different values at most."""
    del start
    scores: Scores = random.random(labels.size, dtype=np.float32)
    scores[labels == 1] **= np.float32(0.25)
    return scores


def energy(random: np.random.Generator, start: int, labels: Labels) -> Scores:
    """Like free energies: normal, hardly a value twice in a frame."""
    del start
    scores: Scores = 3 * random.standard_normal(labels.size, dtype=np.float32) - 8
    scores[labels == 1] += 6
    return scores


def distinct(random: np.random.Generator, start: int, labels: Labels) -> Scores:
    """No value twice in 2^29 pixels: the bit patterns from -2^36 to -2^-28 in scattered order."""
    del random
    number = np.arange(start, start + labels.size, dtype=np.uint64)
    scattered = (number * np.uint64(0x2545F491)) % np.uint64(2**29)
    bits = np.uint32(0xB1800000) + scattered.astype(np.uint32)
    scores: Scores = bits.view(np.float32)
    # Every outlier changes places with an inlier if that makes its score the higher one.
    outliers = np.flatnonzero(labels)
    inliers = np.flatnonzero(labels == 0)[: outliers.size]
    pairs = scores[outliers], scores[inliers]
    scores[outliers], scores[inliers] = np.maximum(*pairs), np.minimum(*pairs)
    return scores


SCORES: dict[str, Callable[[np.random.Generator, int, Labels], Scores]] = {
    "uniform": uniform,
    "energy": energy,
    "distinct": distinct,
}


def frames(kind: str, pixels: int) -> Iterator[tuple[Scores, Labels]]:
    """(scores, labels) of up to ``FRAME`` pixels each, the same in every process."""
    for start in range(0, pixels, FRAME):
        random = np.random.default_rng((17, start))
        size = min(FRAME, pixels - start)
        labels = (random.random(size, dtype=np.float32) < OUTLIER_SHARE).astype(np.uint8)
        yield SCORES[kind](random, start, labels), labels


def measure_ours(kind: str, pixels: int) -> dict[str, Any]:
    """Counting, then the figures."""
    counts = ScoreCounts()
    counting = 0.0
    for scores, labels in frames(kind, pixels):
        start = time.perf_counter()
        counts.add(scores, labels)
        counting += time.perf_counter() - start
    start = time.perf_counter()
    figures = counts.metrics()
    seconds = {"counting": counting, "figures": time.perf_counter() - start}
    return {**_figures(figures), "seconds": seconds, "total_s": sum(seconds.values())}


def measure_scikit_learn(kind: str, pixels: int) -> dict[str, Any]:
    """Two sorts, not three: AUROC is taken from the curve that FPR95 needs anyway."""
    from sklearn.metrics import auc, average_precision_score, roc_curve

    scores, labels = np.empty(pixels, np.float32), np.empty(pixels, np.uint8)
    for index, part in enumerate(frames(kind, pixels)):
        place = slice(index * FRAME, index * FRAME + part[0].size)
        scores[place], labels[place] = part
    seconds = {}
    start = time.perf_counter()
    figures = {"AP": float(average_precision_score(labels, scores))}
    seconds["average_precision_score"] = time.perf_counter() - start
    start = time.perf_counter()
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    figures["FPR95"] = float(fpr[np.argmax(tpr >= 0.95)])
    figures["AUROC"] = float(auc(fpr, tpr))
    seconds["roc_curve and auc"] = time.perf_counter() - start
    return {**_figures(figures), "seconds": seconds, "total_s": sum(seconds.values())}


METHODS = {"open_set_seg": measure_ours, "scikit-learn": measure_scikit_learn}


def main() -> None:
    """Measure every method in a process of its own and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pixels", type=int, default=10**8)
    parser.add_argument("--scores", choices=SCORES, default="uniform")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--name", help="of the result file; else that of the scores")
    parser.add_argument("--child", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        result = METHODS[options.child](options.scores, options.pixels)
        result["peak_memory_MiB"] = peak_mib()
        print(json.dumps(result))
        return
    results = {name: _run(name, options) for name in options.methods}
    ratio = None
    if len(results) == len(METHODS):
        ours, theirs = results["open_set_seg"], results["scikit-learn"]
        ratio = ours["total_s"] / theirs["total_s"]
        results["difference"] = {name: ours[name] - theirs[name] for name in FIGURES}
    save_result(
        ROOT / "benchmarks" / "results" / f"pixel_metrics_{options.name or options.scores}.json",
        {
            "what": "pixel_metrics",
            "pixels": options.pixels,
            "scores": options.scores,
            "outlier_share": OUTLIER_SHARE,
            "results": results,
            "time_of_ours_over_scikit_learn": ratio,
        },
    )


def _figures(values: dict[str, float]) -> dict[str, float]:
    return {name: values[name] for name in FIGURES}


def _run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.pixel_metrics", "--child", name]
    command += ["--pixels", str(options.pixels), "--scores", options.scores]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    print(name, result)
    return result


if __name__ == "__main__":
    main()

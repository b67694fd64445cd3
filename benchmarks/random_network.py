"""Save a network with random weights, for measurements of speed alone.

    python -m benchmarks.random_network swiftnet.safetensors --network swiftnet_rn18
    open-set-seg export swiftnet.safetensors -o swiftnet_int8.xml --size 2048x1024 --precision int8
    open-set-seg benchmark --network swiftnet_rn18 --model-file swiftnet_int8.xml

Every class counts as ground, and the threshold leaves a hundredth of a scene above it, so that
regions and obstacles have work. Its answers mean nothing.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from open_set_seg.benchmark.frames import UNTRAINED_QUANTILE, make_frame
from open_set_seg.benchmark.networks import NetworkSource
from open_set_seg.checkpoint import save_checkpoint
from open_set_seg.models import MODELS
from open_set_seg.segmenter import OpenSetSegmenter


def main() -> None:
    """Build, choose the threshold, and save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--network", choices=list(MODELS), default="swiftnet_rn18")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--classes", type=int, default=19)
    options = parser.parse_args()
    source = NetworkSource(None, options.network, options.width, options.classes)
    opened = source.open()
    segmenter = OpenSetSegmenter(opened.network, opened.metadata, "cpu", backend="pytorch")
    anomaly = segmenter.segment(make_frame((512, 1024)).image).anomaly
    metadata = replace(
        opened.metadata,
        threshold=float(np.quantile(anomaly, UNTRAINED_QUANTILE)),
        threshold_rule="a hundredth of one scene",
    )
    save_checkpoint(options.output, opened.network, metadata, statistics=opened.statistics)


if __name__ == "__main__":
    main()

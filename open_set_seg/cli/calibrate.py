"""``open-set-seg calibrate``."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from open_set_seg.cli.calibration_options import add_detector_arguments, add_source_arguments

if TYPE_CHECKING:
    from open_set_seg.calibration import Band, Conditions, FrameStatistic, Threshold, Unit
    from open_set_seg.cli.calibration_frames import FrameSource
    from open_set_seg.detector import DetectorConfig, ObstacleDetector
    from open_set_seg.monitoring import DriftReference, ReferenceFrames

HELP = "find a threshold with a promise about false alarms"
DESCRIPTION = (
    "Looks at frames that show nothing unknown and finds the threshold whose rate of false alarms "
    "is kept with confidence, without labels (docs/calibration.md). The result is a file beside "
    "the model. Pictures and rendered scenes count as independent, frames of a recording do not."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "sources", type=Path, nargs="*", help="pictures, folders of them, or rosbag2 recordings"
    )
    parser.add_argument(
        "--simulation", type=int, metavar="N", help="render N scenes without unknown objects"
    )
    parser.add_argument("--target", type=float, default=0.05, help="rate of false alarms (0.05)")
    parser.add_argument(
        "--confidence", type=float, default=0.95, help="that the rate is kept (0.95)"
    )
    parser.add_argument(
        "--expected-rate", action="store_true",
        help="keep the rate on average over calibrations only: 19 frames for 0.05 instead of 59",
    )  # fmt: skip
    parser.add_argument(
        "--per", choices=("frame", "segment"),
        help="what the rate is a share of; default: frame, segment for recordings",
    )  # fmt: skip
    parser.add_argument(
        "--segment-frames", type=int, default=1, metavar="N", help="fewest frames of a segment"
    )
    parser.add_argument(
        "--bands", type=float, nargs="+", metavar="M",
        help="borders of bands of distance, metres; each band gets a threshold as well",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="MODEL.calibration.yaml")
    labelled = parser.add_argument_group("from labels instead, without a promise")
    chosen = labelled.add_mutually_exclusive_group()
    chosen.add_argument("--tpr", type=float, help="find this share of the unknown pixels")
    chosen.add_argument("--best-f1", action="store_true", help="best F1 of pixels on the ground")
    labelled.add_argument(
        "--labels", type=Path, metavar="DIR", help="PNGs: 0 known, 1 unknown, 255 not labelled"
    )
    add_detector_arguments(parser)
    add_source_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Calibrate, write the file and print what it promises."""
    from open_set_seg.calibration import Calibration, calibration_path, save_calibration
    from open_set_seg.calibration.stored import today
    from open_set_seg.cli.calibration_frames import open_source
    from open_set_seg.cli.reporting import print_lines

    labelled = options.tpr is not None or options.best_f1
    bands = _bands(options.bands)
    output = options.output or calibration_path(options.checkpoint)
    if not output.absolute().parent.is_dir():
        raise ValueError(f"{output.parent} is no folder to write into")
    source = open_source(options, labelled)
    if not labelled:
        _refuse_hopeless(options, source)
    detector, network = _open_detector(options)
    reference: DriftReference | None = None
    if labelled:  # with unknown objects: not what the robot usually sees
        threshold, unexamined = _from_labels(options, detector, source)
    else:
        threshold, unexamined, reference = _from_frames(options, detector, source, bands)
    calibration = Calibration(
        threshold,
        _conditions(detector),
        source.description,
        network,
        unexamined,
        today(),
        drift_reference=reference,
    )
    save_calibration(output, calibration)
    print_lines(_describe(threshold, unexamined) | _describe_reference(reference))
    print(calibration.promise)
    print(f"wrote {output}")
    return 0


def _from_frames(
    options: argparse.Namespace,
    detector: ObstacleDetector,
    source: FrameSource,
    bands: list[Band],
) -> tuple[Threshold, int, DriftReference | None]:
    from open_set_seg.calibration import calibrate_threshold, statistic_of_result
    from open_set_seg.cli.reporting import watch

    statistics: list[FrameStatistic] = []
    usual = _collect_usual(detector, source)
    unexamined = 0
    for one in watch(source, "calibrating"):
        result = detector.process(one.frame)
        usual.add(result.prediction, one.frame.stamp_ns, one.recording)
        found = statistic_of_result(
            result,
            detector.label_space,
            detector.config.obstacles,
            bands,
            one.recording,
        )
        if found is None:
            unexamined += 1
        else:
            # Stamps of files are their numbers.
            statistics.append(found if source.video else replace(found, stamp_ns=0))
    per: Unit = options.per or ("segment" if source.video else "frame")
    confidence = None if options.expected_rate else options.confidence
    threshold = calibrate_threshold(
        statistics,
        options.target,
        confidence,
        per,
        video=source.video,
        shortest=options.segment_frames,
        bands=bands,
    )
    return threshold, unexamined, usual.reference()


def _collect_usual(detector: ObstacleDetector, source: FrameSource) -> ReferenceFrames:
    """Takes pictures as they come, and frames of a video as far apart as drift is judged."""
    from open_set_seg.monitoring import DriftConfig, ReferenceFrames
    from open_set_seg.segmenter import OpenSetSegmenter

    segmenter = detector.segmenter
    assert isinstance(segmenter, OpenSetSegmenter)
    return ReferenceFrames(segmenter.threshold, DriftConfig().interval_s if source.video else 0.0)


def _from_labels(
    options: argparse.Namespace, detector: ObstacleDetector, source: FrameSource
) -> tuple[Threshold, int]:
    import numpy as np

    from open_set_seg.calibration import threshold_at_best_f1, threshold_at_rate
    from open_set_seg.cli.reporting import watch
    from open_set_seg.metrics import ScoreCounts

    counts = ScoreCounts()
    frames = unexamined = 0
    for one in watch(source, "counting pixels"):
        result = detector.process(one.frame)
        frames += 1
        if result.ground is None or one.labels is None:
            unexamined += 1
            continue
        # Off the ground nothing becomes an obstacle, whatever it scores.
        labels = np.where(result.ground, one.labels, np.uint8(255))
        counts.add(result.prediction.anomaly, labels)
    found = (
        threshold_at_best_f1(counts) if options.best_f1 else threshold_at_rate(counts, options.tpr)
    )
    return replace(found, frames=frames - unexamined), unexamined


def _open_detector(options: argparse.Namespace) -> tuple[ObstacleDetector, str]:
    """The detector at a threshold at which nothing is an obstacle, and the network in words."""
    from open_set_seg.detector import ObstacleDetector
    from open_set_seg.segmenter import OpenSetSegmenter

    segmenter = OpenSetSegmenter.from_checkpoint(
        options.checkpoint,
        options.device,
        options.precision,
        score=options.score,
        backend=options.backend,
    )
    return ObstacleDetector(segmenter, _config(options)), segmenter.device_description


def _config(options: argparse.Namespace) -> DetectorConfig:
    from open_set_seg.detector import DetectorConfig
    from open_set_seg.ground import GroundConfig
    from open_set_seg.obstacles import ObstacleConfig

    given = {
        name: getattr(options, name)
        for name in ("min_area_px", "min_area_m2", "min_blind_area_px")
        if getattr(options, name) is not None
    }
    return DetectorConfig(
        threshold=1.0,
        ground=GroundConfig(mode="off" if options.no_ground else "hull"),
        obstacles=ObstacleConfig(opening=not options.no_opening, **given),
    )


def _conditions(detector: ObstacleDetector) -> Conditions:
    from open_set_seg.calibration import Conditions
    from open_set_seg.segmenter import OpenSetSegmenter

    segmenter, config = detector.segmenter, detector.config
    assert isinstance(segmenter, OpenSetSegmenter)
    return Conditions.of(
        segmenter.metadata, segmenter.scoring, config.obstacles, config.ground, config.range
    )


def _bands(borders: list[float] | None) -> list[Band]:
    from itertools import pairwise

    bands = list(pairwise(borders or []))
    if borders and (not bands or not all(0 <= near < far < 1e6 for near, far in bands)):
        raise ValueError("expected two or more rising borders of bands, in metres from 0")
    return bands


def _refuse_hopeless(options: argparse.Namespace, source: FrameSource) -> None:
    """Say so before any work is done where there are too few frames even if all were samples."""
    from open_set_seg.calibration import CalibrationError, needed_samples

    confidence = None if options.expected_rate else options.confidence
    needed = needed_samples(options.target, confidence)
    if len(source) < needed:
        raise CalibrationError(
            f"a rate of {options.target:g} takes {needed} independent frames or segments, found "
            f"{len(source)} frames"
        )


def _describe(threshold: Threshold, unexamined: int) -> dict[str, str]:
    lines = {"threshold": f"{threshold.value:.6g}", "frames": str(threshold.frames)}
    if unexamined:
        lines["left aside"] = f"{unexamined} without ground, which cannot alarm"
    if threshold.unit is not None:
        lines["samples"] = f"{threshold.samples}, of which {threshold.alarms} still alarm"
    if threshold.autocorrelation_time is not None:
        lines["memory"] = f"{threshold.autocorrelation_time:.3g} frames"
    for band in threshold.bands:
        found = "too few, the threshold above holds"
        if band.threshold is not None:
            found = f"threshold {band.threshold:.6g}"
        lines[f"{band.near:g} to {band.far:g} m"] = f"{found} ({band.samples} samples)"
    return lines


def _describe_reference(reference: DriftReference | None) -> dict[str, str]:
    if reference is None:
        return {"drift": "cannot be judged by so few frames, or by those with unknown objects"}
    return {"drift": f"is judged by {len(reference.values)} of the frames"}

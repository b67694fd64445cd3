"""What a threshold is worth, in one sentence."""

from __future__ import annotations

from open_set_seg.calibration.thresholds import Threshold


def describe_promise(threshold: Threshold) -> str:
    """The promise in words that need no statistics to be read, with what it rests on."""
    if threshold.rule == "best_f1":
        return (
            "No promise about false alarms: best F1 of the labelled pixels, "
            f"{threshold.samples} of them unknown."
        )
    target = threshold.target or 0.0
    if threshold.rule == "true_positive_rate":
        return (
            "No promise about false alarms: the highest threshold at which at least "
            f"{_percent(target)} of the {threshold.samples} unknown pixels of the labelled data "
            "are found."
        )
    unit = threshold.unit or "frame"
    plural = "frames" if unit == "frame" else f"segments of {_duration(threshold)}"
    basis = f"from {threshold.samples} independent {plural} without anything unknown"
    domain = f"among {plural} like those of the calibration that show nothing unknown"
    rate = f"at most {_percent(target)} have a false obstacle"
    if threshold.confidence is None:
        return (
            f"On average over calibrations, {rate} {domain} ({basis}); this one may lie above it."
        )
    sure = f"With {_percent(threshold.confidence)} confidence, {rate} {domain} ({basis})"
    return f"{sure}."


def _duration(threshold: Threshold) -> str:
    frames = f"{threshold.segment_frames} frames"
    if threshold.segment_seconds is None:
        return frames
    return f"{threshold.segment_seconds:.3g} s ({frames})"


def _percent(share: float) -> str:
    return f"{100 * share:.6g} %"

"""Independent pieces of video: the estimator on processes of known memory, and the promise."""

import math

import numpy as np
import pytest
from scipy.signal import lfilter

from open_set_seg.calibration import (
    CalibrationError,
    FrameStatistic,
    autocorrelation_time,
    calibrate_threshold,
    find_segments,
)

STEP_NS = 100_000_000


def memory(rng, count, decay):
    """Gaussian process with correlation decay^k at lag k, as scores in (0, 1)."""
    noise = rng.standard_normal(count + 500)
    values = lfilter([math.sqrt(1 - decay**2)], [1, -decay], noise)[500:]
    return (1 / (1 + np.exp(-values))).astype(np.float32).astype(np.float64)


def video(scores, recording=0, start_ns=0):
    return [
        FrameStatistic(float(score), start_ns + number * STEP_NS, recording)
        for number, score in enumerate(scores)
    ]


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.97])
def test_the_autocorrelation_time_of_a_known_process(decay):
    found = autocorrelation_time([memory(np.random.default_rng(7), 100_000, decay)])
    # Ranks of a Gaussian with correlation c correlate with 6 / pi asin(c / 2).
    lags = np.arange(1, 2000)
    expected = 1 + 2 * np.sum(6 / np.pi * np.arcsin(decay**lags / 2))
    assert found == pytest.approx(expected, rel=0.1, abs=0.03)


def test_recordings_are_never_joined():
    """Twenty constant recordings: inside each everything is alike, whatever the others are."""
    rng = np.random.default_rng(0)
    levels = rng.random(20)
    assert autocorrelation_time([np.full(50, level) for level in levels]) > 20
    alternating = [np.tile([0.2, 0.8], 25)] * 4
    assert autocorrelation_time(alternating) == 1
    assert autocorrelation_time([np.full(30, 0.5)]) == 1
    assert autocorrelation_time([]) == 1


def test_independent_frames_are_segments_of_one_frame():
    found = find_segments(video(memory(np.random.default_rng(1), 400, 0.0)))
    assert (found.length, len(found.blocks), found.left_out) == (1, 400, 0)
    assert found.seconds == pytest.approx(0.1)


def test_segments_are_equal_whole_and_longer_than_the_memory():
    frames = video(memory(np.random.default_rng(2), 5000, 0.9))
    found = find_segments(frames)
    assert {len(block) for block in found.blocks} == {found.length}
    assert found.length >= 3 * found.autocorrelation_time > 30
    together = [frame for block in found.blocks for frame in block]
    assert together == frames[: len(together)]
    assert found.left_out == len(frames) - len(together) < found.length
    assert find_segments(frames, shortest=500).length == 500


def test_no_segment_reaches_over_a_gap_a_jump_back_or_another_recording():
    rng = np.random.default_rng(3)
    part = memory(rng, 230, 0.9)
    frames = [
        *video(part, 0),
        *video(part, 0, start_ns=300 * STEP_NS),
        *video(part, 0, start_ns=100 * STEP_NS),
        *video(part, 1, start_ns=330 * STEP_NS),
    ]
    for block in find_segments(frames, shortest=50).blocks:
        assert len({frame.recording for frame in block}) == 1
        steps = np.diff([frame.stamp_ns for frame in block])
        assert (steps == STEP_NS).all()


def test_video_that_is_given_as_independent_frames_is_refused():
    frames = video(memory(np.random.default_rng(4), 500, 0.9))
    with pytest.raises(CalibrationError, match="resemble each other"):
        calibrate_threshold(frames)
    assert calibrate_threshold(frames[::50], 0.5).samples == 10


def test_too_little_video_is_refused_with_the_frames_that_are_needed():
    frames = video(memory(np.random.default_rng(5), 600, 0.9))
    with pytest.raises(CalibrationError, match="takes 59 independent segments, found") as refusal:
        calibrate_threshold(frames, per="segment")
    segments = find_segments(frames)
    assert f"59 of them {59 * segments.length} frames" in str(refusal.value)


def test_a_segment_alarms_where_one_of_its_frames_does():
    frames = video(memory(np.random.default_rng(6), 20_000, 0.8))
    found = calibrate_threshold(frames, per="segment")
    segments = find_segments(frames)
    largest = [max(frame.score for frame in block) for block in segments.blocks]
    assert found.alarms == sum(score > found.value for score in largest)
    assert (found.samples, found.segment_frames) == (len(largest), segments.length)
    assert found.segment_seconds == pytest.approx(segments.length * 0.1)
    single = calibrate_threshold(frames, per="frame", video=True)
    assert single.value < found.value
    assert single.samples == found.samples


def test_the_promise_holds_for_segments_of_video_and_not_for_its_frames_taken_as_samples():
    rng = np.random.default_rng(8)
    reference = memory(rng, 1_000_000, 0.9)
    resamples, kept, naive = 60, 0, 0
    for _ in range(resamples):
        scores = memory(rng, 12_000, 0.9)
        found = calibrate_threshold(video(scores), per="segment")
        length = found.segment_frames
        blocks = reference[: len(reference) // length * length].reshape(-1, length).max(axis=1)
        kept += np.mean(blocks > found.value) <= 0.05
        # What one gets who takes 59 frames in a row for 59 samples.
        naive += np.mean(reference > scores[:59].max()) <= 0.05
    assert kept / resamples >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / resamples)
    assert naive / resamples < 0.8

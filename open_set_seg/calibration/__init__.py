"""A threshold with a promise: how often it may be wrong, how sure that is, and of what.

``statistic_of_result`` says of a frame up to which threshold it alarms; ``calibrate_threshold``
makes a threshold of many; ``Calibration`` keeps it beside the model that it belongs to.
"""

from open_set_seg.calibration.bounds import (
    CalibrationError,
    allowed_alarms,
    expected_alarms,
    needed_samples,
    tolerated_alarms,
)
from open_set_seg.calibration.conditions import Conditions
from open_set_seg.calibration.promise import describe_promise
from open_set_seg.calibration.segments import Segments, autocorrelation_time, find_segments
from open_set_seg.calibration.statistic import (
    Band,
    FrameStatistic,
    band_statistics,
    frame_statistic,
    statistic_of_result,
)
from open_set_seg.calibration.stored import (
    Calibration,
    calibration_path,
    load_calibration,
    save_calibration,
)
from open_set_seg.calibration.thresholds import (
    BandThreshold,
    Threshold,
    Unit,
    calibrate_threshold,
    threshold_at_best_f1,
    threshold_at_rate,
)

__all__ = [
    "Band",
    "BandThreshold",
    "Calibration",
    "CalibrationError",
    "Conditions",
    "FrameStatistic",
    "Segments",
    "Threshold",
    "Unit",
    "allowed_alarms",
    "autocorrelation_time",
    "band_statistics",
    "calibrate_threshold",
    "calibration_path",
    "describe_promise",
    "expected_alarms",
    "find_segments",
    "frame_statistic",
    "load_calibration",
    "needed_samples",
    "save_calibration",
    "statistic_of_result",
    "threshold_at_best_f1",
    "threshold_at_rate",
    "tolerated_alarms",
]

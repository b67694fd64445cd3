"""Is the camera itself in order? Frozen pictures, exposure and blur, from a sample of the pixels.

All limits are ours.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from open_set_seg.frame import ImageRGB
from open_set_seg.monitoring.measurements import (
    BLACK,
    WHITE,
    measure_change,
    measure_sharpness,
    take_sample,
)
from open_set_seg.monitoring.states import State, worst_state

# Single frames (a flash, a pothole) decide nothing: exposure and blur are medians of so many.
SMOOTHED_FRAMES = 5
Fault = Literal["frozen", "underexposed", "overexposed", "blurred"]


@dataclass(frozen=True)
class CameraHealthConfig:
    """Limits as (warning, alarm).

    Args:
        frozen_s: seconds without a change. Video codecs can repeat a still scene bit by bit:
            longer times for a robot that stands and sees through one.
        frozen_share: a change is none when it is below this share of the smallest usual change:
            sensor noise, which a standing robot still has. Bit-equal pictures never changed.
        frozen_change: and below this, in grey levels (root mean square): a camera that has only
            been seen moving has an unknown noise, but rounding to whole levels leaves more than
            this of any noise above a tenth of a level.
        black_share: share of pixels at ``BLACK`` or below.
        white_share: share of pixels at ``WHITE`` or above.
        dark_level: mean level below which the picture is dark, of 255.
        bright_level: mean level above which the picture is bright, of 255.
        blur_ratio: sharpness as a share of this camera's usual sharpness.
        learning_frames: frames from which usual sharpness and noise are first taken; about one in
            as many then counts for the running values.

    Raises:
        ValueError: limits out of order, or a number out of its range.
    """

    frozen_s: tuple[float, float] = (0.5, 2.0)
    frozen_share: float = 0.25
    frozen_change: float = 0.2
    black_share: tuple[float, float] = (0.5, 0.8)
    white_share: tuple[float, float] = (0.4, 0.7)
    dark_level: tuple[float, float] = (35.0, 20.0)
    bright_level: tuple[float, float] = (220.0, 240.0)
    blur_ratio: tuple[float, float] = (0.5, 0.25)
    learning_frames: int = 30

    def __post_init__(self) -> None:
        for name in ("frozen_s", "black_share", "white_share", "bright_level"):
            warn, alarm = getattr(self, name)
            if not 0 < warn <= alarm:
                raise ValueError(f"{name} must rise from a warning to an alarm: {(warn, alarm)}")
        for name in ("dark_level", "blur_ratio"):
            warn, alarm = getattr(self, name)
            if not 0 < alarm <= warn:
                raise ValueError(f"{name} must fall from a warning to an alarm: {(warn, alarm)}")
        if not 0 <= self.frozen_share < 1:
            raise ValueError(f"frozen_share must be in [0, 1), not {self.frozen_share}")
        if not 0 <= self.frozen_change <= 255:
            raise ValueError(f"frozen_change must be in [0, 255], not {self.frozen_change}")
        if self.learning_frames < 2:
            raise ValueError(f"learning_frames must be at least 2, not {self.learning_frames}")


@dataclass(frozen=True)
class HealthReading:
    """A state and the number behind it; NaN where it could not be told, which is ``ok``."""

    state: State
    value: float


@dataclass(frozen=True)
class HealthReport:
    """What is known after a frame.

    Attributes:
        frozen: seconds for which the picture has not changed.
        underexposed: share of black pixels, [0, 1]; its state also counts ``level``.
        overexposed: share of white pixels, [0, 1]; likewise.
        blurred: sharpness as a share of the usual one; NaN until that is known.
        level: mean level of the picture, [0, 255].
    """

    frozen: HealthReading
    underexposed: HealthReading
    overexposed: HealthReading
    blurred: HealthReading
    level: float

    @property
    def state(self) -> State:
        """The worst of them."""
        every = (self.frozen, self.underexposed, self.overexposed, self.blurred)
        return worst_state(reading.state for reading in every)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is not ``ok``."""
        names: tuple[Fault, ...] = ("frozen", "underexposed", "overexposed", "blurred")
        return tuple(name for name in names if getattr(self, name).state != "ok")


class CameraHealth:
    """Watches the pictures of one camera.

    Blur is measured against what this camera has shown since the last reset: one that was blurred
    from the beginning is not found out.

    Args:
        config: limits.
    """

    def __init__(self, config: CameraHealthConfig | None = None) -> None:
        self._config = config or CameraHealthConfig()
        self.reset()

    def reset(self) -> None:
        """Forget everything: after a jump in time, or for another camera."""
        self._last: NDArray[np.uint8] | None = None
        self._last_ns: int | None = None
        self._still_s = 0.0
        self._noise = _Usual(self._config.learning_frames)
        self._sharpness = _Usual(self._config.learning_frames)
        self._recent: deque[tuple[float, float, float, float]] = deque(maxlen=SMOOTHED_FRAMES)

    def update(self, image: ImageRGB, stamp_ns: int) -> HealthReport:
        """Look at a picture.

        A stamp that does not move on says nothing about freezing; one that goes back restarts the
        comparison.

        Args:
            image: (H, W, 3) uint8, of one size between resets; nothing is said about the blur of
                one below 8 x 8.
            stamp_ns: of the image.
        """
        sample = take_sample(image)
        frozen = self._watch_change(sample, stamp_ns)
        level = float(sample.mean())
        self._recent.append(
            (
                np.count_nonzero(sample <= BLACK) / sample.size,
                np.count_nonzero(sample >= WHITE) / sample.size,
                level,
                measure_sharpness(image),
            )
        )
        black, white, level, sharpness = np.median(self._recent, axis=0).tolist()
        config = self._config
        under = worst_state((_above(black, config.black_share), _below(level, config.dark_level)))
        over = worst_state((_above(white, config.white_share), _above(level, config.bright_level)))
        ratio = sharpness / self._sharpness.value if self._sharpness.value > 0 else math.nan
        blurred = _below(ratio, config.blur_ratio)
        # A bad picture must not become the usual one.
        usual = worst_state((under, over, blurred, frozen.state)) == "ok" and self._still_s == 0
        if usual and not math.isnan(sharpness):
            self._sharpness.add(sharpness)
        return HealthReport(
            frozen,
            HealthReading(under, black),
            HealthReading(over, white),
            HealthReading(blurred, ratio),
            level,
        )

    def _watch_change(self, sample: NDArray[np.uint8], stamp_ns: int) -> HealthReading:
        last, last_ns = self._last, self._last_ns
        if last is None or last_ns is None or stamp_ns < last_ns or last.shape != sample.shape:
            self._last, self._last_ns, self._still_s = sample, stamp_ns, 0.0
            return HealthReading("ok", 0.0)
        if stamp_ns == last_ns:
            return HealthReading(_above(self._still_s, self._config.frozen_s), self._still_s)
        self._last, self._last_ns = sample, stamp_ns
        change = measure_change(last, sample)
        if math.isnan(change):
            self._still_s = 0.0
            return HealthReading("ok", math.nan)
        usual = self._config.frozen_share * self._noise.value
        if change == 0 or change < min(usual, self._config.frozen_change):
            self._still_s += (stamp_ns - last_ns) * 1e-9
        else:
            self._still_s = 0.0
            self._noise.add_least(change)
        return HealthReading(_above(self._still_s, self._config.frozen_s), self._still_s)


class _Usual:
    """A running value of a camera: the median of the first frames, which later ones pull slowly.

    NaN until there are enough.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._first: list[float] = []
        self.value = math.nan

    def add(self, number: float) -> None:
        if math.isnan(self.value):
            self._first.append(number)
            if len(self._first) == self._frames:
                self.value = float(np.median(self._first))
        else:
            self.value += (number - self.value) / (10 * self._frames)

    def add_least(self, number: float) -> None:
        """Likewise for the least value: it falls at once, and rises slowly."""
        if math.isnan(self.value):
            self._first.append(number)
            if len(self._first) == self._frames:
                self.value = min(self._first)
        elif number < self.value:
            self.value = number
        else:
            self.value += (min(number, 2 * self.value) - self.value) / (10 * self._frames)


def _above(value: float, limits: tuple[float, float]) -> State:
    return "alarm" if value >= limits[1] else "warn" if value >= limits[0] else "ok"


def _below(value: float, limits: tuple[float, float]) -> State:
    return "alarm" if value <= limits[1] else "warn" if value <= limits[0] else "ok"

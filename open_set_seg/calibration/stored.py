"""A calibration in a file beside its model: bound to the weights and to what made the statistics.

``demo.safetensors`` has ``demo.safetensors.calibration.yaml``. The name keeps the file's ending,
because an export of the same weights in another precision gives other scores.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, get_args

import yaml

from open_set_seg import __version__
from open_set_seg.calibration.bounds import CalibrationError
from open_set_seg.calibration.conditions import Conditions
from open_set_seg.calibration.fields import Fields, read_yaml
from open_set_seg.calibration.promise import describe_promise
from open_set_seg.calibration.thresholds import BandThreshold, Rule, Threshold, Unit
from open_set_seg.files import write_whole
from open_set_seg.monitoring import DriftReference, DriftReferenceError

SUFFIX = ".calibration.yaml"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class Calibration:
    """A threshold, what it holds for, and where it comes from.

    Attributes:
        threshold: with what it promises.
        conditions: network, score and configuration that it belongs to.
        source: the frames, in words.
        network: what ran the network, in words; another precision or backend gives slightly other
            scores, which is not checked.
        unexamined: frames without ground, which were left aside: they cannot alarm.
        date: when it was made, UTC, ISO 8601.
        package_version: of the code that made it.
        drift_reference: what scores were like in the calibration frames, for a ``DriftMonitor``;
            None where there were too few of them, or none without unknown objects.
    """

    threshold: Threshold
    conditions: Conditions
    source: str
    network: str = ""
    unexamined: int = 0
    date: str = ""
    package_version: str = __version__
    drift_reference: DriftReference | None = field(default=None, compare=False)

    @property
    def promise(self) -> str:
        """What the threshold is worth, in one sentence."""
        return describe_promise(self.threshold)

    def require(self, found: Conditions) -> None:
        """Refuse to be used under other conditions.

        Raises:
            CalibrationError: names what differs, and both values.
        """
        self.conditions.require(found)


def calibration_path(model: Path) -> Path:
    """Where the calibration of a model file lies."""
    return model.with_name(model.name + SUFFIX)


def today() -> str:
    """Now, as ``Calibration.date`` has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def save_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration that appears whole or not at all; the promise first, for people."""
    content = {
        "format_version": FORMAT_VERSION,
        "promise": calibration.promise,
        **asdict(replace(calibration, drift_reference=None)),
    }
    if calibration.drift_reference is not None:
        # One text: nobody reads it, and a list of so many numbers takes YAML seconds.
        content["drift_reference"] = calibration.drift_reference.to_text()
    content["threshold"]["bands"] = list(content["threshold"]["bands"])
    text = yaml.safe_dump(content, sort_keys=False, width=100)
    write_whole(path, text)


def load_calibration(path: Path) -> Calibration:
    """Read what ``save_calibration`` wrote, and nothing else.

    The promise is made anew of the numbers, so that it says what they say.

    Raises:
        CalibrationError: no such file, another format, a key that is unknown, missing or twice
            there, a value of another kind, or numbers that do not carry their promise; one line.
    """
    content = read_yaml(path)
    try:
        return _read(content)
    except CalibrationError as error:
        raise CalibrationError(f"{path}: {error}") from None


def _read(content: Any) -> Calibration:
    expected = ["format_version", "promise", *(one.name for one in fields(Calibration))]
    read = Fields(content, expected)
    version = read.whole("format_version")
    if version != FORMAT_VERSION:
        raise CalibrationError(f"expected format version {FORMAT_VERSION}, found {version}")
    read.text("promise")
    return Calibration(
        threshold=_read_threshold(read.value("threshold")),
        conditions=_read_conditions(read.value("conditions")),
        **{name: read.text(name) for name in ("source", "network", "date", "package_version")},
        unexamined=read.whole("unexamined"),
        drift_reference=_read_reference(read),
    )


def _read_reference(read: Fields) -> DriftReference | None:
    if read.value("drift_reference") is None:
        return None
    try:
        content = json.loads(read.text("drift_reference"))
        if not isinstance(content, dict):
            raise DriftReferenceError(f"expected an object, found {content!r:.60}")
        return DriftReference.from_json(content)
    except (ValueError, RecursionError) as error:
        raise CalibrationError(f"drift_reference: {error!s:.200}") from None


def _read_threshold(content: Any) -> Threshold:
    read = Fields(content, [one.name for one in fields(Threshold)], "threshold.")
    return Threshold(
        value=read.number("value"),
        rule=read.choice("rule", get_args(Rule)),
        target=read.share("target"),
        confidence=read.share("confidence"),
        unit=None if read.value("unit") is None else read.choice("unit", get_args(Unit)),
        **{n: read.whole(n) for n in ("samples", "alarms", "frames", "segment_frames")},
        segment_seconds=read.optional_number("segment_seconds"),
        autocorrelation_time=read.optional_number("autocorrelation_time"),
        bands=tuple(_read_band(band) for band in read.list_of("bands")),
    )


def _read_band(content: Any) -> BandThreshold:
    read = Fields(content, [one.name for one in fields(BandThreshold)], "threshold.bands.")
    near, far = read.number("near"), read.number("far")
    if not 0 <= near < far:
        raise CalibrationError(f"expected a band 0 <= near < far, found {near:g} and {far:g}")
    return BandThreshold(near, far, read.whole("samples"), read.share("threshold"))


def _read_conditions(content: Any) -> Conditions:
    read = Fields(content, [one.name for one in fields(Conditions)], "conditions.")
    score_map = read.value("score_map")
    if score_map is not None:
        scaled = Fields(score_map, ["location", "scale"], "conditions.score_map.")
        score_map = {name: scaled.number(name) for name in ("location", "scale")}
    return Conditions(
        weights_sha256=read.text("weights_sha256"),
        statistics_sha256=read.text("statistics_sha256"),
        score=read.text("score"),
        temperature=read.optional_number("temperature"),
        score_map=score_map,
        obstacles=read.settings("obstacles"),
        ground=read.settings("ground"),
        range=read.settings("range"),
    )

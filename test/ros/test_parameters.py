"""The parameter table: conversion, checks, and the settings that follow."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from open_set_seg.ground import GroundConfig
from open_set_seg.obstacles import ObstacleConfig
from open_set_seg.resources import find_resource
from open_set_seg.ros.parameters import (
    Parameter,
    ParameterError,
    convert_values,
    describe_unknown,
)
from open_set_seg.ros.settings import PARAMETERS, build_settings
from open_set_seg.stereo import RangeConfig

README = Path(__file__).parents[2] / "README.md"
NAMES = [row.name for row in PARAMETERS]
ROWS = {row.name: row for row in PARAMETERS}


@pytest.mark.parametrize("row", PARAMETERS, ids=NAMES)
def test_every_parameter_is_described_and_its_default_is_legal(row):
    assert row.text.endswith(".")
    assert row.convert(row.default) == row.default
    descriptor = row.describe()
    assert descriptor.description == row.text
    assert descriptor.read_only == row.fixed
    assert ("configured" in descriptor.additional_constraints) == (not row.live)
    if isinstance(row.default, float) or type(row.default) is int:
        bounds = (*descriptor.floating_point_range, *descriptor.integer_range)
        assert [(b.from_value, b.to_value) for b in bounds] == [(row.low, row.high)]


@pytest.mark.parametrize(
    ("group", "config"),
    [("range", RangeConfig), ("ground", GroundConfig), ("obstacles", ObstacleConfig)],
)
def test_every_field_of_a_config_is_a_parameter_with_the_same_default(group, config):
    fields = {field.name for field in dataclasses.fields(config)}
    assert {name for name in NAMES if name.startswith(f"{group}.")} == {
        f"{group}.{name}" for name in fields
    }
    assert getattr(build_settings({}), group) == config()


def test_the_shipped_file_lists_every_parameter_with_its_default():
    content = yaml.safe_load(find_resource("config/detector.yaml").read_text())
    flat = {}
    for name, value in content["/**"]["ros__parameters"].items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": entry for key, entry in value.items()}
        else:
            flat[name] = value
    assert list(flat) == NAMES
    assert convert_values(PARAMETERS, flat) == {row.name: row.default for row in PARAMETERS}


def test_the_readme_has_a_row_for_every_parameter():
    table = re.findall(
        r"^\| `([\w.]+)` \| `(.*)` \| (yes|no) \| (.*) \|$", README.read_text("utf-8"), re.MULTILINE
    )
    assert table == [
        (row.name, json.dumps(row.default), "yes" if row.live and not row.fixed else "no", row.text)
        for row in PARAMETERS
    ]


def test_an_integer_is_taken_for_a_double_and_nothing_else_is_bent():
    value = ROWS["threshold"].convert(1)
    assert value == 1.0
    assert type(value) is float
    for name, wrong in [
        ("threshold", "0.5"),
        ("threshold", True),
        ("threshold", None),
        ("jpeg_quality", 80.0),
        ("jpeg_quality", True),
        ("obstacles.opening", 1),
        ("model", 3),
        ("obstacles.known_classes", "car"),
        ("obstacles.known_classes", [1, 2]),
        ("obstacles.known_classes", None),
        ("obstacles.known_classes", 5),
    ]:
        with pytest.raises(ParameterError, match=name):
            ROWS[name].convert(wrong)


@pytest.mark.parametrize("empty", [[], [""], (), b""])
def test_every_way_to_say_an_empty_list_is_understood(empty):
    assert ROWS["obstacles.known_classes"].convert(empty) == ()
    assert ROWS["obstacles.known_classes"].convert(["car", "pole"]) == ("car", "pole")


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_numbers_are_accepted_exactly_inside_their_range(value):
    row = Parameter("x", 0.0, "X.", -2.0, 3.0)
    if -2.0 <= value <= 3.0:
        assert row.convert(value) == value
    else:
        with pytest.raises(ParameterError, match=r"x = .* out of its range \[-2, 3\]"):
            row.convert(value)


def test_choices_are_listed_in_the_error():
    with pytest.raises(ParameterError, match=r"ground\.mode = 'on' is not one of hull, off"):
        ROWS["ground.mode"].convert("on")


@pytest.mark.parametrize("name", ["calibration", "ground.mode"])
def test_off_is_off_also_where_yaml_makes_it_false(name):
    read = yaml.safe_load(f"{name}: off")[name]
    assert read is False
    assert ROWS[name].convert(read) == ROWS[name].convert("off") == "off"
    with pytest.raises(ParameterError, match=name):
        ROWS[name].convert(True)


def test_every_parameter_that_has_off_takes_it_unquoted():
    rows = {row.name for row in PARAMETERS if "off" in row.choices or ", off" in row.text}
    assert (
        rows == {row.name for row in PARAMETERS if row.can_be_off} == {"calibration", "ground.mode"}
    )


def test_values_that_mean_nothing_are_named():
    with pytest.raises(ParameterError, match="min_range"):
        build_settings({"range.min_range": 50.0, "range.max_range": 10.0})
    with pytest.raises(ParameterError, match="threshold"):
        build_settings({"threshold": -0.5})


def test_another_score_comes_with_its_threshold():
    settings = build_settings({"score": "coarse+msp", "threshold": 0.5})
    assert (settings.score, settings.threshold) == ("coarse+msp", 0.5)
    with pytest.raises(ParameterError, match=r"score = 'sml' needs a threshold in \[0, 1\]"):
        build_settings({"score": "sml"})


def test_settings_speak_the_language_of_the_pipeline():
    settings = build_settings(
        {
            "threshold": 0.75,
            "range.baseline_override": 0.21,
            "sync_tolerance_s": 0.004,
            "disparity_wait_s": 0.3,
            "obstacles.known_classes": ("car",),
        }
    )
    assert settings.threshold == 0.75
    assert settings.range.baseline_override == 0.21
    assert settings.range.focal_override is None
    assert settings.pairing.tolerance_ns == 4_000_000
    assert settings.pairing.wait_s == 0.3
    assert settings.obstacles.known_classes == ("car",)
    assert build_settings({}).threshold is None, "the checkpoint's own"


def test_images_do_not_wait_where_no_range_is_expected():
    assert build_settings({"range_source": "none"}).pairing.wait_s == 0.0


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("treshold", "threshold"),
        ("min_area_px", "obstacles.min_area_px"),
        ("obstacles.min_area", "obstacles.min_area_"),
        ("range.max_rnge", "range.max_range"),
    ],
)
def test_an_unknown_parameter_is_named_with_its_nearest_match(wrong, meant):
    assert f"did you mean '{meant}" in describe_unknown(wrong, NAMES)


def test_an_unknown_parameter_like_no_other_gets_no_guess():
    assert describe_unknown("zzzzzz", NAMES) == "there is no parameter 'zzzzzz'"


def test_every_backend_can_be_chosen():
    from open_set_seg.backends import AUTOMATIC, BACKENDS

    row = next(row for row in PARAMETERS if row.name == "backend")
    assert row.choices == (AUTOMATIC, *BACKENDS)
    assert row.default == AUTOMATIC


def test_the_expected_size_is_width_by_height():
    assert build_settings({"expected_size": "640x480"}).expected_size == (640, 480)
    for wrong in ("640", "640x", "0x480", "640 x 480", "-1x2"):
        with pytest.raises(ParameterError, match="WIDTHxHEIGHT"):
            build_settings({"expected_size": wrong})

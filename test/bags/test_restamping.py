"""New stamps change stamps and nothing else, in every message type that has headers."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.interfaces import Nodetype

from open_set_seg.bags import TYPESTORE, BagError
from open_set_seg.bags.replay import HeaderPlaces, Restamper

PLACES = HeaderPlaces(TYPESTORE)
SHIFT = 7_000_000_123
NUMBERS = {
    "bool": np.bool_, "byte": np.uint8, "char": np.uint8, "octet": np.uint8,
    "int8": np.int8, "uint8": np.uint8, "int16": np.int16, "uint16": np.uint16,
    "int32": np.int32, "uint32": np.uint32, "int64": np.int64, "uint64": np.uint64,
    "float32": np.float32, "float64": np.float64,
}  # fmt: skip


def holds(type_name: str, wanted) -> bool:
    """Whether a type holds a field that is wanted, found by looking at every field's text."""
    return any(
        wanted in repr(description)
        or any(
            holds(name, wanted) for name in TYPESTORE.fielddefs if f"'{name}'" in repr(description)
        )
        for _, description in TYPESTORE.fielddefs[type_name][1]
    )


def make(type_name: str, random: np.random.Generator):
    """A message full of noise: numbers, texts of any length, lists of any length."""
    fields = {}
    for name, description in TYPESTORE.fielddefs[type_name][1]:
        fields[name] = make_value(description, random)
    return TYPESTORE.types[type_name](**fields)


def make_value(description, random):
    kind, detail = description
    if kind == Nodetype.NAME:
        return make(detail, random)
    if kind == Nodetype.BASE:
        if detail[0] == "string":
            return "é-\0-x"[: random.integers(0, 3)] * int(random.integers(0, 4))
        return make_numbers(detail[0], 1, random)[0].item()
    inner, length = detail
    count = length if kind == Nodetype.ARRAY else int(random.integers(0, 4))
    if inner[0] == Nodetype.BASE and inner[1][0] in NUMBERS:
        return make_numbers(inner[1][0], count, random)
    return [make_value(inner, random) for _ in range(count)]


def make_numbers(name: str, count: int, random):
    kind = np.dtype(NUMBERS[name])
    if kind == np.bool_:
        return random.integers(0, 2, count).astype(np.bool_)
    if kind.kind == "f":
        return random.normal(size=count).astype(kind)
    # Small, so that seconds and nanoseconds stay a possible time after the shift.
    return random.integers(0, 100, count).astype(kind)


def shift(message) -> None:
    """The oracle: walks the decoded message, not its bytes."""
    if type(message).__msgtype__ == "std_msgs/msg/Header":
        stamp = message.stamp
        total = stamp.sec * 10**9 + stamp.nanosec
        if total:
            object.__setattr__(message, "stamp", type(stamp)(*divmod(total + SHIFT, 10**9)))
        return
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        for each in value if isinstance(value, list) else [value]:
            if dataclasses.is_dataclass(each):
                shift(each)


WITH_HEADERS = sorted(name for name in TYPESTORE.fielddefs if PLACES.has_header(name))


def test_types_with_headers_are_known():
    header = "std_msgs/msg/Header"
    expected = {n for n in TYPESTORE.fielddefs if n == header or holds(n, f"'{header}'")}
    assert set(WITH_HEADERS) == expected
    assert {"sensor_msgs/msg/Image", "tf2_msgs/msg/TFMessage"} <= expected
    assert "std_msgs/msg/String" not in expected


@pytest.mark.parametrize("little_endian", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_bytes_are_those_of_the_same_message_with_other_stamps(seed, little_endian):
    random = np.random.default_rng(seed)
    restamper = Restamper(PLACES, lambda stamp: stamp + SHIFT)
    for name in WITH_HEADERS:
        message = make(name, random)
        before = TYPESTORE.serialize_cdr(message, name, little_endian=little_endian)
        expected = copy.deepcopy(message)
        shift(expected)
        after = TYPESTORE.serialize_cdr(expected, name, little_endian=little_endian)
        assert restamper.apply(bytes(before), name) == bytes(after), name


def test_a_disparity_has_two_stamps_and_a_list_of_transforms_many():
    random = np.random.default_rng(0)
    name = "stereo_msgs/msg/DisparityImage"
    cdr = bytes(TYPESTORE.serialize_cdr(make(name, random), name))
    assert len(PLACES.find(cdr, name)) == 2
    name = "tf2_msgs/msg/TFMessage"
    transforms = [make("geometry_msgs/msg/TransformStamped", random) for _ in range(5)]
    cdr = bytes(TYPESTORE.serialize_cdr(TYPESTORE.types[name](transforms=transforms), name))
    assert len(PLACES.find(cdr, name)) == 5


def test_equal_stamps_stay_equal_until_a_new_round():
    given_out = iter(range(10**9, 10**12, 10**9))
    restamper = Restamper(PLACES, lambda stamp: next(given_out))

    def stamp_of(cdr) -> int:
        header = TYPESTORE.deserialize_cdr(cdr, "std_msgs/msg/Header")
        return header.stamp.sec * 10**9 + header.stamp.nanosec

    def header(stamp: int) -> bytes:
        time = TYPESTORE.types["builtin_interfaces/msg/Time"](*divmod(stamp, 10**9))
        message = TYPESTORE.types["std_msgs/msg/Header"](stamp=time, frame_id="x")
        return bytes(TYPESTORE.serialize_cdr(message, "std_msgs/msg/Header"))

    def new(stamp: int) -> int:
        return stamp_of(restamper.apply(header(stamp), "std_msgs/msg/Header"))

    assert [new(5), new(6), new(5), new(6)] == [10**9, 2 * 10**9, 10**9, 2 * 10**9]
    assert new(0) == 0  # no time stays no time
    restamper.forget()
    assert new(5) == 3 * 10**9


def test_a_stamp_that_cannot_be_written_stays():
    name = "std_msgs/msg/Header"
    cdr = bytes(TYPESTORE.serialize_cdr(make(name, np.random.default_rng(1)), name))
    for impossible in (2**31 * 10**9, -(2**31) * 10**9 - 1):
        assert Restamper(PLACES, lambda _, new=impossible: new).apply(cdr, name) == cdr


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_messages_are_refused_in_one_line_or_keep_their_length(data):
    name = data.draw(st.sampled_from(WITH_HEADERS))
    cdr = bytearray(TYPESTORE.serialize_cdr(make(name, np.random.default_rng(1)), name))
    for _ in range(data.draw(st.integers(0, 3))):
        cdr[data.draw(st.integers(0, len(cdr) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(cdr[: data.draw(st.integers(0, len(cdr)))])
    after, told = None, name
    try:
        after = Restamper(PLACES, lambda stamp: stamp + SHIFT).apply(cut, name)
    except BagError as error:
        told = str(error)
    assert after is None or len(after) == len(cut)
    assert name in told
    assert "\n" not in told

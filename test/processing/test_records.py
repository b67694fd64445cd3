"""Records: what they say is what was found, and they come back from disk as they were."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from drive_bags import config_of
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.bags import open_frames
from open_set_seg.frame import Prediction
from open_set_seg.processing import HISTOGRAM_BINS, Network, RecordError, read_records
from open_set_seg.processing.describing import describe_frame, describe_scores
from open_set_seg.processing.json_form import from_json, to_json
from open_set_seg.processing.records import FrameRecord, write_record


@pytest.fixture(scope="module")
def observed(bag, model):
    """(frame of the bag, observation, record) of every frame."""
    network = Network.load(config_of(model))
    observer = network.observer()
    found = []
    with open_frames(bag) as (_, items):
        for item in items:
            observation = observer.observe(item.frame)
            record = describe_frame(item, observation, network.label_space)
            found.append((item, observation, record))
    return found


def without_nan(value):
    """NaN equals itself here."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def same(one: FrameRecord, two: FrameRecord) -> bool:
    return without_nan(asdict(one)) == without_nan(asdict(two))


def test_a_record_says_what_was_found(observed):
    assert sum(len(record.obstacles) for _, _, record in observed) > len(observed)
    for item, observation, record in observed:
        result = observation.result
        assert (record.number, record.stamp_ns) == (item.number, result.stamp_ns)
        assert record.examined == result.examined
        assert [o.id for o in record.obstacles] == [o.id for o in result.obstacles]
        assert [o.state for o in record.obstacles] == [o.state for o in result.obstacles]
        for kept, found in zip(record.obstacles, result.obstacles, strict=True):
            assert kept.left == found.box[0]
            assert kept.area_px == found.area_px
            np.testing.assert_array_equal((kept.x, kept.y, kept.z), found.position)
            np.testing.assert_array_equal(kept.distance, found.distance)
        seen = [band.seen_share for band in observation.visibility.bands]
        np.testing.assert_array_equal([band.seen_share for band in record.visibility.bands], seen)
        blind = [
            band in observation.visibility.blind_bands for band in observation.visibility.bands
        ]
        assert [band.blind for band in record.visibility.bands] == blind
        assert record.camera.state == observation.camera_health.state


@given(
    scores=st.lists(
        st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 1.0])),
        min_size=1,
        max_size=200,
    ),
    threshold=st.floats(0, 1),
)
@settings(max_examples=60, deadline=None)
def test_score_statistics_are_those_of_numpy(scores, threshold):
    anomaly = np.array(scores, np.float32).reshape(1, -1)
    labels = np.zeros(anomaly.shape, np.uint8)
    found = describe_scores(Prediction(labels, anomaly, labels, threshold))
    assert sum(found.histogram) == anomaly.size
    assert len(found.histogram) == HISTOGRAM_BINS
    # Scores on a border may fall to either side of it: borders are not float32 numbers.
    edges = np.arange(HISTOGRAM_BINS + 1) / HISTOGRAM_BINS
    below = np.cumsum((0, *found.histogram))
    assert (below >= (anomaly < edges[:, None] - 1e-6).sum(axis=1)).all()
    assert (below[:-1] <= (anomaly < edges[:-1, None] + 1e-6).sum(axis=1)).all()
    assert found.unknown_share == (anomaly > threshold).mean()
    assert found.maximum == anomaly.max()
    assert found.mean == pytest.approx(anomaly.mean(dtype=np.float64))


def test_records_come_back_as_they_were(observed, tmp_path):
    records = [record for _, _, record in observed]
    odd = replace(
        records[0], scores=replace(records[0].scores, mean=math.inf), truth={"AP": math.nan}
    )
    lines = [write_record(record) for record in (*records, odd)]
    # Other readers of JSON know neither NaN nor Infinity.
    for line in lines:
        json.loads(line, parse_constant=lambda name: pytest.fail(name))
    (tmp_path / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    back = list(read_records(tmp_path))
    assert len(back) == len(lines)
    assert all(map(same, back, (*records, odd)))
    assert back[-1].scores.mean == math.inf


@pytest.mark.parametrize("name", [field.name for field in fields(FrameRecord)])
@pytest.mark.parametrize("change", ["remove", "spoil", "rename"])
def test_a_line_that_is_no_record_is_refused_by_place_and_field(observed, tmp_path, name, change):
    content = to_json(observed[0][2])
    if change == "remove":
        del content[name]
    elif change == "rename":
        content[f"{name}_"] = content.pop(name)
    else:
        content[name] = {"a": {"b": 1}} if name in ("timings", "truth") else [{}]
    path = tmp_path / "records.jsonl"
    path.write_text(f"{write_record(observed[1][2])}\n{json.dumps(content)}\n", encoding="utf-8")
    reader = read_records(path)
    next(reader)
    with pytest.raises(RecordError, match=rf"line 2: record.*{name}") as caught:
        next(reader)
    assert "\n" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=10,
    )
)
@settings(max_examples=100, deadline=None)
def test_no_json_breaks_the_reader(content):
    with pytest.raises(ValueError, match="record"):
        from_json(FrameRecord, content)

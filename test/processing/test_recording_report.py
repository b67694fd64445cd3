"""The page of a processed recording: its figures are those of the records, whatever these hold."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from unittest.mock import patch

import cv2
import numpy as np
import pytest
from html_page import assert_self_contained
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_records import RUN, STEP_NS, frame, nothing_known, obstacle

from open_set_seg.processing.album import Moment, Thumbnail
from open_set_seg.processing.records import DriftRecord, ProblemRecord, write_record
from open_set_seg.processing.report import (
    Material,
    charts,
    digest_records,
    find_events,
    report_page,
    summary,
    tables,
    write_index,
    write_report,
)
from open_set_seg.processing.report.events import choose_events
from open_set_seg.report import Text, render_page
from open_set_seg.report.text import plain

DONE, DATA = cv2.imencode(".jpg", np.full((4, 6, 3), 90, np.uint8))
JPEG = DATA.tobytes()


def a_drive():
    """Obstacle 1 comes nearer and is lost for a frame, 2 is never confirmed, 3 is never ranged."""
    return [
        frame(0, [obstacle(1, "tentative", 30.0, mean_score=0.7)]),
        frame(1, [obstacle(1, "confirmed", 25.0), obstacle(2, "tentative", 8.0)]),
        frame(2, [], examined=False),
        frame(3, [obstacle(1, "confirmed", 12.0, sigma=0.25, mean_score=0.9, width=1.5)]),
        frame(
            4, [obstacle(1, "tentative", 5.0), obstacle(3, "confirmed", math.nan, sigma=math.nan)]
        ),
    ]


def material(records, run=RUN, pictured=(1,), truth=None):
    thumbnails = {n: Thumbnail(Moment(n, 3, 1.0, 12.0), JPEG, JPEG) for n in pictured}
    return Material(digest_records(records), run, thumbnails, truth, "drive")


def read(page):
    return assert_self_contained(render_page(page))


def words(text):
    """The text without the kinds of spaces and of minus signs that print has."""
    return " ".join(text.replace("\N{NARROW NO-BREAK SPACE}", " ").split())


def said(blocks):
    return [block.text for block in blocks if hasattr(block, "text")]


def test_an_event_is_the_life_of_a_confirmed_obstacle():
    events = find_events(digest_records(a_drive()))
    assert [event.id for event in events] == [1, 3]
    first, unranged = events
    assert (first.begin, first.confirmed, first.end, first.sightings) == (0, 1, 4, 4)
    assert first.distance == 12.0  # 5 m was measured when it was no longer confirmed
    assert (first.first.distance, first.nearest_place, first.highest_score) == (30.0, 3, 0.9)
    assert math.isnan(unranged.distance)


@given(st.lists(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["tentative", "confirmed"]),
    st.one_of(st.just(math.nan), st.floats(0.5, 80)))), max_size=12))  # fmt: skip
def test_events_are_what_a_plain_search_through_the_records_finds(rows):
    records = []
    for place, row in enumerate(rows):
        by_id = {number: obstacle(number, state, distance) for number, state, distance in row}
        records.append(frame(place, by_id.values()))
    seen = [(r.number, o) for r in records for o in r.obstacles]
    expected = {o.id for _, o in seen if o.state == "confirmed"}
    events = find_events(digest_records(records))
    assert {event.id for event in events} == expected
    for event in events:
        own = [(number, o) for number, o in seen if o.id == event.id]
        assert (event.begin, event.end) == (own[0][0], own[-1][0])
        assert event.sightings == len(own)
        known = [o.distance for _, o in own if o.state == "confirmed" and o.distance == o.distance]
        if known:
            assert event.distance == min(known)
        else:
            assert math.isnan(event.distance)


def test_the_digest_holds_what_the_records_hold():
    records = a_drive()
    records[2] = replace(records[2], problems=(ProblemRecord("a.b", "error", "why"),) * 2)
    digest = digest_records(records)
    for name in ("median", "q90", "q99", "mean", "maximum", "threshold", "unknown_share"):
        expected = [getattr(record.scores, name) for record in records]
        np.testing.assert_array_equal(digest.statistics[name], expected)
    np.testing.assert_array_equal(digest.listed, [1, 2, 0, 1, 2])
    np.testing.assert_array_equal(digest.confirmed, [0, 1, 0, 1, 1])
    np.testing.assert_array_equal(digest.examined, [True, True, False, True, True])
    np.testing.assert_allclose(digest.clock, np.arange(5) * STEP_NS * 1e-9)
    assert digest.histogram.sum() == sum(sum(record.scores.histogram) for record in records)
    assert list(digest.bands) == [(5.0, 10.0), (10.0, 20.0)]
    assert (digest.problems[0].problem.code, digest.problems[0].frames) == ("a.b", 1)
    assert set(digest.timings) == {"segmentation", "total"}


@pytest.mark.parametrize(
    ("stamps", "times", "label"),
    [
        ([1, 2, 3], [9, 8, 7], "seconds"),
        ([1, 3, 2], [7, 8, 9], "seconds of recording"),
        ([1, 3, 2], [9, 8, 7], "frame"),
        ([5, 5, 5], [0, 0, 0], "frame"),
    ],
)
def test_a_clock_that_goes_back_is_not_used(stamps, times, label):
    pairs = zip(stamps, times, strict=True)
    records = [frame(n, stamp_ns=s, time_ns=t) for n, (s, t) in enumerate(pairs)]
    digest = digest_records(records)
    assert digest.clock_label == label
    assert np.all(np.diff(digest.clock) >= 0)


def test_figures_on_the_page_are_those_of_the_records():
    page = report_page(material(a_drive()))
    text = words(read(page).text)
    assert "In 5 frames (0.4 s) 2 obstacles were confirmed; the nearest, number 1, at" in text
    assert "12.00 ± 0.25 m (0.30 s)" in text
    assert "1 of 5 frames were not searched for obstacles" in text
    assert "A pixel is unknown above 0.5000 (from a calibration). With 95 % confidence" in text
    assert "an object of 20 cm would have been found up to 15.0 m" in text
    assert "In no frame was the nearest band of the corridor seen with range" in text
    facts = {fact.label: (fact.value, fact.note) for fact in page.facts}
    assert facts["frames examined"] == ("80.0 %", "1 not")
    assert facts["confirmed obstacles"] == ("2", "1 never confirmed")
    assert facts["nearest"] == ("12.00 m", "0.30 s, no. 1")
    assert facts["model"] == ("ab" * 5, "demo.safetensors")


@pytest.mark.parametrize(
    ("clear_until", "said"),
    [
        ([20.0, 10.0, 30.0], "The corridor was seen with range up to 20 m (median)."),
        ([50.0, math.nan, 30.0], "seen with range up to 30 m (median)."),
        ([50.0, math.nan, math.nan], "In 2 of 3 frames not even the nearest band"),
        ([50.0, None, None], "up to 50 m (median of the 1 frame with a ground plane)."),
        ([math.nan, None, None], "In no frame was the nearest band"),
        ([None, None, None], "no ground plane was found"),
    ],
)
def test_a_frame_that_saw_nothing_is_not_left_out_of_how_far_one_could_see(clear_until, said):
    records = []
    for n, clear in enumerate(clear_until):
        record = nothing_known(n) if clear is None else frame(n)
        if clear is not None:
            sight = replace(record.visibility, clear_until=clear)
            record = replace(record, visibility=sight)
        records.append(record)
    text = words(read(report_page(material(records))).text)
    assert said in text


def test_the_table_of_obstacles_has_a_row_an_event_and_leads_to_its_card():
    digest = digest_records(a_drive())
    events = find_events(digest)
    fold = tables.event_table(digest, events, {1: "obstacle-1"})
    (table,) = fold.blocks
    assert [row.cells[0].link for row in table.rows] == ["#obstacle-1", ""]
    assert table.rows[0].cells[1:] == (
        "0.00 s", "0.10 s", "0.40 s", "4", "30.0", "12.00 ± 0.25 m", "1.50 × 0.25 m", "0.90",
    )  # fmt: skip
    assert table.rows[1].cells[5:7] == ("–", "unknown")


def test_the_timeline_leads_to_the_cards_that_are_there():
    reader = read(report_page(material(a_drive(), pictured=(1, 2))))
    # The line in its pieces, its name, and the table's cell; 2 was never confirmed, 3 not pictured.
    assert reader.links.count("#obstacle-1") >= 3
    assert {link for link in reader.links if link.startswith("#obstacle-")} == {"#obstacle-1"}


def test_shares_of_bands_are_means_over_the_frames():
    records = a_drive()
    band = replace(records[0].visibility.bands[0], seen_share=0.5, range_share=1.0, blind=False)
    sight = replace(records[0].visibility, bands=(band, records[0].visibility.bands[1]))
    records[0] = replace(records[0], visibility=sight)
    rows = tables.band_table(digest_records(records)).rows
    assert rows[0].cells == ("5–10", "82.0 %", "52.0 %", "80.0 %")
    assert rows[1].cells == ("10–20", "90.0 %", "40.0 %", "100.0 %")


def test_stage_times_are_quantiles_in_milliseconds():
    records = [frame(n, timings={"a": s, "total": 2 * s}) for n, s in enumerate((0.1, 0.2, 0.4))]
    found = plain(tables.stage_table(digest_records(records)))
    assert re.search(r"a +200\.0 +380\.0 +400\.0 +50\.0 %", found)
    assert found.splitlines()[-1].startswith("total")


def test_everything_that_was_wrong_is_said():
    drift = DriftRecord("alarm", True, 9.0, 3.0, "outside the domain: scores are higher")
    problem = ProblemRecord("disparity.baseline", "warning", "0.3 m is not 0.2 m")
    camera = replace(frame().camera, state="warn", faults=("blurred",))
    records = [frame(0, drift=drift, problems=(problem,), camera=camera), frame(1, has_range=False)]
    digest = digest_records(records)
    found = " ".join(summary.warnings(digest, {**RUN, "undecodable": [2, 3]}))
    for part in (
        "2 images could not be decoded", "disparity.baseline (1 frame, first in frame 0)",
        "0.3 m is not 0.2 m", "in 1 frame (1 alarm): outside the domain", "blurred in 1 frame",
    ):  # fmt: skip
        assert part in found
    sentences = said(summary.sentences(digest, [], RUN))
    assert any("1 of 2 frames were without range" in text for text in sentences)
    assert not any(text.startswith("Nothing was wrong") for text in sentences)


@pytest.mark.parametrize(
    ("drift", "said_of_it"),
    [
        (None, "Nothing was wrong with inputs or camera."),
        (DriftRecord("ok", True, 0.1, 3.0, ""), "Nothing was wrong with inputs, camera or scores."),
    ],
)
def test_scores_that_nobody_watched_are_not_called_good(drift, said_of_it):
    found = said(summary.sentences(digest_records([frame(0, drift=drift)]), [], RUN))
    assert said_of_it in found
    assert any("was not watched" in text for text in found) == (drift is None)


NASTY = "\"><script>x()</script>&lt;$\\frac{$' onload='x{{ x }}\udcff\x00"


def named(name):
    """A page on which everything that comes from elsewhere has this name."""
    records = [
        frame(
            n,
            [obstacle(1, kind=name or "x", nearest_class=name)],
            frame_id=name,
            problems=(ProblemRecord(name, "error", name),),
            timings={name: 0.1, "total": 0.2},
            camera=replace(frame().camera, state="warn", faults=(name,)),
            drift=DriftRecord("warn", True, 1.0, 2.0, name),
        )
        for n in range(2)
    ]
    run = {**dict.fromkeys(RUN, name), "settings": {name: {name: name}}, "classes": [name]}
    return read(report_page(replace(material(records, run), name=name)))


def test_hostile_names_are_shown_and_never_become_markup():
    found = named(NASTY)
    assert found.tags == named("x").tags
    assert "<script>x()</script>" in found.text


@settings(max_examples=12, deadline=None)
@given(st.text(st.sampled_from("<>&\"'{}%$#/a") | st.characters(), min_size=1, max_size=20))
def test_names_of_any_kind_never_become_markup(name):
    # The charts hold no such name; without them a page takes a hundredth of the time.
    chart = {"draw_traces", "draw_strips", "draw_lines", "draw_steps"}
    with patch.multiple(charts, **dict.fromkeys(chart, lambda *a, **k: Text("chart"))):
        assert named(name).tags == named("x").tags


@st.composite
def strange_records(draw):
    numbers = st.one_of(st.sampled_from([math.nan, 0.0, 1.0]), st.floats(0, 1e6))
    records = []
    for place in range(draw(st.integers(0, 5))):
        rows = draw(st.lists(st.tuples(st.integers(0, 3),
            st.sampled_from(["untracked", "tentative", "confirmed"])), max_size=4))  # fmt: skip
        obstacles = [obstacle(number, state, draw(numbers)) for number, state in rows]
        record = (nothing_known if draw(st.booleans()) else frame)(place, obstacles)
        records.append(replace(record, stamp_ns=draw(st.integers(0, 2**62))))
    return records


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(strange_records())
def test_words_and_tables_stand_whatever_the_records_hold(records):
    digest = digest_records(records)
    events = find_events(digest)
    assert all(text for text in said(summary.sentences(digest, events, RUN)))
    assert all(
        "nan" not in text.lower().split() for text in said(summary.sentences(digest, events, {}))
    )
    for fact in summary.facts(digest, events, {}, None):
        assert "nan" not in fact.value
    for table in (tables.band_table(digest), tables.stage_table(digest)):
        assert table is None or "nan" not in plain(table)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck))
@given(strange_records())
def test_a_page_stands_whatever_the_records_hold(records):
    read(report_page(material(records, {}, pictured=())))


def everything_unknown():
    return [nothing_known(n, [obstacle(1, "confirmed")]) for n in range(3)]


@pytest.mark.parametrize(
    "records",
    [[], [frame(0)], [frame(0, [obstacle()])], everything_unknown(), [frame(0), frame(0)]],
    ids=["no frame", "one frame", "one obstacle", "all NaN", "no time passes"],
)
def test_bags_of_little_have_a_page(records):
    text = words(read(report_page(material(records))).text)
    assert "nan" not in text.split()
    assert (f"In {len(records)} frame" in text) or not records


def test_obstacles_that_were_not_followed_are_said_to_be_so():
    records = [frame(n, [obstacle(1, "untracked"), obstacle(2, "untracked")]) for n in range(3)]
    text = words(read(report_page(material(records, pictured=()))).text)
    assert "6 obstacles were listed; they were not followed" in text


def test_thousands_of_events_leave_a_page_of_bounded_size():
    records = [
        frame(n, [obstacle(10 * n + k, "confirmed", 5.0 + (n * 7 + k) % 60) for k in range(10)])
        for n in range(200)
    ]
    many = material(records, pictured=range(0, 2000, 5))
    page = render_page(report_page(many))
    reader = assert_self_contained(page)
    assert "2 000 obstacles were confirmed" in words(reader.text)
    assert len(page) < 1_500_000
    assert reader.tags.count("article") == 60
    assert "1 800 farther ones are only in obstacles.csv" in words(reader.text)


def test_a_long_recording_leaves_a_page_of_bounded_size():
    one = frame(0)
    records = (replace(one, number=n, stamp_ns=n * STEP_NS) for n in range(8_000))
    page = render_page(report_page(material(records, pictured=())))
    assert len(page) < 300_000
    assert "13 min 20 s" in page


def test_events_are_chosen_by_nearness_and_keep_their_order():
    events = find_events(digest_records(a_drive()))
    assert [event.id for event in choose_events(events[::-1], 2)] == [3, 1]
    assert [event.id for event in choose_events(events, 1)] == [1]


def test_a_strip_shows_a_pause_as_nothing_known():
    stamps = [0, 1, 2, 3, 60, 61, 62, 63]
    digest = digest_records([frame(n, stamp_ns=s * 10**9) for n, s in enumerate(stamps)])
    edges, column = charts._strip_columns(digest)
    used = sorted({float(edges[place]) for place in column})
    assert used == pytest.approx(stamps)
    empty = sorted(set(range(edges.size - 1)) - set(column.tolist()))
    assert [(edges[n], edges[n + 1]) for n in empty] == [pytest.approx((4.0, 60.0))]


def test_a_recording_s_folder_is_enough_to_make_its_page(tmp_path):
    folder = tmp_path / "dri ve #1"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(RUN))
    lines = [write_record(record) for record in a_drive()]
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    assert write_report(folder) == folder / "report.html"
    content = json.loads((folder / "summary.json").read_text())
    assert (content["frames"], content["confirmed"], content["nearest"]) == (5, 2, 12.0)
    assert content["drifted"] is None  # nobody watched
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "run.json").write_text("{}")
    index = write_index(tmp_path).read_text(encoding="utf-8")
    assert 'href="./dri%20ve%20%231/report.html"' in index
    assert "no report" in index
    assert "default-src 'none'" in index


def test_an_index_over_two_models_warns(tmp_path):
    for name, model in (("a", "1"), ("b", "2")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "run.json").write_text("{}")
        (folder / "report.html").write_text("x")
        (folder / "summary.json").write_text(json.dumps({"model_sha256": model, "AP": 0.5}))
    page = write_index(tmp_path).read_text(encoding="utf-8")
    assert "not made with one model" in page
    assert "50.0 %" in page

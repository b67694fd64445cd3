"""Report pages: plain data in, one file out that needs nothing else."""

import re
import sys
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from html_page import PageReader, assert_self_contained
from hypothesis import given, settings
from hypothesis import strategies as st

from open_set_seg.report import (
    Axis,
    Card,
    Cards,
    Cell,
    Fact,
    Figures,
    Fold,
    Legend,
    Mark,
    Page,
    Picture,
    Pictures,
    Row,
    Section,
    Series,
    Table,
    Text,
    Trace,
    draw_lines,
    draw_steps,
    draw_strips,
    draw_traces,
    render_page,
    save_page,
)
from open_set_seg.report.text import markdown, plain

X = np.linspace(0, 1, 30)
UNIT = (0.0, 1.0)


def a_figure(name="a & <b>", slot=0):
    return draw_lines(
        f"chart of {name}",
        [Series(name, X, X**2, slot), Series("other", X, 1 - X, 9, compared=True)],
        Axis("x", UNIT),
        Axis("y", UNIT),
        marks=(Mark(0.5, 0.25, slot), Mark(None, 0.95, text="limit")),
    )


def a_table(**changes):
    rows = (
        Row(("first", Cell("1.5", note="1 to 2", best=True)), "ours"),
        Row(("a heading",), "group"),
        Row((Cell("second|x", slot=3), "2")),
        Row(("sum", "3.5"), "total"),
    )
    return Table(**{"header": ("name", "value"), "rows": rows, "notes": ("a note",), **changes})


def a_picture(ending=".png"):
    done, data = cv2.imencode(ending, np.full((4, 6, 3), 90, np.uint8))
    assert done
    return Picture(data.tobytes(), "a caption", "a grey square")


def a_page(*blocks):
    return Page("A title", "below it", (Fact("AP", "39.4 %", "30 to 47"),), (Section("S", blocks),))


def full_page():
    titles = ("Results", "Results", "More", "???")
    sections = tuple(Section(title, blocks_of(place)) for place, title in enumerate(titles))
    return Page("Everything", "", (), sections, "the end")


def blocks_of(place):
    legend = (Legend("a", 0), Legend("b", 9, dashed=True))
    return (
        Text("Look out.", "warning"),
        a_table(),
        Figures((a_figure(f"{place}"), a_figure(f"{place} again", 1)), legend),
        a_figure(f"{place} alone"),
        Pictures((a_picture(), a_picture(".jpg"), a_picture(".webp"))),
        Fold("more", (a_table(upright=True),)),
    )


def test_a_full_page_is_self_contained_and_its_tags_close():
    reader = assert_self_contained(render_page(full_page()))
    assert reader.tags.count("svg") == 12
    assert reader.tags.count("img") == 12
    assert sum(one.startswith("data:image/webp") for one in reader.fetched) == 4
    assert {"results", "results-2", "more", "section"} <= set(reader.ids)


def test_sections_of_a_group_stand_together_under_its_heading():
    sections = (
        Section("Overview", (Text("a"),)),
        Section("Results", (Text("b"),), "First"),
        Section("Curves", (Text("c"),), "First"),
        Section("Results", (Text("d"),), "Second"),
    )
    reader = assert_self_contained(render_page(Page("t", "", (), sections)))
    assert reader.links == ["#overview", "#results", "#curves", "#results-2"]
    assert reader.tags.count("h2") == 4 + 2
    body = reader.text[reader.text.rindex("Overview") :].split()
    assert body == [
        "Overview",
        "a",
        "First",
        "Results",
        "b",
        "Curves",
        "c",
        "Second",
        "Results",
        "d",
    ]


def a_card(anchor="event-1", title="Obstacle 1"):
    return Card(anchor, title, (a_picture(".jpg"),), (("nearest", "4.2 m"),))


def test_cards_carry_the_anchors_that_charts_and_cells_lead_to():
    trace = Trace("1", (0, 1, 2), (5, 4, 3), (False, True, True), anchor="event-1", label='<&">')
    chart = draw_traces("t", (trace,), Axis("s", (0, 2)), Axis("m", (0, 6)))
    table = Table(("id",), (Row((Cell("1", link="#event-1"),)),))
    sections = (
        Section("Event 1", (chart, table)),
        Section("x", (Fold("f", (Cards((a_card(),)),)),)),
    )
    page = render_page(Page("t", "", (), sections))
    reader = assert_self_contained(page)
    assert reader.links.count("#event-1") == 3  # the line, its name, the cell
    assert "event-1-2" in reader.ids  # the section's
    assert 'aria-label="&lt;&amp;&quot;&gt;"' in page
    assert "_blank" not in page


@pytest.mark.parametrize("link", ["javascript:alert(1)", " data:x", "https://x.org", "//x.org"])
def test_a_link_that_leaves_the_folder_is_refused(link):
    with pytest.raises(ValueError, match="an anchor or a relative path"):
        Cell("x", link=link)


def test_anchors_are_unique_and_plain():
    with pytest.raises(ValueError, match="two cards have the anchor 'event-1'"):
        render_page(a_page(Cards((a_card(), a_card()))))
    with pytest.raises(ValueError, match="an anchor is made of"):
        a_card('x" onclick="')


def paths(svg, slot):
    """Points of every path that is drawn in the colour of a slot."""
    found = re.findall(rf'd="([^"]+)"[^>]*stroke: var\(--series-{slot}\)', svg)
    return [[float(number) for number in re.findall(r"[-\d.]+", one)] for one in found]


def test_a_trace_is_strong_where_it_is_sure_and_its_gaps_are_left():
    y = (9.0, 8.0, 7.0, 6.0, np.nan, np.nan, 3.0, 2.0)
    x = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)
    sure = (False, False, True, True, True, True, True, True)
    trace = Trace("", x, y, sure)
    svg = draw_traces("t", (trace,), Axis("s", (0, 8)), Axis("m", (0, 10))).svg
    weak, strong, lane = paths(svg, 0)
    assert len(weak) == 2 * 3  # two unsure points, and the piece to the first sure one
    assert len(strong) == 2 * 4
    assert len(lane) == 2 * 2
    assert lane[1] == lane[3] < strong[1]  # above all distances: rows count downwards
    assert ">unknown<" in svg
    reaching = draw_traces("t", (trace,), Axis("s", (0, 8)), Axis("m", (0, 19))).svg
    assert ">15<" in reaching
    assert ">20<" not in reaching, "nothing in the lane has a distance"
    straight = Trace("", x[:4], y[:4], sure[:4])
    assert ">unknown<" not in draw_traces("t", (straight,), Axis(""), Axis("", (0, 9))).svg


def test_a_trace_of_one_point_is_seen():
    svg = draw_traces(
        "t", (Trace("", (1.0,), (2.0,), (True,)),), Axis("", (0, 2)), Axis("", (0, 9))
    )
    assert "<use" in svg.svg


def test_a_strip_merges_what_is_alike_and_hatches_what_cannot_be_said():
    shares = np.repeat([[1.0, 0.0, np.nan, 0.5]], 250, axis=1)
    figure = draw_strips("s", np.arange(1001.0), ("5–10",), shares, Axis("s", (0, 1000)))
    assert len(figure.svg) < 12_000  # four rectangles and a pattern
    assert "url(#" in figure.svg
    assert [entry.name for entry in figure.legend][-1] == "cannot be said"
    reader = assert_self_contained(render_page(a_page(figure, figure_of_shares())))
    assert reader.tags.count("svg") == 2


def figure_of_shares():
    shares = np.linspace(0, 1, 12).reshape(2, 6)
    return draw_strips("other", np.arange(7.0), ("a", "b"), shares, Axis(""))


def test_strips_and_traces_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match="1 strips and 1 times"):
        draw_strips("s", (0, 1), ("a",), np.zeros((2, 1)), Axis(""))
    with pytest.raises(ValueError, match="'a' has 1 x, 2 y and 1 states"):
        draw_traces("t", (Trace("a", (0,), (0, 1), (True,)),), Axis(""), Axis("", (0, 1)))
    with pytest.raises(ValueError, match="needs limits"):
        draw_traces("t", (), Axis(""), Axis(""))


def test_names_that_no_file_system_spells_in_utf_8_do_not_stop_a_page(tmp_path):
    save_page(tmp_path / "page.html", a_page(Text("bag_\udcff")))
    assert "bag_?" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_text_in_a_chart_is_never_a_formula():
    svg = draw_lines("$x$", [Series("a", X, X)], Axis("$\\frac{1}{$"), Axis("")).svg
    assert ">$\\frac{1}{$<" in svg


def test_the_reader_of_these_tests_finds_what_would_be_loaded():
    page = render_page(a_page()).replace("</main>", '<img src="https://example.org/x.png"></main>')
    with pytest.raises(AssertionError, match="would load"):
        assert_self_contained(page)
    styled = render_page(a_page()).replace("</style>", "a{background:url(//x.org/y)}</style>")
    with pytest.raises(AssertionError, match="style would load"):
        assert_self_contained(styled)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(blacklist_categories=("Cs", "Cc")), max_size=30))
def test_text_of_any_kind_is_shown_and_never_becomes_markup(text):
    table = Table((text, "n"), (Row((Cell(text, note=text), text)),), caption=text)
    page = Page(text, text, (Fact(text, text),), (Section(text, (table, Text(text))),), text)
    reader = PageReader(render_page(page))
    harmless = PageReader(render_page(Page("x", "x", (Fact("x", "x"),), (
        Section("x", (Table(("x", "n"), (Row((Cell("x", note="x"), "x")),), caption="x"),
                      Text("x"))),), "x")))  # fmt: skip
    if text:
        assert reader.tags == harmless.tags
    assert text.strip() in reader.text


def test_a_chart_takes_the_colours_of_its_page():
    svg = a_figure().svg
    assert "var(--series-0)" in svg
    assert "var(--series-1)" in svg  # slot 9 is the second colour again, dashed
    assert "stroke-dasharray" in svg
    assert re.findall(r"#0[0-9a-f]{5}\b", svg) == []


def test_a_chart_is_well_formed_small_says_what_it_shows_and_is_the_same_every_time():
    svg = a_figure().svg
    root = ElementTree.fromstring(svg)
    assert root.attrib["aria-label"] == "chart of a & <b>"
    assert "http" not in svg
    assert "font-family" not in svg
    assert len(svg) < 40_000
    assert svg == a_figure().svg


def test_a_curve_runs_where_its_points_are():
    rising = draw_lines("up", [Series("a", (0, 1), (0, 1))], Axis("", UNIT), Axis("", UNIT)).svg
    paths = re.findall(r'd="M ([\d.]+) ([\d.]+) L ([\d.]+) ([\d.]+)"[^>]*var\(--series-0\)', rising)
    ((left, bottom, right, top),) = [tuple(map(float, path)) for path in paths]
    assert left < right
    assert bottom > top  # rows of an SVG count downwards


def test_ids_of_two_charts_never_meet():
    ids = [set(re.findall(r' id="([^"]+)"', a_figure(name).svg)) for name in ("a", "b")]
    assert ids[0]
    assert not ids[0] & ids[1]


def test_gaps_are_left_where_nothing_was_measured():
    y = X.copy()
    y[10:20] = np.nan
    svg = draw_lines("gap", [Series("a", X, y)], Axis("x", UNIT), Axis("y", UNIT)).svg
    (path,) = re.findall(r'd="([^"]+)"[^>]*style="fill: none; stroke: var\(--series-0\)', svg)
    assert path.count("M") == 2


def test_histograms_share_bins_and_a_logarithmic_axis():
    heights = np.array([50.0, 0.0, 50.0])
    figure = draw_steps(
        "scores", [0, 1, 2, 3], [("in", 0, heights), ("out", 1, heights[::-1])],
        Axis("score"), Axis("%", (0.001, 100), logarithmic=True),
        marks=(Mark(2.5, None, text="best"),),
    )  # fmt: skip
    assert ">0.001<" in figure.svg
    assert ">100<" in figure.svg
    assert [entry.name for entry in figure.legend] == ["in", "out"]


def test_series_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="'a' has 2 x and 1 y"):
        draw_lines("t", [Series("a", (0, 1), (0,))], Axis(""), Axis(""))


def test_a_row_that_does_not_fit_its_header_is_refused():
    with pytest.raises(ValueError, match="a row of 1 cells under a header of 2"):
        Table(("a", "b"), (Row(("x",)),))


def test_a_picture_that_no_browser_shows_is_refused():
    with pytest.raises(ValueError, match="no PNG, JPEG or WebP"):
        render_page(a_page(Pictures((Picture(b"II*\0", "a tiff", ""),))))


@pytest.mark.parametrize(
    ("missing", "act"),
    [("matplotlib", a_figure), ("jinja2", lambda: render_page(a_page(Text("x"))))],
)
def test_a_missing_extra_is_named_with_the_cure(monkeypatch, missing, act):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'open_set_seg\[report\]'"):
        act()


def test_saving_makes_folders_and_writes_utf_8(tmp_path):
    path = tmp_path / "a" / "b.html"
    save_page(path, a_page(Text("± 3 m")))
    assert "± 3 m" in path.read_text(encoding="utf-8")


def test_markdown_keeps_its_columns_whatever_the_cells_hold():
    lines = markdown(a_table(caption="Title")).splitlines()
    assert lines[0] == "**Title**"
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {2}
    assert rows[1] == [" --- ", " ---: "]
    assert rows[2] == [" **first** ", " **1.5** (1 to 2) "]
    assert rows[4][0] == r" second\|x "
    assert lines[-1] == "a note"


def test_plain_text_aligns_its_columns():
    first, *rest = plain(a_table()).splitlines()
    assert first == "name             value"
    assert rest[0] == "first     1.5 (1 to 2)"
    assert rest[1] == "- a heading"
    assert rest[2] == "second|x             2"
    assert len(first) == len(rest[0]) == len(rest[2])


def test_text_columns_may_stand_last():
    table = Table(("a", "b", "c"), (Row(("x", "10", "y")),), texts=(0, -1))
    assert [table.is_text(place) for place in range(3)] == [True, False, True]
    assert "| --- | ---: | --- |" in markdown(table)

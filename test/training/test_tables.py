"""Tables of evaluations: every figure is the result's own, and says what it is."""

import re

import pytest
from made_results import make_result

from open_set_seg.report.numbers import decimal
from training.presentation.details import component_table, distance_table, frame_table
from training.presentation.recognition import matrix_table
from training.presentation.rules import pools_images, rule_sentences
from training.presentation.runs import groups_of
from training.presentation.tables import (
    comparison_table,
    comparison_tables,
    markdown_table,
    terminal_table,
)
from training.presentation.wording import band_name, percent, score_title


def texts(row):
    return [getattr(cell, "text", cell) for cell in row.cells]


def column(table, name):
    place = table.header.index(name)
    return [row.cells[place] for row in table.rows if row.kind != "group"]


def test_our_figures_stand_first_with_their_intervals_and_the_best_is_marked():
    result = make_result(scores=("jsd", "msp"))
    (group,) = groups_of([result])
    table = comparison_table(group, ())
    assert [row.kind for row in table.rows] == ["ours", "ours"]
    pixels = [result["scores"][score]["pixels"]["whole image"] for score in ("jsd", "msp")]
    for key, heading, better in (("AP", "AP ↑", max), ("FPR95", "FPR95 ↓", min)):
        values = [one[key] for one in pixels]
        cells = column(table, heading)
        assert [cell.text for cell in cells] == [percent(value) for value in values]
        assert [cell.best for cell in cells] == [value == better(values) for value in values]
        low, high = 0.9 * values[0], min(1.0, 1.1 * values[0])
        assert cells[0].note == f"{percent(low)}–{percent(high)}"
    assert any("95 % intervals" in note for note in table.notes)
    assert any("12 images are few" in note for note in table.notes)


def test_a_single_run_is_not_called_the_best():
    (group,) = groups_of([make_result(scores=("jsd",))])
    assert not any(cell.best for cell in comparison_table(group, ()).rows[0].cells[1:])


def test_the_papers_rows_follow_with_a_warning_where_their_split_is_another():
    (group,) = groups_of([make_result()])
    first, ablations = comparison_tables(group)
    methods = [texts(row)[0] for row in first.rows]
    assert methods[:3] == ["JSD", "MSP", "Fishyscapes, test"]
    (nflowjs,) = [row for row in first.rows if texts(row)[0] == "NFlowJS"]
    place = first.header.index("AP ↑")
    assert texts(nflowjs)[place : place + 2] == ["39.4", "9.0"]
    assert texts(nflowjs)[-1] == "NFlowJS 2021 T2, NFlowJS 2024 T2"
    assert any("Ours are of the val split; rows of test" in note for note in first.notes)
    assert "full SynBoost" in [texts(row)[0] for row in ablations.rows]
    (same,) = groups_of([make_result(protocol="bsb_ood", dataset="bsb_ood", split="test")])
    assert not any("Ours are of" in note for note in comparison_tables(same)[0].notes)


def test_deviations_over_repeats_stand_beside_the_mean():
    result = make_result(protocol="wd_pascal", dataset="wd_pascal", intervals=False)
    content = result["scores"]["jsd"]
    content["pixels"]["whole image"]["AP"] = 0.302
    content["deviation"] = {"whole image": {"AP": 0.041}}
    text = markdown_table([result])
    assert "| 30.2 ± 4.1 |" in text.replace("**", "")


def test_what_could_not_be_measured_is_a_dash():
    result = make_result()
    for key in result["scores"]["jsd"]["pixels"]["whole image"]:
        result["scores"]["jsd"]["pixels"]["whole image"][key] = None
    result["scores"]["jsd"]["intervals"] = None
    (group,) = groups_of([result])
    assert texts(comparison_table(group, ()).rows[0])[:4] == ["JSD", "–", "–", "–"]
    assert markdown_table([result])
    assert terminal_table([result])


def test_every_part_of_a_full_result_is_printed():
    result = make_result(
        protocol="simulation", dataset="simulation", components=True, distance=True,
        open_set=True, objects=True, regions=("whole image", "true road"),
    )  # fmt: skip
    for text in (markdown_table([result]), terminal_table([result])):
        for part in ("Unknown pixels in parts of", "true road", "mean F1", "45-50", "both",
                     "Known classes", "pixel accuracy", "Obstacles, exact disparity",
                     "Protocol Simulation: a test; 12 frames, 1 skipped"):  # fmt: skip
            assert part in text


def test_terminal_tables_are_aligned_and_ours_alone():
    text = terminal_table([make_result()])
    assert "NFlowJS" not in text
    rows = [line for line in text.splitlines() if re.match("method|JSD|MSP", line)]
    assert len({len(line) for line in rows}) == 1


def test_runs_are_named_by_what_tells_them_apart():
    def names(*results):
        return [run.name for group in groups_of(results) for run in group.runs]

    one, two = make_result("a"), make_result("b")
    assert names(make_result("a", scores=("max_logit",))) == ["a, max logit"]
    assert names(one) == ["JSD", "MSP"]
    assert names(one, two) == ["a, JSD", "a, MSP", "b, JSD", "b, MSP"]
    only = [make_result(name, scores=("jsd",)) for name in ("a", "b")]
    assert names(*only) == ["a", "b"]
    assert names(only[0], only[0]) == ["JSD (1)", "JSD (2)"]
    assert [run.slot for run in groups_of([one, two])[0].runs] == [0, 1, 2, 3]


def test_results_of_other_frames_are_never_put_side_by_side():
    groups = groups_of([
        make_result(), make_result(split="test"), make_result(dataset="fishyscapes_static"),
        make_result("other"), make_result("fewer", frames=7),
    ])  # fmt: skip
    assert [len(group.runs) for group in groups] == [4, 2, 2, 2]
    assert [group.title for group in groups] == [
        "fishyscapes lost and found (val), 12 frames", "fishyscapes lost and found (test)",
        "fishyscapes static (val)", "fishyscapes lost and found (val), 7 frames",
    ]  # fmt: skip
    renamed = make_result("renamed")
    renamed["scores"]["jsd"]["frames"][0]["id"] = "another"
    assert len(groups_of([make_result(), renamed])) == 2


@pytest.mark.parametrize(
    ("results", "message"),
    [([], "no result"), ([{"format": 2}], "format 1 can be shown, not 2")],
)
def test_what_is_no_result_is_refused(results, message):
    with pytest.raises(ValueError, match=message):
        markdown_table(results)


def test_the_distance_table_sets_ours_beside_the_papers_by_band():
    result = make_result(
        protocol="lost_and_found_distance", dataset="lost_and_found", split="test", distance=True
    )
    (group,) = groups_of([result])
    table = distance_table(group)
    assert table.header[1] == "5-10"
    bands = result["scores"]["jsd"]["distance"]["bands"]
    ours = [texts(row) for row in table.rows if row.kind == "ours"]
    assert ours[0][1:10] == [percent(one["FPR95"]) for one in bands]
    assert ours[2][9] == "–"  # AP of the last band is null
    printed = [texts(row)[1:10] for row in table.rows if texts(row)[0] == "NFlowJS"]
    assert printed == [["0.7", "1.2", "0.8", "1.1", "1.8", "2.7", "3.5", "5.6", "8.8"]]


def test_components_are_counted_beside_their_f1():
    (group,) = groups_of([make_result(components=True)])
    table = component_table(group)
    first = table.rows[0].cells[1]
    assert (first.text, first.note) == ("83.3", "5 / 0 / 2")
    assert texts(table.rows[11]) == ["mean F1", "25.0", "25.0"]


def test_frames_are_listed_from_the_worst_and_those_without_outliers_last():
    result = make_result(scores=("jsd",))
    rows = result["scores"]["jsd"]["frames"]
    rows[3] |= {"AP": None, "FPR95": None, "outliers": 0}
    (group,) = groups_of([result])
    table = frame_table(group.runs[0])
    names = [texts(row)[0] for row in table.rows]
    expected = sorted((r for r in rows if r["AP"] is not None), key=lambda row: row["AP"])
    assert names == [row["id"] for row in expected] + ["0003"]
    assert texts(table.rows[-1])[1:4] == ["–", "–", "0"]


def test_a_confusion_matrix_shows_shares_of_the_true_class():
    table = matrix_table([[3, 1, 0], [0, 0, 0], [1, 1, 98]], ["a", "b", "unknown"], "t")
    assert [texts(row) for row in table.rows] == [
        ["a", "75.0", "25.0", ""], ["b", "", "", ""], ["unknown", "1.0", "1.0", "98.0"],
    ]  # fmt: skip
    assert table.rows[0].cells[1].shade == 0.75


def test_small_words():
    assert percent(None) == percent(float("nan")) == "–"
    assert percent(0.12345, 2) == "12.35"
    assert decimal(-0.5) == "−0.50"
    assert band_name([5.0, 10.0]) == "5-10"
    assert band_name([400, None]) == "from 400"
    assert [score_title(one) for one in ("jsd", "max_logit", "energy")] == [
        "JSD", "max logit", "energy",
    ]  # fmt: skip
    assert score_title("op_ms") == "OP×MS"
    assert score_title("odin:epsilon=0.001:temperature=2+coarse+sml+ground_focus") == (
        "ODIN (epsilon 0.001, temperature 2) + coarse + SML + ground focus"
    )


def test_rules_are_told_for_every_protocol():
    smiyc = " ".join(rule_sentences("smiyc_anomaly"))
    assert "under 500 px are dropped, true ones under 100 px" in smiyc
    assert "TPR >= 95 %" in smiyc
    hazards = " ".join(rule_sentences("streethazards"))
    assert "means over the images" in hazards
    assert "TPR > 95 % on t6" in hazards
    assert "code / 256" in " ".join(rule_sentences("lost_and_found_distance"))
    assert "50 times" in " ".join(rule_sentences("wd_pascal"))
    assert rule_sentences("of a stranger") == []
    assert [pools_images(one) for one in ("streethazards", "fishyscapes", "?")] == [
        True, False, False,
    ]  # fmt: skip

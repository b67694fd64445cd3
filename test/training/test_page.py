"""The evaluation's page: complete, self-contained, and true to its results."""

import cv2
import numpy as np
import pytest
from html_page import assert_self_contained
from made_results import make_result

from training.datasets.frames import LabelledFrame
from training.presentation.page import evaluation_page, write_page
from training.presentation.pictures import OUTLIER_COLOUR, RINGED_PX, frame_picture
from training.presentation.plots import curve_figures
from training.presentation.runs import groups_of
from training.presentation.wording import percent


def titles(results, folders=None):
    page = evaluation_page(results, folders or [None] * len(results))
    return [section.title for section in page.sections]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("result")
    result = make_result(
        "swift<net>", "streethazards", "streethazards", split="test", components=True,
        distance=True, open_set=True, objects=True, regions=("whole image", "true road"),
        folder=folder,
    )  # fmt: skip
    write_page(folder / "report.html", [result], [folder])
    return result, (folder / "report.html").read_text(encoding="utf-8")


def test_a_full_page_loads_nothing_and_holds_every_part(full):
    result, page = full
    reader = assert_self_contained(page)
    for part in ("Results", "Curves", "Scores of inliers and outliers", "Distance", "Components",
                 "Open-set recognition", "Known classes", "Obstacles", "Frames",
                 "Best and worst frames", "Rules of counting", "What it was measured with",
                 "0007: cut off", "swift<net>", "commit", "Confusion, JSD, fold t5"):  # fmt: skip
        assert part in reader.text, part
    pixels = result["scores"]["jsd"]["pixels"]["whole image"]
    assert f"{percent(pixels['AP'])} %" in reader.text
    assert len(reader.fetched) - sum(one.startswith("#") for one in reader.fetched) == 2
    assert len(page) < 600_000


def test_parts_that_were_not_measured_have_no_section():
    assert titles([make_result()]) == [
        "Results", "Curves", "Scores of inliers and outliers", "Known classes", "Frames",
        "Rules of counting", "What it was measured with",
    ]  # fmt: skip


def test_a_result_without_any_figure_still_gives_a_page(tmp_path):
    result = make_result(scores=("jsd",))
    content = result["scores"]["jsd"]
    figures = content["pixels"]["whole image"]
    content |= {"curves": {}, "histogram": {}, "frames": [], "intervals": None}
    content["pixels"]["whole image"] = dict.fromkeys(figures)
    result |= {"closed_set": None, "pictures": [], "notes": ["closed mIoU was not measured"]}
    write_page(tmp_path / "page.html", [result], [None])
    reader = assert_self_contained((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "closed mIoU was not measured." in reader.text


def test_several_data_sets_share_a_page_with_an_overview():
    results = [make_result(), make_result(dataset="fishyscapes_static"), make_result("other")]
    page = evaluation_page(results, [None, None, None])
    assert page.title == "Evaluation"
    overview = page.sections[0].blocks[0]
    assert [row.cells[0] for row in overview.rows] == [
        "swiftnet, JSD", "swiftnet, MSP", "other, JSD", "other, MSP",
    ]  # fmt: skip
    assert len(overview.header) == 1 + 2 * 2
    first = results[0]["scores"]["jsd"]["pixels"]["whole image"]["AP"]
    assert overview.rows[0].cells[1].text == percent(first)
    assert overview.rows[2].cells[3].text == ""  # "other" was not measured on Static


def test_models_of_one_name_are_told_apart_in_the_overview():
    first, other = make_result(scores=("jsd",)), make_result(scores=("jsd",), seed=1)
    elsewhere = make_result(dataset="fishyscapes_static", scores=("jsd",))
    other["model"]["weights_sha256"] = "another"
    overview = evaluation_page([first, other, elsewhere], [None] * 3).sections[0].blocks[0]
    assert [row.cells[0] for row in overview.rows] == ["swiftnet, JSD (1)", "swiftnet, JSD (2)"]
    found = [one["scores"]["jsd"]["pixels"]["whole image"]["AP"] for one in (first, other)]
    assert [row.cells[1].text for row in overview.rows] == [percent(value) for value in found]
    assert overview.rows[0].cells[3].text != ""
    assert overview.rows[1].cells[3].text == ""


def test_facts_are_those_of_the_best_run():
    worse, better = make_result("a", scores=("msp",)), make_result("b", scores=("msp",), seed=1)
    for result, value in ((worse, 0.2), (better, 0.7)):
        result["scores"]["msp"]["pixels"]["whole image"]["AP"] = value
    facts = {one.label: one.value for one in evaluation_page([worse, better], [None] * 2).facts}
    assert facts["best run by AP"] == "b"
    assert facts["AP"] == "70.0 %"


def test_points_on_the_curve_only_where_the_figure_lies_on_it():
    (pooled,) = groups_of([make_result(scores=("jsd",))])
    (by_image,) = groups_of([make_result(scores=("jsd",), protocol="streethazards")])
    on_curve, off = (curve_figures(group, "whole image") for group in (pooled, by_image))
    assert "FPR95 by the protocol's rule" in on_curve.figures[1].caption
    assert "means over images" in off.figures[1].caption
    assert on_curve.figures[1].svg.count("<use") == off.figures[1].svg.count("<use") + 1


def test_pictures_that_are_gone_are_left_out(tmp_path):
    result = make_result(folder=tmp_path)
    (tmp_path / result["pictures"][0]["file"]).unlink()
    page = evaluation_page([result], [tmp_path])
    (section,) = [one for one in page.sections if one.title == "Best and worst frames"]
    assert len(section.blocks[1].pictures) == 1


def test_as_many_folders_as_results_are_wanted():
    with pytest.raises(ValueError, match="1 results but 2 folders"):
        evaluation_page([make_result()], [None, None])


def frame(**changes):
    image = np.full((40, 80, 3), (90, 100, 110), np.uint8)
    outliers = np.zeros((40, 80), np.uint8)
    outliers[5:25, 5:25] = 1
    outliers[30:] = 255
    return LabelledFrame(**{"id": "f", "image": image, "outliers": outliers, **changes})


def panels_of(picture, width=80):
    middle = picture.shape[1] // 2
    return picture[:, :width], picture[:, middle - width // 2 :][:, :width], picture[:, -width:]


def test_a_picture_shows_input_truth_and_score_side_by_side():
    scores = np.zeros((40, 80))
    scores[:, 40:] = 1
    given, truth, heat = panels_of(frame_picture(frame(), scores, (0, 1)))
    assert (given == frame().image).all()
    assert tuple(truth[5, 5]) == OUTLIER_COLOUR  # the outline
    assert truth[15, 15, 0] > 180 > 80 > truth[15, 15, 2]  # inside, mixed with the image
    assert (truth[27] == truth[27, 0, 0]).all()  # inliers are grey
    assert (truth[35].astype(int) < truth[27].astype(int) / 3).all()  # ignored pixels are dark
    assert heat[:, :40].astype(int).sum() < heat[:, 40:].astype(int).sum() / 10


def test_small_outliers_are_ringed_where_the_eye_looks_for_them():
    plain, ringed = frame(), frame()
    ringed.outliers[12:14, 60:62] = 1
    scores = np.zeros((40, 80))
    before, after = (panels_of(frame_picture(one, scores, (0, 1))) for one in (plain, ringed))
    changed = [
        np.argwhere((one != two).any(axis=2)) for one, two in zip(before, after, strict=True)
    ]
    assert len(changed[0]) == 0
    for panel in changed[1:]:
        distance = np.hypot(panel[:, 0] - 12.5, panel[:, 1] - 60.5)
        assert distance.max() == pytest.approx(RINGED_PX, abs=2)
        on_ring = distance > RINGED_PX - 2.5
        assert on_ring.sum() > 40
    assert len(changed[2]) == on_ring.sum()  # nothing but the ring hides the score
    crowd = frame()
    crowd.outliers[:30:3, ::3] = 1
    assert (panels_of(frame_picture(crowd, scores, (0, 1)))[2] == before[2]).all()


def test_a_colour_means_the_same_score_in_every_picture():
    low = frame_picture(frame(), np.full((40, 80), 0.3), (0, 1))
    mixed = np.full((40, 80), 0.3)
    mixed[0, 0] = 1
    assert (low[10, -5] == frame_picture(frame(), mixed, (0, 1))[10, -5]).all()


def test_large_frames_are_reduced_and_hidden_truth_has_no_panel():
    image = np.zeros((300, 1200, 3), np.uint8)
    big = frame(image=image, outliers=np.zeros((300, 1200), np.uint8))
    scores = np.zeros((300, 1200), np.float16)
    wide = frame_picture(big, scores, (0, 1), panel_width=100)
    assert wide.shape[0] == 25
    assert 300 <= wide.shape[1] < 330
    hidden = frame_picture(frame(image=image, outliers=None), scores, (0, 1), panel_width=100)
    assert 200 <= hidden.shape[1] < 220
    assert cv2.imencode(".jpg", wide)[0]


@pytest.mark.parametrize(
    ("scores", "limits", "message"),
    [
        (np.zeros((40, 79)), (0, 1), r"scores of \(40, 79\) for an image of \(40, 80\)"),
        (np.zeros((40, 80)), (1, 1), "from a lower to a higher number"),
        (np.zeros((40, 80)), (0, np.inf), "from a lower to a higher number"),
    ],
)
def test_pictures_of_what_does_not_fit_are_refused(scores, limits, message):
    with pytest.raises(ValueError, match=message):
        frame_picture(frame(), scores, limits)

"""From a labelled recording to its page: the figures are those of an independent count."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from drive_bags import config_of, silent
from html_page import assert_self_contained
from sklearn.metrics import average_precision_score, roc_curve
from stereo_trees import render, train_ids, write_lost_and_found
from untrained import save_untrained

from open_set_seg import cli
from open_set_seg.bags import read_frames
from open_set_seg.bags.conversion import ConversionConfig, convert, open_lost_and_found
from open_set_seg.detector import ObstacleDetector
from open_set_seg.observer import ObserverConfig
from open_set_seg.processing import Network, Task, process_recording, read_records
from open_set_seg.tracking import TrackingConfig


@pytest.fixture(scope="module")
def stills():
    return render(3)


@pytest.fixture(scope="module")
def recording(tmp_path_factory, stills):
    root = write_lost_and_found(tmp_path_factory.mktemp("tree"), stills)
    bag = tmp_path_factory.mktemp("bags") / "labelled"
    convert(open_lost_and_found(root, "test"), bag, ConversionConfig(17.0))
    return bag


@pytest.fixture(scope="module")
def network_file(tmp_path_factory, stills):
    return save_untrained(tmp_path_factory.mktemp("model") / "model.safetensors", stills[0].left)


def process(bag, folder, model, **changes):
    # One sighting confirms: the scenes have nothing to do with each other.
    observer = ObserverConfig(tracking=TrackingConfig(confirm_hits=1))
    given = {"codec": None, "outputs": (), "parquet": False, "observer": observer, **changes}
    config = config_of(model, **given)
    process_recording(Task(bag, folder, config.describe(), "f"), Network.load(config), silent)
    return folder


@pytest.fixture(scope="module")
def output(tmp_path_factory, recording, network_file):
    folder = tmp_path_factory.mktemp("output")
    process(recording, folder / "labelled", network_file)
    return folder


@pytest.fixture(scope="module")
def judged(recording, network_file, stills):
    """Scores and labels of all judged pixels, without this package's processing and metrics."""
    detector = ObstacleDetector.from_checkpoint(network_file, device="cpu", backend="pytorch")
    frames = list(read_frames(recording))
    scores = [detector.process(frame).prediction.anomaly for frame in frames]
    codes = [train_ids(still) for still in stills]
    kept = [code != 255 for code in codes]
    score = np.concatenate([one[keep] for one, keep in zip(scores, kept, strict=True)])
    label = np.concatenate([one[keep] == 2 for one, keep in zip(codes, kept, strict=True)])
    return label, score


def test_figures_are_those_of_scikit_learn_on_the_same_pixels(output, judged):
    label, score = judged
    pixels = json.loads((output / "labelled" / "ground_truth.json").read_text())["pixels"]
    assert pixels["AP"] == pytest.approx(average_precision_score(label, score), abs=1e-12)
    false, true, _ = roc_curve(label, score, drop_intermediate=False)
    assert pixels["FPR95"] == pytest.approx(false[np.argmax(true >= 0.95)], abs=1e-12)
    page = (output / "labelled" / "report.html").read_text(encoding="utf-8")
    text = assert_self_contained(page).text
    assert f"{100 * average_precision_score(label, score):.1f} %" in text
    assert "Judged: 3 frames of 3 label images (codes: lost_and_found labelTrainIds)." in text


def test_records_carry_the_judgement_of_their_frame(output, stills):
    records = list(read_records(output / "labelled"))
    content = json.loads((output / "labelled" / "ground_truth.json").read_text())
    known = [np.count_nonzero(train_ids(still) == 1) for still in stills]
    assert [record.truth["known_px"] for record in records] == known
    listed = content["objects"]["listed"]
    # Objects without range lie in no band, and larger ones than fit a band in none either.
    sizes = sum(one["objects"] for one in listed["sizes"])
    assert sum(record.truth["objects"] for record in records) == sizes
    false = sum(record.truth["false_listed"] for record in records)
    assert listed["false_per_frame"] == pytest.approx(false / len(records))


def test_every_confirmed_obstacle_is_on_the_page(output):
    records = list(read_records(output / "labelled"))
    confirmed = {o.id for r in records for o in r.obstacles if o.state == "confirmed"}
    assert confirmed
    reader = assert_self_contained((output / "labelled" / "report.html").read_text("utf-8"))
    cards = {int(one.removeprefix("obstacle-")) for one in reader.ids if one[:9] == "obstacle-"}
    assert cards == confirmed
    assert reader.tags.count("img") == 2 * len(confirmed)


def test_pages_are_made_again_from_the_files_alone(output, capsys):
    page = output / "labelled" / "report.html"
    before = page.read_bytes()
    page.unlink()
    assert cli.main(["bag", "report", str(output)]) == 0
    assert page.read_bytes() == before
    index = (output / "index.html").read_text(encoding="utf-8")
    assert re.search(r'href="\./labelled/report\.html"', index)
    page.unlink()
    assert cli.main(["bag", "report", str(output / "labelled")]) == 0
    assert page.read_bytes() == before
    assert str(page) in capsys.readouterr().out


def test_what_is_no_processed_recording_is_refused_and_what_is_damaged_named(tmp_path, capsys):
    assert cli.main(["bag", "report", str(tmp_path)]) == 2
    assert "holds no processed recording" in capsys.readouterr().err
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{}")
    assert cli.main(["bag", "report", str(tmp_path)]) == 1
    assert "broken" in capsys.readouterr().err
    assert "no report" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_recording_may_go_without_a_page(tmp_path, recording, network_file):
    folder = process(recording, tmp_path / "bare", network_file, report=False)
    made = {path.name for path in folder.iterdir()}
    assert not made & {"report.html", "thumbnails", "summary.json"}
    assert "ground_truth.json" in made

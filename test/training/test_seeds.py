"""Comparisons over training seeds: hand-made figures with known differences."""

import json

import numpy as np
import pytest
from html_page import assert_self_contained
from made_results import make_result
from test_differences import keep

from training.compare import main
from training.presentation.seeds import (
    arm_difference_table,
    collect_arms,
    mean_table,
    seed_intervals,
)


def store(folder, average_precision, shift=None, **options):
    folder.mkdir(parents=True)
    result = make_result("net", scores=("jsd",), **options)
    result["scores"]["jsd"]["pixels"]["whole image"]["AP"] = average_precision
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    if shift is not None:
        keep(folder, shift)
    return folder


@pytest.fixture
def arms(tmp_path):
    """Six seeds each; the second arm is better by 0.03 to 0.05 in every one of them."""
    plain = [store(tmp_path / f"plain{i}", 0.2 + 0.1 * (i % 3)) for i in range(6)]
    better = [
        store(tmp_path / f"better{i}", 0.23 + 0.1 * (i % 3) + 0.02 * (i % 2)) for i in range(6)
    ]
    return collect_arms({"plain": plain, "better": better})


def test_means_and_deviations_over_seeds(arms):
    table = mean_table(arms)
    first = dict(zip(table.header, table.rows[0].cells, strict=True))
    assert first["seeds"] == "6"
    assert first["AP ↑"].text == f"30.0 ± {100 * np.std([0.2, 0.3, 0.4] * 2, ddof=1):.1f}"


def test_paired_differences_with_sign_flip_and_holm(arms):
    table = arm_difference_table(arms)
    rows = {row.cells[1]: row.cells[2:] for row in table.rows}
    difference, p, corrected = rows["AP ↑"]
    assert difference.text == "+4.0"
    assert p == "0.0312"  # all six of one sign: 2 / 2^6
    # The other figures are equal in both arms; AP has the smallest p of all tests.
    assert corrected == f"{min(1.0, len(rows) * 2 / 64):.4f}"
    assert all(row[1] == "1.0000" for name, row in rows.items() if name != "AP ↑")


def test_intervals_draw_seeds_and_images(tmp_path):
    places = {
        name: [store(tmp_path / f"{name}{i}", 0.3, shift + 0.01 * i) for i in range(3)]
        for name, shift in (("one", 0.0), ("two", 0.1))
    }
    one, two = collect_arms(places)
    mean, gain = seed_intervals(one)["AP"], seed_intervals(two, one)["AP"]
    assert mean.low < mean.estimate < mean.high
    assert 0 < gain.low < gain.estimate < gain.high
    # What the images share cancels in the difference.
    assert gain.high - gain.low < mean.high - mean.low
    assert seed_intervals(one, one)["AP"].high == 0


def test_seeds_of_other_frames_or_unnamed_arms_are_refused(tmp_path, capsys):
    first = store(tmp_path / "a", 0.3)
    other = store(tmp_path / "b", 0.3, dataset="road_anomaly", protocol="road_anomaly")
    with pytest.raises(ValueError, match="the same frames"):
        collect_arms({"x": [first], "y": [other]})
    for wrong in (["--seeds", "x"], ["--seeds", "x", str(first), "--seeds", "x", str(first)]):
        with pytest.raises(SystemExit):
            main([*wrong, "--output", str(tmp_path / "page.html")])
        assert "--seeds takes a name" in capsys.readouterr().err


def test_the_command_puts_seeds_on_the_page(tmp_path, capsys):
    places = [str(store(tmp_path / f"a{i}", 0.3 + 0.01 * i)) for i in range(2)]
    page = tmp_path / "page.html"
    assert main(["--seeds", "arm", *places, "--output", str(page)]) == 0
    reader = assert_self_contained(page.read_text(encoding="utf-8"))
    assert "Means over seeds" in reader.text
    assert "Means over seeds" in capsys.readouterr().out

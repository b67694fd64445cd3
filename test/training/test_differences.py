"""Paired differences: both runs on the same draws, so what they share cancels."""

import numpy as np
import pytest
from made_results import make_result

from open_set_seg.metrics import ImageCounts
from open_set_seg.metrics.bootstrap import image_intervals
from open_set_seg.metrics.image_confusions import ImageConfusions
from training.presentation.differences import difference_table, paired_differences
from training.presentation.runs import groups_of


def keep(folder, shift, name="jsd", images=40, seed=3):
    """Counts of images of very different difficulty, one run a little better by ``shift``."""
    generator = np.random.default_rng(seed)
    counts = ImageCounts()
    for index in range(images):
        labels = (generator.random((20, 20)) < 0.1).astype(np.uint8)
        noise = generator.random(labels.shape).astype(np.float32)
        gain = generator.uniform(0.0, 0.6)
        counts.add(f"{index:03d}", (noise + (gain + shift) * labels).astype(np.float32), labels)
    place = folder / "counts" / f"images-{name}-whole_image"
    place.mkdir(parents=True)
    counts.save(place)
    return counts


@pytest.fixture
def pair(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    counts = [keep(folder, shift) for folder, shift in zip(folders, (0.0, 0.05), strict=True)]
    results = [make_result(name, scores=("jsd",)) for name in ("one", "two")]
    (group,) = groups_of(results, folders)
    return group, counts


def test_a_small_steady_gain_is_told_from_a_large_spread_between_images(pair):
    group, (first, second) = pair
    found = paired_differences(group.runs[1], group.runs[0])["AP"]
    single = image_intervals(first.statistics, 40)["AP"]
    ones = np.ones((1, 40), np.int64)
    gain = second.statistics(ones)["AP"][0] - first.statistics(ones)["AP"][0]
    assert found.estimate == pytest.approx(gain)
    assert 0 < found.low < found.estimate < found.high
    assert found.high - found.low < 0.3 * (single.high - single.low)
    assert single.low < first.statistics(ones)["AP"][0] + gain < single.high


def test_a_run_does_not_differ_from_itself(pair):
    group, _ = pair
    found = paired_differences(group.runs[0], group.runs[0])
    assert set(found) == {"AP", "FPR95", "AUROC", "best_F1"}
    assert all((one.estimate, one.low, one.high) == (0, 0, 0) for one in found.values())


def test_the_table_marks_what_excludes_zero(pair):
    group, _ = pair
    table = difference_table(group)
    (row,) = table.rows
    cells = dict(zip(table.header[1:], row.cells[1:], strict=True))
    assert cells["AP ↑"].best
    assert cells["AP ↑"].text.startswith("+")
    assert cells["FPR95 ↓"].text.startswith("\N{MINUS SIGN}")


def test_without_kept_counts_or_with_other_images_nothing_is_compared(tmp_path, pair):
    group, _ = pair
    assert paired_differences(groups_of([make_result()])[0].runs[0], group.runs[0]) == {}
    other = tmp_path / "other"
    keep(other, 0.0, images=39)
    (fewer,) = groups_of([make_result("other")], [other])
    assert paired_differences(fewer.runs[0], group.runs[0]) == {}
    assert difference_table(groups_of([make_result(), make_result("b")])[0]) is None


def test_known_classes_are_compared_between_models_but_not_between_scores_of_one(tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    truth = np.arange(48).reshape(6, 8).astype(np.uint8) % 4
    for folder, wrong in zip(folders, (3, 1), strict=True):
        confusions = ImageConfusions(4)
        for image in range(5):
            guess = truth.copy()
            guess[image % 6, :wrong] = (guess[image % 6, :wrong] + 1) % 4
            confusions.add(str(image), truth, guess)
        (folder / "counts" / "closed_set").mkdir(parents=True)
        confusions.save(folder / "counts" / "closed_set")
    results = [make_result(name, scores=("jsd", "msp")) for name in ("one", "two")]
    (group,) = groups_of(results, folders)
    one, other_score, two, _ = group.runs
    better = paired_differences(two, one)
    assert list(better) == ["closed_mIoU"]
    assert 0 < better["closed_mIoU"].low <= better["closed_mIoU"].estimate
    assert paired_differences(other_score, one) == {}

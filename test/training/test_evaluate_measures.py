"""What an evaluation measures: its memory, and score maps that are out of the ordinary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from open_set_seg.label_spaces import STREETHAZARDS, LabelSpace
from open_set_seg.metrics import PROTOCOLS
from training.datasets.frames import LabelledFrame
from training.evaluation.passes import Pace
from training.evaluation.plans import MEMORY, Plan, first_measures
from training.evaluation.runner import Evaluation
from training.ranks import Ranks
from training.sources import Answer


@dataclass(frozen=True)
class MadeScores:
    """Answers every frame with ``make(frame)``."""

    make: Callable[[LabelledFrame], np.ndarray] = lambda frame: np.zeros((1, 1))
    scores: tuple[str, ...] = ("made",)
    label_space: LabelSpace | None = None
    name: str = "made"
    kind: str = "stored"
    device: str = "none"
    remembered: bool = True
    has_threshold: bool = False

    @property
    def identity(self):
        return {}

    def answer(self, frame):
        return Answer({name: self.make(frame) for name in self.scores})


class Truth:
    """Two frames of 12 x 20 pixels with an outlier of 4 x 5."""

    name, label_space, ids = "made", None, ("a", "b")

    @staticmethod
    def load(index):
        outliers = np.zeros((12, 20), np.uint8)
        outliers[4:8, 5:10] = 1
        image = np.zeros((12, 20, 3), np.uint8)
        return LabelledFrame(Truth.ids[index], image, None, outliers)


def plan_of(protocol, bootstrap=0):
    rules = PROTOCOLS[protocol]
    name = rules.datasets[0]
    return Plan(protocol, rules, name, name, "test", lambda run: Truth(), bootstrap=bootstrap)


def figures_of(make, folder, bootstrap=0):
    source, pace = MadeScores(make), Pace(workers=0, progress=False)
    plan = plan_of("road_anomaly", bootstrap)
    result = Evaluation(source, plan, folder, Ranks(), pace, pictures=0).run()
    return result["scores"]["made"]


@pytest.mark.parametrize("protocol", [name for name, one in PROTOCOLS.items() if one.regions])
def test_all_counts_of_a_look_share_one_bound_of_memory(protocol):
    source = MadeScores(scores=tuple("abcde"), label_space=STREETHAZARDS)
    measures = first_measures(plan_of(protocol), source, STREETHAZARDS)
    shares = [measure.memory for measure in measures if hasattr(measure, "memory")]
    assert len(shares) >= 5
    assert 0.9 * MEMORY < sum(shares) <= MEMORY


def test_scores_of_a_few_neighbouring_numbers_have_a_histogram(tmp_path):
    low, high = 0.3, np.nextafter(np.nextafter(0.3, 1), 1)
    found = figures_of(lambda frame: np.where(frame.outliers == 1, high, low), tmp_path)
    histogram = found["histogram"]["whole image"]
    assert sum(histogram["outliers"]) == 2 * 20
    assert sum(histogram["inliers"]) == 2 * (12 * 20 - 20)
    assert histogram["edges"][0] == low
    assert histogram["edges"][-1] == high
    assert found["pixels"]["whole image"]["AP"] == 1


def test_an_infinite_threshold_does_not_cost_the_intervals(tmp_path):
    def certain(frame):
        return np.where(frame.outliers == 1, np.inf, 0).astype(np.float32)

    found = figures_of(certain, tmp_path, bootstrap=5)
    assert found["pixels"]["whole image"]["best_F1_threshold"] is None
    interval = found["intervals"]["whole image"]["AP"]
    assert (interval["low"], interval["high"], interval["resamples"]) == (1, 1, 5)

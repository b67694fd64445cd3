"""Max-logits against a loop over the scenes and scikit-learn."""

import numpy as np
import torch
from made_figures import UNKNOWN, UNLABELLED, Linear, make_scenes, open_picture
from sklearn.metrics import average_precision_score, roc_auc_score
from torch.nn import functional

from training.figures.logit_histograms import draw_logit_histograms, max_logits


@torch.no_grad()
def slow_max_logits(network, scenes):
    known, unknown = [], []
    for scene in scenes:
        image = torch.from_numpy(scene.image).permute(2, 0, 1).unsqueeze(0).float()
        logits = network(image).logits
        full = functional.interpolate(logits, scene.labels.shape, mode="bilinear")
        highest = full[0].amax(dim=0).numpy()
        unknown.append(highest[scene.labels == UNKNOWN])
        known.append(highest[(scene.labels != UNKNOWN) & (scene.labels != UNLABELLED)])
    return np.concatenate(known), np.concatenate(unknown)


def test_max_logits_are_those_of_upsampled_logits():
    network, scenes = Linear(), make_scenes()
    found = max_logits(network, scenes)
    known, unknown = slow_max_logits(network, scenes)
    np.testing.assert_allclose(np.sort(found.known), np.sort(known), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.sort(found.unknown), np.sort(unknown), rtol=1e-5, atol=1e-5)
    truth = np.repeat([0, 1], [found.known.size, found.unknown.size])
    scores = -np.concatenate([found.known, found.unknown])
    assert abs(found.auroc - roc_auc_score(truth, scores)) < 1e-9
    assert abs(found.average_precision - average_precision_score(truth, scores)) < 1e-9
    assert 0.02 < found.auroc < 0.98  # both tests above could fail


def test_networks_are_drawn_on_one_axis():
    found = max_logits(Linear(), make_scenes())
    one, two = (
        open_picture(draw_logit_histograms(dict.fromkeys(titles, found)))
        for titles in (["before"], ["before", "after"])
    )
    assert two.shape[1] > 1.5 * one.shape[1]

"""Gradient checkpointing: the same values, gradients and running statistics."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from open_set_seg.models import LadderDenseNet
from open_set_seg.models.recomputation import call_recomputed


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(1)
    model = LadderDenseNet(5, width=0.125, outlier_head=True)
    randomise(model)
    return model.eval()


def randomise(model):
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.uniform_(0.5, 1.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.uniform_(-0.5, 0.5)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_recomputation_changes_no_value_gradient_or_statistic(small, training):
    plain = copy.deepcopy(small).double().train(training)
    saving = copy.deepcopy(plain)
    saving.gradient_checkpointing = True
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        image = torch.rand(2, 3, 64, 96, generator=generator, dtype=torch.float64) * 255
        for model in (plain, saving):
            model.zero_grad()
        expected, found = plain(image), saving(image)
        for output in (expected, found):
            (output.logits.square().mean() + output.outlier_logits.logsumexp(1).mean()).backward()
        for one, two in zip(expected, found, strict=True):
            torch.testing.assert_close(two, one, rtol=1e-12, atol=1e-12)
        gradients = {n: p.grad for n, p in saving.named_parameters() if p.grad is not None}
        for name, parameter in plain.named_parameters():
            if parameter.grad is not None:
                torch.testing.assert_close(
                    gradients[name], parameter.grad, rtol=1e-9, atol=1e-12, msg=name
                )
    state = saving.state_dict()
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-12, atol=1e-12, msg=name)
    counter = "backbone.features.denseblock3.denselayer5.norm2.num_batches_tracked"
    assert state[counter] == (2 if training else 0)


def test_layers_transitions_and_units_are_computed_again_only_for_gradients(small):
    model = copy.deepcopy(small)
    model.gradient_checkpointing = True
    calls = {}
    watched = {
        "layer": model.backbone.features["denseblock4"]["denselayer16"],
        "transition": model.backbone.features["transition2"],
        "level": model.spp.spp.spp["spp3"],
        "lateral": model.upsample.upsample_layers["upsample_2"].bottleneck,
        "blend": model.upsample.upsample_layers["upsample_0"].blend_conv,
        "classifier": model.logits,
        "outliers": model.logits_ood,
    }
    for name, module in watched.items():
        # Before the call: a recomputation ends as soon as it has what the gradients need.
        module.register_forward_pre_hook(
            lambda *_, name=name: calls.update({name: calls.get(name, 0) + 1})
        )
    image = torch.rand(1, 3, 32, 64) * 255
    with torch.no_grad():
        model(image)
    assert set(calls.values()) == {1}
    calls.clear()
    output = model(image)
    (output.logits.sum() + output.outlier_logits.sum()).backward()
    assert calls == dict.fromkeys(watched, 2)


def test_recomputation_without_statistics_and_after_an_error():
    bare = nn.Sequential(nn.BatchNorm2d(2, track_running_stats=False), nn.Conv2d(2, 2, 1))
    x = torch.rand(2, 2, 4, 4, requires_grad=True)
    call_recomputed(bare, x).sum().backward()
    assert bare[0].track_running_stats is False

    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(2)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("out of memory")
            return self.norm(x).square()

    fails = Fails()
    loss = call_recomputed(fails, x).sum()
    statistics = dict(fails.norm.named_buffers())
    with pytest.raises(RuntimeError, match="out of memory"):
        loss.backward()
    assert all(t is statistics[n] for n, t in fails.norm.named_buffers())

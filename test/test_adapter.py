"""The adapter: a network of another make says through it what it says by hand."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.head import reference_head
from open_set_seg.interventions import Odin
from open_set_seg.label_spaces import UNKNOWN_COLOUR, LabelSpace, choose_colours
from open_set_seg.models import AdapterError, LogitsAdapter
from open_set_seg.models.adapter import find_logits
from open_set_seg.scoring import ScoringError
from open_set_seg.segmenter import OpenSetSegmenter

CLASSES = 5
SPACE = LabelSpace.of_classes("five", ["a", "b", "c", "d", "e"], ["a"])
RAW = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "scale": 1.0}


class Patches(nn.Module):
    """Logits of stride ``stride`` in a form of choice; refuses sides that are no multiple."""

    def __init__(self, stride=4, multiple=1, form=lambda logits: logits):
        super().__init__()
        torch.manual_seed(7)
        self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="replicate")
        self.last = nn.Conv2d(8, CLASSES, stride, stride=stride)
        self.multiple = multiple
        self.form = form

    def forward(self, image):
        if image.shape[2] % self.multiple or image.shape[3] % self.multiple:
            raise RuntimeError(f"a report of two lines\nsides must be divisible by {self.multiple}")
        return self.form(3 * self.last(torch.tanh(self.first(image))))


class Columns(nn.Module):
    """Says of every cell in which column of the image it lies."""

    def __init__(self, stride):
        super().__init__()
        self.stride = stride

    def forward(self, image):
        columns = functional.avg_pool2d(image[:, :1], self.stride)
        return torch.cat([columns, -columns], dim=1)


def images(height=24, width=36, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, height, width), generator=generator).float()


FORMS = {
    "tensor": lambda logits: logits,
    "tuple": lambda logits: (logits, logits * 0),
    "list": lambda logits: [logits],
    "torchvision": lambda logits: OrderedDict(out=logits, aux=logits * 0),
    "mapping": lambda logits: {"loss": None, "logits": logits},
    "transformers": lambda logits: SimpleNamespace(loss=None, logits=logits),
    "attribute": lambda logits: SimpleNamespace(out=logits),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_those_of_the_network_by_hand(form):
    network = Patches(form=FORMS[form])
    mean, std, scale = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7), 1 / 128
    rgb = images(batch=2)
    output = LogitsAdapter(network, CLASSES, mean, std, scale)(rgb)
    normalised = rgb.numpy() / 128.0 - np.reshape(mean, (3, 1, 1))
    normalised = torch.from_numpy(normalised / np.reshape(std, (3, 1, 1))).float()
    expected = find_logits(network(normalised))
    torch.testing.assert_close(output.logits, expected, rtol=0, atol=1e-5)
    assert output.outlier_logits is None
    assert output.features is None


def test_mean_and_std_follow_the_order_of_the_channels():
    network, rgb = Patches(), images()
    mean, std = (104.0, 117.0, 123.0), (1.0, 2.0, 3.0)
    found = LogitsAdapter(network, CLASSES, mean, std, 1.0, channel_order="bgr")(rgb)
    swapped = torch.stack(
        [(rgb[:, 2] - 104.0), (rgb[:, 1] - 117.0) / 2, (rgb[:, 0] - 123.0) / 3], dim=1
    )
    torch.testing.assert_close(found.logits, network(swapped), rtol=0, atol=1e-4)


def test_the_defaults_are_the_normalisation_of_imagenet():
    network, rgb = Patches(), images()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = network((rgb / 255 - mean) / std)
    torch.testing.assert_close(LogitsAdapter(network, CLASSES)(rgb).logits, expected)


SIDES = st.integers(1, 50)


@given(height=SIDES, width=SIDES, stride=st.sampled_from([1, 2, 4]), groups=st.integers(1, 4))
def test_padding_and_cutting_are_exact(height, width, stride, groups):
    multiple = groups * stride
    network = Patches(stride, multiple)
    rgb = images(height, width)
    found = LogitsAdapter(network, CLASSES, **RAW, input_multiple=multiple)(rgb).logits
    below, right = -height % multiple, -width % multiple
    edges = ((0, 0), (0, 0), (0, below), (0, right))
    padded = torch.from_numpy(np.pad(rgb.numpy(), edges, mode="edge"))
    whole = network(padded)
    if height % stride == width % stride == 0 or not (below or right):
        expected = whole[..., : -(-height // stride), : -(-width // stride)]
    else:
        size = padded.shape[2:]
        whole = functional.interpolate(whole, size, mode="bilinear", align_corners=False)
        expected = whole[..., :height, :width]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_what_needs_no_padding_is_not_touched():
    network = Patches(4, 12)
    rgb = images(24, 36)
    found = LogitsAdapter(network, CLASSES, **RAW, input_multiple=12)(rgb).logits
    assert torch.equal(found, network(rgb))


@pytest.mark.parametrize("width", [64, 65, 70, 83, 95])
@pytest.mark.parametrize("stride", [1, 2, 4, 8])
def test_pixels_stay_in_their_places(width, stride):
    columns = torch.arange(width, dtype=torch.float32)
    rgb = columns.expand(1, 3, 32, width).contiguous()
    adapter = LogitsAdapter(Columns(stride), 2, **RAW, input_multiple=32)
    logits = adapter(rgb).logits
    full = functional.interpolate(logits, (32, width), mode="bilinear", align_corners=False)
    # Away from the borders, where the last column was repeated, a ramp is a ramp.
    inner = slice(stride, width - 2 * stride)
    torch.testing.assert_close(full[0, 0, 10, inner], columns[inner], rtol=0, atol=1e-3)


def test_images_are_resized_to_the_only_size_a_network_takes():
    network = Patches(4, 16)
    rgb = images(50, 70)
    found = LogitsAdapter(network, CLASSES, **RAW, input_size=(32, 48))(rgb).logits
    resized = functional.interpolate(rgb, (32, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, network(resized), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mean": (1.0, 2.0)}, "three numbers for mean"),
        ({"mean": (1.0, 2.0, float("nan"))}, "three numbers for mean"),
        ({"std": (1.0, 0.0, 1.0)}, "positive numbers for std"),
        ({"scale": 0.0}, "a positive scale, found 0"),
        ({"channel_order": "rbg"}, "channel_order rgb or bgr, found rbg"),
        ({"input_size": (0, 5)}, r"input_size \(h, w\)"),
        ({"input_multiple": 0}, "a positive input_multiple"),
        ({"input_multiple": 8, "input_size": (8, 8)}, "input_size or input_multiple, found both"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments, message):
    with pytest.raises(AdapterError, match=message):
        LogitsAdapter(Patches(), CLASSES, **arguments)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (lambda z: {"masks": z}, "found a dict with the keys masks"),
        (lambda z: {}, "found a dict with the keys none"),
        (lambda z: (), "found a tuple"),
        (lambda z: "logits", "found a str"),
        (lambda z: SimpleNamespace(logits=None), "found a SimpleNamespace"),
        (lambda z: z[:, :3], r"logits of shape \(1, 5, h, w\), found \(1, 3, 6, 9\)"),
        (lambda z: z.argmax(1), r"logits of shape \(1, 5, h, w\), found \(1, 6, 9\)"),
    ],
)
def test_what_is_no_logits_is_refused_in_one_line(form, message):
    with pytest.raises(AdapterError, match=message) as caught:
        LogitsAdapter(Patches(form=form), CLASSES)(images())
    assert "\n" not in str(caught.value)


def test_a_network_that_fails_says_why_in_one_line():
    with pytest.raises(AdapterError) as caught:
        LogitsAdapter(Patches(4, 32), CLASSES)(images(24, 36))
    assert str(caught.value) == (
        "the network fails on an image of shape (1, 3, 24, 36): sides must be divisible by 32"
    )


def loss_of_odin(adapter, image, temperature=1.0):
    full = functional.interpolate(
        adapter(image).logits, image.shape[2:], mode="bilinear", align_corners=False
    )
    return -torch.log_softmax(full / temperature, dim=1).amax(dim=1).mean()


@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_odin_steps_along_the_finite_differences(size):
    adapter = LogitsAdapter(Patches(4, 4), CLASSES, channel_order="bgr", input_multiple=4).double()
    image = images(*size).double()
    width = 1e-4
    slope = torch.zeros_like(image)
    with torch.no_grad():
        for index in range(image.numel()):
            shift = torch.zeros_like(image)
            shift.view(-1)[index] = width
            ahead, behind = (
                loss_of_odin(adapter, image + shift),
                loss_of_odin(adapter, image - shift),
            )
            slope.view(-1)[index] = (ahead - behind) / (2 * width)
        assert (slope != 0).all()
        epsilon = 0.002
        expected = adapter(image - 255 * epsilon * slope.sign()).logits
        plain = adapter(image)
        found = Odin(epsilon).apply(adapter, image, plain, None).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
    assert not torch.allclose(found, plain.logits, atol=1e-3)


def segmenter_of(network, **arguments):
    adapter = LogitsAdapter(network, CLASSES, **arguments)
    return OpenSetSegmenter(adapter, CheckpointMetadata("patches", SPACE), "cpu")


@pytest.mark.parametrize(("stride", "size"), [(1, (24, 36)), (4, (24, 36)), (4, (29, 33))])
def test_a_segmenter_takes_the_adapter_at_any_stride(stride, size):
    network = Patches(stride, 4, FORMS["torchvision"])
    rgb = images(*size)
    array = rgb[0].permute(1, 2, 0).numpy().astype(np.uint8)
    prediction = segmenter_of(network, **RAW, input_multiple=4).segment(array)
    with torch.no_grad():
        logits = LogitsAdapter(network, CLASSES, **RAW, input_multiple=4)(rgb).logits
        nearest, anomaly = reference_head(logits, size)
    np.testing.assert_allclose(prediction.anomaly, anomaly[0].numpy(), atol=1e-4)
    assert (prediction.nearest != nearest[0].numpy()).mean() < 0.01
    assert len(np.unique(prediction.nearest)) > 1


def test_scores_that_need_more_than_logits_are_refused_in_one_line():
    segmenter = segmenter_of(Patches())
    array = np.zeros((24, 36, 3), np.uint8)
    for name, lack in (
        ("mahalanobis", "features"),
        ("embedding_density", "features"),
        ("react+energy", "features"),
        ("mc_dropout+mutual_information", "features"),
        ("op_ms", "outlier"),
    ):
        with pytest.raises(ScoringError, match=lack) as caught:
            segmenter.score_maps(array, [name])
        assert "\n" not in str(caught.value)
    _, maps = segmenter.score_maps(array, ["odin+msp", "coarse+energy", "max_logit"])
    assert len(maps) == 3


def test_colours_that_nobody_chose_are_told_apart():
    colours = choose_colours(254)
    assert len({*colours, UNKNOWN_COLOUR}) == 255
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    assert choose_colours(9) == colours[:9]
    assert SPACE.ground_ids == (0,)
    with pytest.raises(ValueError, match="ground classes"):
        LabelSpace.of_classes("two", ["a", "b"], ["road"])


def test_a_network_of_torchvision():
    try:
        from torchvision.models.segmentation import lraspp_mobilenet_v3_large
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"no torchvision that fits torch here ({error})")
    torch.manual_seed(0)
    network = lraspp_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=CLASSES
    ).eval()
    rgb = images(65, 97)
    with torch.inference_mode():
        found = LogitsAdapter(network, CLASSES, **RAW)(rgb).logits
        assert torch.equal(found, network(rgb)["out"])
    array = rgb[0].permute(1, 2, 0).numpy().astype(np.uint8)
    anomaly = segmenter_of(network).segment(array).anomaly
    assert anomaly.shape == (65, 97)

"""CUDA graphs: that they change nothing but the time, and what happens where they cannot be."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from open_set_seg.backends import BackendError, PyTorchBackend, cuda, find_pytorch
from open_set_seg.backends.cuda import KEPT_SIZES, CudaGraphBackend
from open_set_seg.backends.transfer import ImageUpload, download, view_image
from open_set_seg.models import SegmentationOutput, build_model

CPU = torch.device("cpu")


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Small(nn.Module):
    """One convolution at stride 4; with ``waits`` it asks the device for a value in between."""

    def __init__(self, waits=False):
        super().__init__()
        torch.manual_seed(0)
        self.logits = nn.Conv2d(3, 5, 5, stride=4, padding=2)
        self.waits = waits

    def forward(self, x):
        if self.waits and float(x.amax()) < 0.0:
            x = -x
        return SegmentationOutput(self.logits(x), None, x)


def test_another_device_is_refused():
    with pytest.raises(BackendError, match="CUDA graphs need a CUDA device, not cpu"):
        CudaGraphBackend(Small(), CPU, "fp32")


@pytest.fixture
def pretended(monkeypatch):
    """A backend on the CPU that believes in its graphs, and the sizes that it recorded."""
    recorded = []

    def record(backend, size, *_):
        recorded.append(size)
        if size == (13, 13):
            raise RuntimeError("operation not permitted when stream is capturing\nmore of it")
        return lambda rgb: (size, rgb.shape)

    monkeypatch.setattr(cuda, "Recording", record)
    fake = SimpleNamespace(type="cuda")
    monkeypatch.setattr(
        PyTorchBackend,
        "__init__",
        lambda self, network, device, arithmetic: self.__dict__.update(
            network=network.eval(), device=CPU, description="pretended", _dtype=torch.float32
        ),
    )
    monkeypatch.setattr(torch.cuda, "device", lambda _: torch.inference_mode())
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    return CudaGraphBackend(Small(), fake, "fp32"), recorded


def test_a_size_is_recorded_once_while_it_is_kept(pretended):
    backend, recorded = pretended
    sizes = [(8, 4 * i) for i in range(1, KEPT_SIZES + 1)]
    for size in [*sizes, *sizes]:
        assert backend(image(*size)) == (size, (*size, 3))
    assert recorded == sizes
    backend(image(8, 4))
    backend(image(40, 40))
    # The size that was used last stays; the one that was not for longest went.
    backend(image(8, 4))
    assert recorded == [*sizes, (40, 40)]
    backend(image(8, 8))
    assert recorded == [*sizes, (40, 40), (8, 8)]


def test_a_network_that_cannot_be_recorded_runs_without_and_is_named_once(pretended, caplog):
    backend, recorded = pretended
    for seed in range(3):
        output = backend(image(13, 13, seed))
        expected = backend.network(torch.from_numpy(image(13, 13, seed)).permute(2, 0, 1)[None] / 1)
        torch.testing.assert_close(output.logits, expected.logits)
    assert recorded == [(13, 13)]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "no CUDA graph for images of 13 x 13" in record.getMessage()
    assert "stream is capturing more of it" in record.getMessage()


def test_its_network_may_be_used_by_scores_that_need_features(pretended):
    backend, _ = pretended
    assert find_pytorch(backend) is backend


def test_images_of_any_layout_are_viewed_as_they_are():
    rgb = image(6, 8)
    assert view_image(rgb).data_ptr() == rgb.ctypes.data
    still = rgb.copy()
    still.flags.writeable = False
    for other in (rgb[::-1], np.asfortranarray(rgb), still):
        np.testing.assert_array_equal(view_image(other).numpy(), other)


def test_what_is_on_the_cpu_needs_no_download():
    values = [torch.rand(3), torch.rand(2, 2)]
    assert all(a is b for a, b in zip(download(values), values, strict=True))


@pytest.mark.gpu
class TestOnADevice:
    """Skipped where there is none."""

    @pytest.mark.parametrize(
        ("arithmetic", "allowed"), [("fp32", 1e-3), ("bf16", 3e-2), ("fp16", 3e-3)]
    )
    @pytest.mark.parametrize("name", ["swiftnet_rn18", "ldn_121"])
    def test_a_graph_computes_what_pytorch_does(self, name, arithmetic, allowed):
        device = torch.device("cuda")
        torch.manual_seed(0)
        network = build_model(name, 12, 0.25)
        graph = CudaGraphBackend(network, device, arithmetic)
        eager = PyTorchBackend(network, device, arithmetic)
        sizes = [(64, 128), (50, 70), (64, 128), (50, 70), (64, 128)]
        for seed, size in enumerate(sizes):
            rgb = image(*size, seed)
            found = graph(rgb).logits.clone()
            known = eager(rgb).logits
            largest = float(known.abs().max())
            torch.testing.assert_close(found, known, rtol=0, atol=allowed * largest)
            # Whatever ran in between: the same image gives the same bits.
            again = graph(rgb).logits
            assert torch.equal(again, found)

    def test_an_image_that_comes_at_once_does_not_overtake(self):
        device = torch.device("cuda")
        backend = CudaGraphBackend(Small(), device, "fp32")
        pictures = [image(512, 512, seed) for seed in range(8)]
        expected = [backend(rgb).logits.cpu() for rgb in pictures]
        # Nothing waits for the device between these.
        found = [backend(rgb).logits.clone() for rgb in pictures]
        assert all(torch.equal(a.cpu(), b) for a, b in zip(found, expected, strict=True))

    def test_more_sizes_than_are_kept_give_the_same(self):
        device = torch.device("cuda")
        backend = CudaGraphBackend(Small(), device, "fp32")
        pictures = [image(16, 16 + 4 * i, i) for i in range(KEPT_SIZES + 3)]
        first = [backend(rgb).logits.clone() for rgb in pictures]
        second = [backend(rgb).logits.clone() for rgb in pictures]
        assert all(map(torch.equal, first, second))

    def test_a_network_that_waits_for_the_device_runs_without_a_graph(self, caplog):
        device = torch.device("cuda")
        with caplog.at_level(logging.WARNING, "open_set_seg"):
            backend = CudaGraphBackend(Small(waits=True), device, "fp32")
            found = [backend(image(32, 48)).logits.clone() for _ in range(2)]
        eager = PyTorchBackend(Small(), device, "fp32")(image(32, 48)).logits
        for one in found:
            torch.testing.assert_close(one, eager, rtol=0, atol=1e-2 * float(eager.abs().max()))
        assert caplog.text.count("no CUDA graph for images of 48 x 32") == 1
        assert torch.cuda.current_stream() == torch.cuda.default_stream()

    def test_downloads_are_the_values_in_page_locked_memory(self):
        values = [torch.rand(100, 200, device="cuda"), torch.arange(7, device="cuda")[2:]]
        found = download(values)
        assert all(one.is_pinned() for one in found)
        for one, value in zip(found, values, strict=True):
            assert torch.equal(one, value.cpu())

    def test_an_upload_holds_the_last_image(self):
        upload = ImageUpload((32, 48), torch.device("cuda"))
        for seed in range(4):
            upload(image(32, 48, seed))
        np.testing.assert_array_equal(upload.image.cpu().numpy(), image(32, 48, 3))

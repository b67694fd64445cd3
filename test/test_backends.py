"""Backends: that each says what PyTorch says, and that whatever cannot is named or replaced."""

from __future__ import annotations

import importlib.util
import logging
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from open_set_seg.backends import (
    BACKENDS,
    AutomaticBackend,
    BackendError,
    NetworkRunner,
    OnnxRuntimeBackend,
    OpenVinoBackend,
    PyTorchBackend,
    choice,
    explain_choice,
    find_pytorch,
    open_backend,
    openvino,
)
from open_set_seg.backends.agreement import measure_deviation
from open_set_seg.backends.telemetry import import_openvino
from open_set_seg.checkpoint import CheckpointMetadata
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.models import SegmentationOutput, build_model
from open_set_seg.scoring import ScoringError
from open_set_seg.segmenter import OpenSetSegmenter

CPU = torch.device("cpu")
needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


class Small(nn.Module):
    """Converts in a moment: one convolution at stride 4 for each head."""

    def __init__(self, classes=5, seed=0, outlier_head=True):
        super().__init__()
        torch.manual_seed(seed)
        self.logits = nn.Conv2d(3, classes, 5, stride=4, padding=2)
        self.logits_ood = nn.Conv2d(3, 2, 5, stride=4, padding=2) if outlier_head else None

    def forward(self, x):
        outlier = None if self.logits_ood is None else self.logits_ood(x)
        return SegmentationOutput(self.logits(x), outlier, x)


class Unusable(nn.Module):
    """Runs, but cannot be exported: what it computes depends on the values of the image."""

    def forward(self, x):
        logits = nn.functional.avg_pool2d(x, 4, ceil_mode=True)
        return SegmentationOutput(-logits if float(x.mean()) > 128 else logits)


def same_logits(found, expected, tolerance=1e-4):
    for name in ("logits", "outlier_logits"):
        there, wanted = getattr(found, name), getattr(expected, name)
        assert (there is None) == (wanted is None)
        if wanted is not None:
            assert there.dtype == torch.float32
            assert (there - wanted).abs().max() <= tolerance * wanted.std().clamp(min=1e-3)


@pytest.fixture(autouse=True)
def _every_test_hears_the_first_warning():
    choice._warn_once.cache_clear()


@pytest.fixture(scope="module")
def swiftnet():
    torch.manual_seed(0)
    return build_model("swiftnet_rn18", 12, 0.125, outlier_head=True)


@pytest.fixture(scope="module")
def converted(swiftnet):
    return OpenVinoBackend(swiftnet, CPU, "fp32")


@needs_openvino
def test_two_heads_agree_at_alternating_and_odd_sizes(swiftnet, converted):
    pytorch = PyTorchBackend(swiftnet, CPU, "fp32")
    for number, size in enumerate([(48, 80), (33, 47), (48, 80), (33, 47)]):
        rgb = image(*size, seed=number)
        same_logits(converted(rgb), pytorch(rgb))
    assert converted(image(33, 47)).logits.shape == (1, 12, 9, 12)


@needs_openvino
def test_the_densely_connected_network_agrees():
    torch.manual_seed(1)
    network = build_model("ldn_121", 7, 0.0625)
    rgb = image(64, 128)
    found = OpenVinoBackend(network, CPU, "fp32")(rgb)
    assert found.outlier_logits is None
    same_logits(found, PyTorchBackend(network, CPU, "fp32")(rgb))


@needs_openvino
def test_views_and_read_only_images_are_taken(converted):
    rgb = image(48, 80)
    expected = converted(rgb).logits.clone()
    read_only = rgb.copy()
    read_only.flags.writeable = False
    bgr = np.ascontiguousarray(rgb[:, :, ::-1])
    for view in (read_only, bgr[:, :, ::-1], np.asfortranarray(rgb)):
        assert torch.equal(converted(view).logits, expected)


@needs_openvino
def test_the_same_image_gives_the_same_bits_whatever_came_between(swiftnet, converted):
    rgb = image(48, 80)
    first = converted(rgb).logits.clone()
    converted(image(48, 80, seed=9))
    converted(image(33, 47))
    assert torch.equal(converted(rgb).logits, first)
    assert torch.equal(OpenVinoBackend(swiftnet, CPU, "fp32")(rgb).logits, first)


@needs_openvino
def test_bf16_is_taken_where_the_processor_has_it_and_refused_elsewhere(swiftnet, monkeypatch):
    able = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if "BF16" in able:
        rgb = image(48, 80)
        low = OpenVinoBackend(swiftnet, CPU, "bf16")
        deviation = measure_deviation(
            low(rgb).logits, PyTorchBackend(swiftnet, CPU, "fp32")(rgb).logits, worst=False
        )
        assert 1e-4 < deviation < 0.1  # no float32 in disguise
        assert "bf16" in low.description

    class WithoutBf16:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    with pytest.raises(BackendError, match="no bf16"):
        openvino.check_arithmetic("bf16", WithoutBf16())
    with pytest.raises(BackendError, match="not in fp16"):
        openvino.check_arithmetic("fp16")


@needs_openvino
def test_a_change_of_the_network_does_not_reach_a_backend_that_was_made_of_it():
    network, rgb = Small(), image(16, 16)
    backend = OpenVinoBackend(network, CPU, "fp32")
    expected = PyTorchBackend(Small(), CPU, "fp32")(rgb)
    network.logits.weight.data.zero_()
    same_logits(backend(rgb), expected)
    same_logits(backend(image(20, 24)), PyTorchBackend(Small(), CPU, "fp32")(image(20, 24)))


@needs_openvino
def test_outputs_outlive_their_size_and_sizes_beyond_the_kept_ones_warn_once(caplog):
    backend, network = OpenVinoBackend(Small(), CPU, "fp32"), PyTorchBackend(Small(), CPU, "fp32")
    rgb = image(16, 16)
    kept, expected = backend(rgb), network(rgb)
    with caplog.at_level(logging.INFO):
        for height in range(20, 20 + 4 * (openvino.KEPT_SIZES + 2), 4):
            backend(image(height, 16))
    same_logits(kept, expected)
    assert len(backend._compiled) == openvino.KEPT_SIZES
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "backend pytorch" in warnings[0]
    said = [r for r in caplog.records if "ready for images of 16x20" in r.getMessage()]
    assert len(said) == 1


@needs_openvino
@pytest.mark.parametrize("wrong", [Small(seed=1), Small(classes=6), Small(outlier_head=False)])
def test_an_unfaithful_conversion_never_runs(wrong, monkeypatch, caplog):
    convert = openvino.convert_network
    monkeypatch.setattr(openvino, "convert_network", lambda network, size: convert(wrong, size))
    rgb = image(24, 32)
    explicit = open_backend("openvino", Small(), CPU, "fp32")
    for _ in range(2):
        with pytest.raises(BackendError, match=r"PyTorch|instead of"):
            explicit(rgb)
    automatic = open_backend("auto", Small(), CPU, "fp32")
    same_logits(automatic(rgb), PyTorchBackend(Small(), CPU, "fp32")(rgb), 0.0)
    automatic(rgb)
    assert automatic.name == "pytorch"
    assert "PyTorch on cpu" in automatic.description
    assert caplog.text.count("runs in PyTorch from here on") == 1


@needs_openvino
def test_a_network_that_cannot_be_copied_runs_in_pytorch(caplog):
    network = Small()
    network.held = (number for number in range(3))
    automatic = open_backend("auto", network, CPU, "fp32")
    assert isinstance(automatic, PyTorchBackend)
    assert caplog.text.count("no copy can be made") == 1


@needs_openvino
def test_a_network_that_cannot_be_converted_runs_in_pytorch(caplog):
    rgb = image(24, 32)
    with pytest.raises(BackendError, match="OpenVINO cannot run this network on 32x24") as caught:
        open_backend("openvino", Unusable(), CPU, "fp32")(rgb)
    assert "\n" not in str(caught.value)
    automatic = open_backend("auto", Unusable(), CPU, "fp32")
    same_logits(automatic(rgb), PyTorchBackend(Unusable(), CPU, "fp32")(rgb), 0.0)
    assert find_pytorch(automatic) is automatic.active


def test_without_openvino_auto_is_pytorch_with_one_warning(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    for _ in range(2):
        assert isinstance(open_backend("auto", Small(), CPU, "fp32"), PyTorchBackend)
    assert caplog.text.count("OpenVINO") == 1
    assert "pip install 'open_set_seg[openvino]'" in caplog.text
    assert explain_choice(CPU)[0] == "pytorch"
    with pytest.raises(BackendError, match=r"pip install 'open_set_seg\[openvino\]'"):
        open_backend("openvino", Small(), CPU, "fp32")
    with pytest.raises(BackendError, match="needs OpenVINO"):
        OpenVinoBackend.from_file("model.xml", CPU)


def test_names_are_checked_before_anything_is_made():
    with pytest.raises(BackendError, match="unknown backend 'tensorrt2': expected one of auto, py"):
        open_backend("tensorrt2", Small(), CPU, "fp32")
    with pytest.raises(BackendError, match="unknown backend"):
        NetworkRunner(Small(), CPU, "quick")


@needs_openvino
def test_auto_names_what_it_takes_and_can_be_explained():
    name, reason = explain_choice(CPU)
    backend = open_backend("auto", Small(), CPU, "fp32")
    assert isinstance(backend, AutomaticBackend)
    assert backend.name == name == "openvino"
    assert backend.device == CPU
    assert "OpenVINO is installed" in reason
    assert backend.description.startswith("OpenVINO on cpu")
    assert explain_choice(torch.device("cuda"))[0] == "cuda_graph"
    with pytest.raises(BackendError, match="CPUs, not on cuda"):
        BACKENDS["openvino"](Small(), torch.device("cuda"), "fp32")


@needs_openvino
def test_features_come_from_pytorch_and_are_kept(caplog):
    network, rgb = Small(), image(16, 20)
    runner = NetworkRunner(network, CPU)
    assert runner.choose(whole=False)(rgb).features is None
    with caplog.at_level(logging.INFO):
        whole = runner.choose(whole=True)
        assert runner.choose(whole=True) is whole is runner.whole()
    assert torch.equal(whole(rgb).features, PyTorchBackend(network, CPU, "fp32")(rgb).features)
    assert caplog.text.count("for features") == 1
    assert runner.description.startswith("OpenVINO")
    assert NetworkRunner(network, CPU, whole=True).name == "pytorch"
    chosen = NetworkRunner(network, CPU, "openvino")
    assert runner.gives_features
    assert not chosen.gives_features
    with pytest.raises(BackendError, match="openvino gives logits alone"):
        chosen.choose(whole=True)


def test_a_backend_that_was_made_elsewhere_stays_what_it_is():
    backend = PyTorchBackend(Small(), CPU, "fp32")
    for name in ("auto", "pytorch"):
        runner = NetworkRunner(backend, CPU, name)
        assert runner.choose(whole=True) is runner.choose(whole=False) is backend
    with pytest.raises(BackendError, match="runs in the backend pytorch alone, not in openvino"):
        NetworkRunner(backend, CPU, "openvino")


@needs_openvino
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["u8", "f32"])
def test_model_files_of_openvino(layout, kind, tmp_path):
    package = import_openvino()
    model = openvino.convert_network(Small().eval(), (24, 32))
    steps = package.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(getattr(package.Type, kind))
    steps.input().tensor().set_layout(package.Layout(layout))
    steps.input().model().set_layout(package.Layout("NCHW"))
    model = steps.build()
    fixed = tmp_path / "fixed.xml"
    package.save_model(model, fixed, compress_to_fp16=False)
    model.reshape([1, 3, -1, -1] if layout == "NCHW" else [1, -1, -1, 3])
    package.save_model(model, tmp_path / "open.xml", compress_to_fp16=False)
    pytorch = PyTorchBackend(Small(), CPU, "fp32")
    backend = OpenVinoBackend.from_file(fixed, CPU)
    same_logits(backend(image(24, 32)), pytorch(image(24, 32)))
    assert "fixed.xml" in backend.description
    assert backend.image_size == (24, 32)
    with pytest.raises(BackendError, match="has 32x20 pixels"):
        backend(image(20, 32))
    backend = OpenVinoBackend.from_file(str(tmp_path / "open.xml"), CPU)
    assert backend.image_size is None
    for size in [(20, 32), (1, 1), (20, 32)]:
        same_logits(backend(image(*size)), pytorch(image(*size)))


@needs_openvino
def test_what_is_no_model_of_openvino_is_refused(tmp_path):
    (tmp_path / "model.xml").write_text("<net/>")
    for path in (tmp_path / "model.xml", tmp_path / "missing.xml"):
        with pytest.raises(BackendError, match="no model that OpenVINO reads") as caught:
            OpenVinoBackend.from_file(path, CPU)
        assert "\n" not in str(caught.value)


@needs_openvino
def test_the_segmenter_runs_each_frame_where_its_scores_can_be_had(swiftnet):
    metadata = CheckpointMetadata(
        "swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125, outlier_head=True, threshold=0.5
    )
    rgb = image(48, 80)
    automatic = OpenSetSegmenter(swiftnet, metadata, "cpu")
    pytorch = OpenSetSegmenter(swiftnet, metadata, "cpu", backend="pytorch")
    found, expected = automatic.segment(rgb), pytorch.segment(rgb)
    assert "OpenVINO" in automatic.device_description
    np.testing.assert_allclose(found.anomaly, expected.anomaly, atol=1e-4)
    assert not np.array_equal(found.anomaly, expected.anomaly)  # it was another backend
    # With an intervention among the scores the whole frame is PyTorch's, bit for bit.
    names = ["jsd", "odin+msp"]
    found, maps = automatic.segment_with_scores(rgb, names)
    expected, wanted = pytorch.segment_with_scores(rgb, names)
    np.testing.assert_array_equal(found.anomaly, expected.anomaly)
    for name in names:
        np.testing.assert_array_equal(maps[name], wanted[name])
    assert "OpenVINO" in automatic.device_description
    own = replace(metadata, score="odin+jsd")
    assert "PyTorch" in OpenSetSegmenter(swiftnet, own, "cpu").device_description
    chosen = OpenSetSegmenter(swiftnet, metadata, "cpu", backend="openvino")
    with pytest.raises(ScoringError, match=r"'mc_dropout.msp' needs features or an intervention"):
        chosen.check_scores(["msp", "mc_dropout+msp"])
    with pytest.raises(ScoringError, match="openvino gives logits alone"):
        OpenSetSegmenter(swiftnet, own, "cpu", backend="openvino")
    with pytest.raises(ValueError, match="unknown backend 'abacus'"):
        OpenSetSegmenter(swiftnet, metadata, "cpu", backend="abacus")


def write_onnx(path, layout, kind, size=("H", "W"), outputs=("logits", "outlier_logits")):
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    types = {"u8": onnx.TensorProto.UINT8, "f32": onnx.TensorProto.FLOAT}
    network, nodes, given = Small(), [], "image"
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", [given], ["planes"], perm=[0, 3, 1, 2]))
        given = "planes"
    nodes.append(helper.make_node("Cast", [given], ["x"], to=onnx.TensorProto.FLOAT))
    weights, ports = [], []
    for name, head in zip(outputs, (network.logits, network.logits_ood), strict=False):
        for part in ("weight", "bias"):
            values = getattr(head, part).detach().numpy()
            weights.append(numpy_helper.from_array(values, f"{name}.{part}"))
        read = ["x", f"{name}.weight", f"{name}.bias"]
        nodes.append(helper.make_node("Conv", read, [name], strides=[4, 4], pads=[2, 2, 2, 2]))
        ports.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    shape = [1, 3, *size] if layout == "NCHW" else [1, *size, 3]
    image_port = helper.make_tensor_value_info("image", types[kind], shape)
    graph = helper.make_graph(nodes, "small", [image_port], ports, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["u8", "f32"])
def test_model_files_of_onnx_runtime(layout, kind, tmp_path):
    pytest.importorskip("onnxruntime")
    backend = OnnxRuntimeBackend.from_file(write_onnx(tmp_path / "m.onnx", layout, kind), CPU)
    pytorch = PyTorchBackend(Small(), CPU, "fp32")
    for size in [(24, 32), (17, 9), (24, 32)]:
        for rgb in (image(*size), image(*size)[:, ::-1]):
            same_logits(backend(rgb), pytorch(rgb))
    assert "m.onnx" in backend.description
    assert backend.image_size is None
    assert "ONNX Runtime on cpu" in backend.description


def test_what_onnx_runtime_cannot_use_is_refused_in_one_line(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    fixed = write_onnx(tmp_path / "fixed.onnx", "NCHW", "f32", (16, 20), ("anything",))
    backend = OnnxRuntimeBackend.from_file(fixed, CPU)
    assert backend(image(16, 20)).outlier_logits is None
    assert backend.image_size == (16, 20)
    with pytest.raises(BackendError, match="takes images of 20x16 pixels, and this one has 16x16"):
        backend(image(16, 16))
    strange = write_onnx(tmp_path / "strange.onnx", "NCHW", "f32", outputs=("a", "b"))
    with pytest.raises(BackendError, match="expected an output 'logits', found a, b"):
        OnnxRuntimeBackend.from_file(strange, CPU)
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(BackendError, match="no model that ONNX Runtime reads") as caught:
        OnnxRuntimeBackend.from_file(tmp_path / "text.onnx", CPU)
    assert "\n" not in str(caught.value)
    if not torch.cuda.is_available():
        with pytest.raises(BackendError, match="does not run on cuda"):
            OnnxRuntimeBackend.from_file(fixed, torch.device("cuda"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"pip install 'open_set_seg\[onnx\]'"):
        OnnxRuntimeBackend.from_file(fixed, CPU)


def test_deviation_is_measured_in_standard_deviations():
    generator = np.random.default_rng(0)
    expected = torch.from_numpy(generator.normal(size=1000))
    moved = expected.clone()
    moved[3] += 0.5
    spread = float(np.std(expected.numpy()))
    assert measure_deviation(moved, expected, worst=True) == pytest.approx(0.5 / spread)
    assert measure_deviation(moved, expected, worst=False) == pytest.approx(
        0.5 / spread / math.sqrt(1000)
    )
    assert measure_deviation(7 * moved, 7 * expected, worst=True) == pytest.approx(0.5 / spread)
    other = torch.from_numpy(generator.normal(size=1000))
    assert measure_deviation(other, expected, worst=False) == pytest.approx(math.sqrt(2), rel=0.1)
    broken = expected.clone()
    broken[3] = math.nan
    assert measure_deviation(broken, expected, worst=True) == math.inf
    assert measure_deviation(expected, broken, worst=True) == math.inf
    assert measure_deviation(broken, broken, worst=True) == 0.0


@needs_openvino
def test_openvino_is_imported_without_what_reports_its_use(tmp_path):
    # It would write a number for this user below the home folder before it sends anything.
    script = (
        "import sys\n"
        "from open_set_seg.backends.telemetry import import_openvino\n"
        "assert import_openvino().Core().available_devices\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []

"""Described TorchScript and ONNX files: the same maps as the network by hand, in the detector."""

from __future__ import annotations

import csv
import hashlib

import cv2
import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from open_set_seg.cli import main
from open_set_seg.detector import ObstacleDetector
from open_set_seg.foreign import OnnxNetwork, read_description
from open_set_seg.frame import Camera, DepthMap, Frame
from open_set_seg.head import reference_head
from open_set_seg.label_spaces import CITYSCAPES
from open_set_seg.models import AdapterError, LogitsAdapter
from open_set_seg.scores import SCORES, LogisticMap
from open_set_seg.scoring import ScoringError
from open_set_seg.segmenter import OpenSetSegmenter

# What torch says of its own TorchScript is not our affair.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")

HEIGHT, WIDTH = 48, 64
BOX = (slice(30, 38), slice(24, 36))
CLASSES = {"classes": ["wall", "road", "sky"], "ground": ["road"]}
NORMALISATION = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "scale": 0.01}


class Colours(nn.Module):
    """Red is wall, green is road, blue is sky; anything grey could be all of them."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.layer.weight.copy_(20 * torch.eye(3).view(3, 3, 1, 1))
            self.layer.bias.zero_()

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.layer(image)}


def scene():
    """Road below the sky, and a grey box on it; RGB."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:20, :, 2] = 255
    image[20:, :, 1] = 255
    image[BOX] = 128
    return image


def save_torchscript(path, network):
    torch.jit.script(network.eval()).save(path)


def save_onnx(path, network, size=("height", "width"), kind=TensorProto.FLOAT):
    weights = {"w": network.layer.weight, "b": network.layer.bias}
    dtype = np.float16 if kind == TensorProto.FLOAT16 else np.float32
    constants = [
        numpy_helper.from_array(v.detach().numpy().astype(dtype), k) for k, v in weights.items()
    ]
    node = helper.make_node("Conv", ["image", "w", "b"], ["scores"])
    entry = helper.make_tensor_value_info("image", kind, [1, 3, *size])
    result = helper.make_tensor_value_info("scores", kind, [1, 3, *size])
    save_graph(path, helper.make_graph([node], "colours", [entry], [result], constants))


def save_graph(path, graph):
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)


SAVERS = {"torchscript": save_torchscript, "onnx": save_onnx}


def describe(folder, kind="torchscript", save=None, **changes):
    """A folder with a network, and the description beside it."""
    (folder / "weights").mkdir(exist_ok=True)
    (save or SAVERS[kind])(folder / "weights" / "net.bin", Colours())
    content = {"file": "weights/net.bin", "label_space": CLASSES, "mean": [0, 0, 0],
               "std": [1, 1, 1], **changes}  # fmt: skip
    path = folder / "model.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return path


@pytest.mark.parametrize("kind", SAVERS)
def test_a_described_file_says_what_its_network_says_by_hand(tmp_path, monkeypatch, caplog, kind):
    path = describe(tmp_path, kind, **NORMALISATION, channel_order="bgr", score="msp",
                    temperature=3.0, threshold=0.4)  # fmt: skip
    monkeypatch.chdir("/")  # paths are relative to the description
    segmenter = OpenSetSegmenter.from_checkpoint(path, "cpu")
    rgb = np.random.default_rng(0).integers(0, 256, (31, 45, 3), dtype=np.uint8)
    values = (rgb[:, :, ::-1] * 0.01 - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
    with torch.no_grad():
        logits = Colours()(torch.from_numpy(values).float().permute(2, 0, 1)[None])["out"]
        nearest, anomaly = reference_head(logits, (31, 45), "msp", 3.0)
    found = segmenter.segment(rgb)
    np.testing.assert_allclose(found.anomaly, anomaly[0].numpy(), atol=1e-4)
    np.testing.assert_array_equal(found.nearest, nearest[0].numpy())
    assert found.threshold == 0.4
    assert segmenter.label_space.classes == ("wall", "road", "sky")
    content = (tmp_path / "weights" / "net.bin").read_bytes()
    assert segmenter.metadata.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert kind in segmenter.device_description
    assert "PyTorch on cpu" in segmenter.device_description
    # What ``auto`` cannot convert is not tried, which would be a warning at every start.
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("kind", SAVERS)
def test_the_detector_finds_the_obstacle_with_a_described_network(tmp_path, kind):
    detector = ObstacleDetector.from_checkpoint(describe(tmp_path, kind), device="cpu")
    camera = Camera(WIDTH, HEIGHT, 100.0, 100.0, 31.5, 23.5)
    depth = DepthMap(np.full((HEIGHT, WIDTH), 7.0, np.float32))
    result = detector.process(Frame(scene(), 1, "camera", camera, depth))
    (obstacle,) = result.obstacles
    assert obstacle.box == (24, 30, 12, 8)
    assert obstacle.distance == pytest.approx(7.0)
    assert obstacle.peak_score == pytest.approx(1.0)
    assert (result.prediction.nearest[40] == 1).all()


def test_the_command_line_takes_a_description(tmp_path, capsys):
    path = describe(tmp_path)
    cv2.imwrite(str(tmp_path / "scene.png"), scene()[:, :, ::-1])
    output = tmp_path / "found"
    arguments = [str(tmp_path / "scene.png"), "--output", str(output), "--device", "cpu"]
    assert main(["detect", *arguments, "--model", str(path)]) == 0
    with (output / "obstacles.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["left"], row["top"]) == ("24", "30")
    capsys.readouterr()
    assert main(["detect", *arguments, "--model", str(tmp_path / "weights" / "net.bin")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is TorchScript, which does not say what its classes are" in line
    assert "'file: net.bin'" in line


def test_the_node_loads_a_description(tmp_path):
    pytest.importorskip("rclpy")
    from open_set_seg.ros.loading import load_detector
    from open_set_seg.ros.settings import Settings

    path = describe(tmp_path, threshold=0.7)
    loaded = load_detector(Settings(model=str(path), device="cpu"))
    assert (loaded.model, loaded.threshold) == ("model.yaml", 0.7)
    content = (tmp_path / "weights" / "net.bin").read_bytes()
    assert loaded.model_hash == hashlib.sha256(content).hexdigest()[:12]
    (obstacle,) = loaded.detector.process(Frame(scene(), 1, "camera", None, None)).obstacles
    assert obstacle.box == (24, 30, 12, 8)


def test_info_says_what_a_description_makes_of_its_file(tmp_path, capsys):
    path = describe(tmp_path, **NORMALISATION, channel_order="bgr", input_multiple=8)
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    for part in (
        f"{path}, which describes {tmp_path / 'weights' / 'net.bin'}",
        "(bgr * 0.01 - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7], padded to multiples of 8",
        "wall, road, sky",
        "jsd, temperature 2",
        OpenSetSegmenter.from_checkpoint(path, "cpu").metadata.weights_sha256,
    ):
        assert part in text
    describe(tmp_path, treshold=1)
    assert main(["info", str(path)]) == 2
    assert "did you mean 'threshold'" in capsys.readouterr().err


def test_a_gradient_passes_torchscript_and_is_refused_by_onnx(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    segmenter = OpenSetSegmenter.from_checkpoint(describe(tmp_path), "cpu")
    _, maps = segmenter.score_maps(rgb, ["msp", "odin:epsilon=0.01+msp"])
    # The step makes every prediction more certain.
    assert (maps["odin:epsilon=0.01+msp"] <= maps["msp"] + 1e-6).all()
    assert (maps["odin:epsilon=0.01+msp"] < maps["msp"] - 1e-3).any()
    segmenter = OpenSetSegmenter.from_checkpoint(describe(tmp_path, "onnx"), "cpu")
    with pytest.raises(AdapterError, match="no gradient passes through an ONNX graph"):
        segmenter.score_maps(rgb, ["odin+msp"])


def test_an_onnx_graph_of_one_size_gets_images_of_that_size(tmp_path):
    def save(path, network):
        save_onnx(path, network, (16, 24))

    fixed = OpenSetSegmenter.from_checkpoint(describe(tmp_path, save=save), "cpu")
    rgb = scene()
    with torch.no_grad():
        adapter = LogitsAdapter(Colours(), 3, (0, 0, 0), (1, 1, 1), input_size=(16, 24))
        logits = adapter(torch.from_numpy(rgb).permute(2, 0, 1)[None].float()).logits
        _, anomaly = reference_head(logits, (HEIGHT, WIDTH), "jsd", 2.0)
    np.testing.assert_allclose(fixed.segment(rgb).anomaly, anomaly[0].numpy(), atol=1e-4)
    path = describe(tmp_path, save=save, input_size=[24, 16])
    with pytest.raises(AdapterError, match=r"input_size: .* \[height, width\] = \[16, 24\] alone"):
        OpenSetSegmenter.from_checkpoint(path, "cpu")


def test_half_precision_and_other_inputs_of_onnx(tmp_path):
    path = tmp_path / "half.onnx"
    save_onnx(path, Colours(), kind=TensorProto.FLOAT16)
    image = torch.rand(1, 3, 4, 5)
    found = OnnxNetwork(path, torch.device("cpu"))(image)
    torch.testing.assert_close(found.float(), 20 * image, rtol=0, atol=0.05)
    for kind, shape in ((TensorProto.DOUBLE, [1, 3, 4, 5]), (TensorProto.FLOAT, [1, 3])):
        ends = [helper.make_tensor_value_info(name, kind, shape) for name in "xy"]
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])], "x", ends[:1], ends[1:]
        )
        save_graph(path, graph)
        with pytest.raises(AdapterError, match=r"half.onnx: expected one input \(B, 3, H, W\)"):
            OnnxNetwork(path, torch.device("cpu"))
    save_onnx(path, Colours())
    with pytest.raises(AdapterError, match=r"the graph fails on an image of shape \(1, 4, 4, 5\)"):
        OnnxNetwork(path, torch.device("cpu"))(torch.rand(1, 4, 4, 5))


def test_every_key_is_read_and_the_rest_has_defaults(tmp_path):
    path = tmp_path / "model.yml"
    path.write_text(
        "file: ~/net.pt\nlabel_space: cityscapes_19\nmean: [1, 2, 3]\nstd: [4, 5, 6]\n"
        "scale: 1e-3\nchannel_order: bgr\ninput_multiple: 32\nscore: energy\ntemperature: 2\n"
        "score_map: {location: -5, scale: 2}\nthreshold: 1\n"
    )
    found = read_description(path)
    assert found.file.name == "net.pt"
    assert "~" not in str(found.file)
    assert found.label_space is CITYSCAPES
    assert (found.mean, found.std, found.scale) == ((1, 2, 3), (4, 5, 6), 0.001)
    assert (found.channel_order, found.input_multiple, found.input_size) == ("bgr", 32, None)
    assert (found.score, found.temperature, found.threshold) == ("energy", 2.0, 1.0)
    assert found.score_map == LogisticMap(-5.0, 2.0)
    path.write_text("file: /a/net.pt\nlabel_space: cityscapes_19\ninput_size: [512, 1024]\n")
    found = read_description(path)
    assert str(found.file) == "/a/net.pt"
    assert (found.mean[0], found.std[0], found.scale) == (0.485, 0.229, 1 / 255)
    assert (found.score, found.temperature, found.threshold) == ("jsd", None, 0.5)
    assert found.input_size == (512, 1024)


@pytest.mark.parametrize("score", ["jsd", "msp", "entropy"])
def test_a_score_has_its_own_temperature_by_default(tmp_path, score):
    segmenter = OpenSetSegmenter.from_checkpoint(describe(tmp_path, score=score), "cpu")
    assert segmenter.metadata.temperature == SCORES[score].temperature


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file": None}, "expected the key 'file', found 'nothing'"),
        ({"label_space": None}, "expected the key 'label_space'"),
        ({"treshold": 0.5}, "unknown key 'treshold'; did you mean 'threshold'?"),
        ({"label_space": "cityscape"}, "label_space: unknown .*; did you mean 'cityscapes_19'?"),
        ({"label_space": {"clases": ["a", "b"]}}, "label_space: unknown key 'clases'; did you"),
        ({"label_space": {"classes": "road"}}, "label_space: classes: expected a list of names"),
        ({"label_space": {"classes": ["a"]}}, "label_space: a label space has 2 to 254"),
        ({"label_space": {"classes": ["a", "b"], "ground": ["c"]}}, "label_space: ground classes"),
        ({"label_space": ["a", "b"]}, "label_space: expected a mapping with classes, ground, name"),
        ({"mean": [1, 2]}, r"mean: expected three numbers, found \[1, 2\]"),
        ({"mean": [1, 2, "x"]}, "mean: expected a finite number, found 'x'"),
        ({"std": [1, 0, 1]}, "expected positive numbers for std"),
        ({"scale": True}, "scale: expected a finite number, found True"),
        ({"channel_order": "rbg"}, "channel_order: expected rgb or bgr, found 'rbg'"),
        ({"input_size": [512]}, r"input_size: expected \[height, width\]"),
        ({"input_size": [512, 0]}, "input_size: expected a positive whole number, found 0"),
        ({"input_multiple": 32.0}, "input_multiple: expected a positive whole number"),
        ({"input_multiple": 32, "input_size": [8, 8]}, "input_size or input_multiple"),
        ({"score": "jsdd"}, "unknown score 'jsdd'"),
        ({"score": "energy"}, "expected a score map for the score 'energy'"),
        ({"score_map": {"location": 1}}, "score_map: expected the key 'scale'"),
        ({"score_map": {"location": 1, "scale": 0}}, "score_map: .* positive finite scale"),
        ({"temperature": -1}, "expected temperature"),
        ({"threshold": 2}, "expected threshold in"),
        ({"file": "missing.pt"}, "expected a TorchScript or ONNX file at .*missing.pt"),
    ],
)
def test_a_description_that_means_nothing_is_refused_in_one_line(tmp_path, changes, message):
    path = describe(tmp_path, **changes)
    with pytest.raises(AdapterError, match=message) as caught:
        OpenSetSegmenter.from_checkpoint(path, "cpu")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_scores_of_features_are_refused_when_the_description_is_opened(tmp_path):
    path = describe(tmp_path, score="react+msp")
    with pytest.raises(ScoringError, match="needs features"):
        OpenSetSegmenter.from_checkpoint(path, "cpu")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file: [", "expected YAML, found"),
        ("- file", "expected a mapping with file, label_space"),
        ("", "expected a mapping with file, label_space, .*, found None"),
        ("file: !!python/object/apply:os.system [exit]", "expected YAML, found"),
    ],
)
def test_what_is_no_description_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "model.yaml"
    path.write_text(content)
    with pytest.raises(AdapterError, match=message) as caught:
        OpenSetSegmenter.from_checkpoint(path, "cpu")
    assert "\n" not in str(caught.value)
    with pytest.raises(AdapterError, match="expected the description of a model at"):
        OpenSetSegmenter.from_checkpoint(tmp_path / "missing.yaml", "cpu")


def test_files_of_other_kinds_are_not_opened(tmp_path):
    path = describe(tmp_path)
    file = tmp_path / "weights" / "net.bin"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterError, match="no TorchScript that loads here") as caught:
        OpenSetSegmenter.from_checkpoint(path, "cpu")
    assert "\n" not in str(caught.value)
    torch.save(Colours(), file)
    with pytest.raises(AdapterError, match="never opened because it can run code"):
        OpenSetSegmenter.from_checkpoint(path, "cpu")
    file.write_bytes(b"\x08\x07nonsense")
    with pytest.raises(AdapterError, match="no model that ONNX Runtime reads"):
        OpenSetSegmenter.from_checkpoint(path, "cpu")

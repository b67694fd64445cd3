"""Networks of others and stored maps give what our own checkpoints give."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import cv2
import h5py
import made_networks
import numpy as np
import pytest
import torch
from small_trees import HEIGHT, WIDTH, scene, write_obstacle_track

from open_set_seg.checkpoint import CheckpointMetadata, save_checkpoint
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.metrics import component_metrics, pixel_metrics
from open_set_seg.models import build_model
from training.datasets import open_dataset
from training.datasets.frames import LabelledFrame
from training.evaluate import main
from training.sources import (
    EvaluationError,
    SourceOptions,
    distinctly_named,
    open_source,
)
from training.sources.networks import name_of
from training.sources.stored import read_map
from training.submit import main as submit
from training.submit import to_half

RAW = {"label_space": "streethazards_12", "mean": (0,) * 3, "std": (1,) * 3, "scale": 1.0}
OPTIONS = SourceOptions(("jsd", "energy"), "cpu", **RAW)
HURRY = ["--threads", "1", "--workers", "0", "--device", "cpu"]


def frame(number=0, height=HEIGHT, width=WIDTH):
    return LabelledFrame(str(number), scene(number, height, width)[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def checkpoint(folder):
    torch.manual_seed(1)
    metadata = CheckpointMetadata("swiftnet_rn18", STREETHAZARDS, "1.0", width=0.125)
    path = folder / "ours" / "model.safetensors"
    path.parent.mkdir()
    save_checkpoint(path, build_model("swiftnet_rn18", 12, 0.125), metadata)
    return path


def same_answers(one, two, tolerance=1e-5):
    for number, size in ((0, (HEIGHT, WIDTH)), (1, (33, 47))):
        first, second = one.answer(frame(number, *size)), two.answer(frame(number, *size))
        assert set(first.scores) == set(second.scores) == {"jsd", "energy"}
        for name in first.scores:
            np.testing.assert_allclose(first.scores[name], second.scores[name], atol=tolerance)
        assert (first.nearest != second.nearest).mean() < 0.01


def test_a_factory_gives_what_the_checkpoint_gives(checkpoint):
    ours = open_source(str(checkpoint), OPTIONS)
    options = SourceOptions(("jsd", "energy"), "cpu", factory={"path": str(checkpoint)}, **RAW)
    theirs = open_source("made_networks:from_checkpoint", options)
    same_answers(ours, theirs)
    assert (ours.kind, theirs.kind) == ("checkpoint", "factory")
    assert (ours.has_threshold, theirs.has_threshold) == (True, False)
    assert theirs.answer(frame()).prediction is None
    assert theirs.identity["weights_sha256"]


# What torch says of its own TorchScript is not our affair.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch", "ignore::torch.jit.TracerWarning")
def test_torchscript_gives_what_the_checkpoint_gives(folder, checkpoint):
    network = made_networks.from_checkpoint(str(checkpoint))
    # Traced at one size, the network's own resizing would be frozen; so at that size only.
    traced = torch.jit.trace(network, torch.zeros(1, 3, HEIGHT, WIDTH), check_trace=False)
    traced.save(folder / "traced.pt")
    ours, theirs = (open_source(str(p), OPTIONS) for p in (checkpoint, folder / "traced.pt"))
    assert theirs.kind == "torchscript"
    for number in range(3):
        first, second = ours.answer(frame(number)), theirs.answer(frame(number))
        np.testing.assert_allclose(first.scores["energy"], second.scores["energy"], atol=1e-4)
        np.testing.assert_array_equal(first.nearest, second.nearest)


def test_an_onnx_graph_gives_what_the_same_module_gives(folder):
    options = SourceOptions(("jsd", "energy"), "cpu", label_space="streethazards_12")
    path = made_networks.save_onnx(folder / "made.onnx", made_networks.slow())
    theirs = open_source(str(path), options)
    assert theirs.kind == "onnx"
    assert theirs.identity["input_size"] is None
    same_answers(open_source("made_networks:slow", options), theirs)


def test_a_description_gives_what_the_bare_file_gives_and_its_threshold(folder):
    path = made_networks.save_onnx(folder / "described.onnx", made_networks.slow())
    description = folder / "described.yaml"
    description.write_text(
        "file: described.onnx\nlabel_space: streethazards_12\nmean: [0.1, 0.2, 0.3]\n"
        "std: [0.5, 0.6, 0.7]\nthreshold: 0.25\n"
    )
    options = SourceOptions(("jsd", "energy"), "cpu", label_space="streethazards_12",
                            mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))  # fmt: skip
    ours = open_source(str(description), SourceOptions(("jsd", "energy"), "cpu"))
    same_answers(open_source(str(path), options), ours)
    assert (ours.kind, ours.has_threshold) == ("description", True)
    answer = ours.answer(frame())
    np.testing.assert_array_equal(
        answer.prediction.labels == STREETHAZARDS.unknown_id, answer.scores["jsd"] > 0.25
    )
    before = ours.identity
    description.write_text(description.read_text().replace("0.1", "0.11"))
    assert open_source(str(description), SourceOptions(None, "cpu")).identity != before


def test_an_onnx_graph_of_one_size_gets_images_of_that_size(folder):
    options = SourceOptions(("jsd",), "cpu", label_space="streethazards_12")
    path = made_networks.save_onnx(folder / "fixed.onnx", made_networks.slow(), HEIGHT, WIDTH)
    fixed, free = open_source(str(path), options), open_source("made_networks:slow", options)
    assert fixed.identity["input_size"] == (HEIGHT, WIDTH)
    same = fixed.answer(frame()).scores["jsd"]
    np.testing.assert_allclose(same, free.answer(frame()).scores["jsd"], atol=1e-5)
    assert fixed.answer(frame(0, 96, 200)).scores["jsd"].shape == (96, 200)


def test_normalisation_is_that_of_the_options():
    torch.manual_seed(0)
    options = SourceOptions(("jsd",), "cpu", "fp32", "streethazards_12", (0.1, 0.2, 0.3),
                            (0.5, 0.6, 0.7), 1 / 128)  # fmt: skip
    source = open_source("made_networks:slow", options)
    image = frame().image
    values = (image / 128.0 - (0.1, 0.2, 0.3)) / (0.5, 0.6, 0.7)
    tensor = torch.from_numpy(values).float().permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits = made_networks.slow()(tensor)["out"]
    full = torch.nn.functional.interpolate(logits, size=image.shape[:2], mode="bilinear")
    expected = full.argmax(1)[0].numpy()
    assert (source.answer(frame()).nearest != expected).mean() < 0.01


@pytest.mark.parametrize(
    ("specification", "changes", "message"),
    [
        ("made_networks:slow", {"label_space": None}, "give --label-space"),
        ("made_networks:slow", {"label_space": "mars"}, "unknown label space 'mars'"),
        ("made_networks:slow", {"label_space": "cityscapes_19"}, r"expected logits of .*19, h, w"),
        ("made_networks:missing", {}, "nothing to import there"),
        ("no_such_module:network", {}, "nothing to import there"),
        ("made_networks:no_network", {}, "must return an nn.Module, found str"),
        ("made_networks:slow", {"factory": {"klasses": 3}}, "klasses.*--model-options"),
    ],
)
def test_networks_that_do_not_fit_are_refused(specification, changes, message):
    options = SourceOptions(("jsd",), "cpu", **{**RAW, **changes})
    with pytest.raises(EvaluationError, match=message):
        open_source(specification, options).answer(frame())


def test_files_are_told_apart_by_content_and_pickles_are_never_opened(folder, checkpoint):
    torch.save({"weights": torch.zeros(2)}, folder / "pickled.pt")
    with pytest.raises(ValueError, match="never opened because they can run code"):
        open_source(str(folder / "pickled.pt"), OPTIONS)
    renamed = folder / "really_safetensors.onnx.pt"
    renamed.write_bytes(checkpoint.read_bytes())
    assert open_source(str(renamed), OPTIONS).kind == "checkpoint"
    (folder / "broken.onnx").write_bytes(b"\x08\x07nonsense")
    with pytest.raises(ValueError, match=r"expected an onnx file at .*broken\.onnx"):
        open_source(str(folder / "broken.onnx"), OPTIONS)
    with pytest.raises(ValueError, match="found nothing there"):
        open_source(str(folder / "missing"), OPTIONS)


def test_names_tell_sources_apart(checkpoint):
    assert name_of(checkpoint) == "ours"
    assert name_of(checkpoint.with_name("best.safetensors")) == "best"
    source = open_source(str(checkpoint), OPTIONS)
    given = ["a", "a-2", "b", "a", "a"]
    named = distinctly_named([replace(source, name=name) for name in given])
    assert [one.name for one in named] == ["a", "a-2", "b", "a-3", "a-4"]
    assert {one.identity["weights_sha256"] for one in named} == {source.identity["weights_sha256"]}


def write(path, values):
    if path.suffix == ".hdf5":
        with h5py.File(path, "w") as file:
            file["value"] = values
    elif path.suffix == ".npz":
        np.savez(path, value=values, about=np.zeros(3))
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        cv2.imwrite(str(path), values)


@pytest.mark.parametrize(
    ("suffix", "kind", "found"),
    [
        (".hdf5", np.float16, np.float32),
        (".h5py.hdf5", np.float64, np.float64),
        (".npz", np.float32, np.float32),
        (".npy", np.float16, np.float32),
        (".npy", np.int32, np.float64),
        (".tiff", np.float32, np.float32),
        (".png", np.uint16, np.float32),
    ],
)
def test_maps_of_every_format_come_back_exactly(tmp_path, suffix, kind, found):
    values = np.random.default_rng(0).uniform(0, 900, (5, 7)).astype(kind)
    path = tmp_path / f"map{suffix}"
    write(path, values)
    loaded = read_map(path)
    assert loaded.dtype == found
    np.testing.assert_array_equal(loaded, values)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.hdf5", b"\x89HDF\r\n", "no score map"),
        ("cut.npz", b"PK\x03\x04", "no score map"),
        ("empty.npy", b"", "no score map"),
        ("cut.png", b"\x89PNG", "no image that can be decoded"),
    ],
)
def test_a_damaged_map_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(EvaluationError, match=f"{name}.*{message}"):
        read_map(tmp_path / name)


def test_maps_of_other_content_are_refused(tmp_path):
    np.save(tmp_path / "volume.npy", np.zeros((3, 4, 5)))
    with pytest.raises(EvaluationError, match=r"expected \(H, W\) numbers.*\(3, 4, 5\)"):
        read_map(tmp_path / "volume.npy")
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(EvaluationError, match="no score map"):
        read_map(tmp_path / "pickled.npy")
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(EvaluationError, match="one array, or one called value"):
        read_map(tmp_path / "two.npz")


def test_maps_are_found_by_id_in_any_folder(tmp_path):
    for place in ("t5", "t6"):
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "7.npy", np.full((4, 4), float(place[1])))
    (tmp_path / "anomaly_p/method/set").mkdir(parents=True)
    np.save(tmp_path / "anomaly_p/method/set/road_1_leftImg8bit.npy", np.zeros((4, 4)))
    stored = open_source(str(tmp_path), SourceOptions())
    assert stored.scores == ("stored",)
    assert stored.find("t6/7") == tmp_path / "t6" / "7.npy"
    assert stored.find("road_1").name == "road_1_leftImg8bit.npy"
    with pytest.raises(EvaluationError, match="more than one map for 7"):
        stored.find("7")
    with pytest.raises(EvaluationError, match="no map for 8; expected a file called 8"):
        stored.find("8")
    with pytest.raises(EvaluationError, match="--scores is for networks"):
        open_source(str(tmp_path), SourceOptions(("jsd",)))
    (tmp_path / "none").mkdir()
    with pytest.raises(EvaluationError, match="no score map"):
        open_source(str(tmp_path / "none"), SourceOptions())


def test_a_map_of_another_size_is_resized_bilinearly(tmp_path):
    ramp = np.tile(np.arange(8, dtype=np.float32), (4, 1))
    np.save(tmp_path / "0.npy", ramp)
    larger = LabelledFrame("0", np.zeros((8, 16, 3), np.uint8))
    answer = open_source(str(tmp_path), SourceOptions()).answer(larger)
    assert answer.resized
    inner = (np.arange(16) + 0.5) / 2 - 0.5
    np.testing.assert_allclose(answer.scores["stored"][3], inner.clip(0, 7), atol=1e-6)


def result_of(output):
    (path,) = output.glob("*/*/result.json")
    return json.loads(path.read_text())


def test_a_submission_evaluates_to_what_its_network_does(tmp_path, checkpoint, capsys):
    write_obstacle_track(tmp_path / "data", frames=4)
    rules = ["--protocol", "smiyc_obstacle", "--data", str(tmp_path / "data")]
    assert main([str(checkpoint), *rules, *HURRY, "--output", str(tmp_path / "direct")]) == 0
    where = ["--dataset", "smiyc_obstacle", "--data", str(tmp_path / "data")]
    arguments = [str(checkpoint), *where, *HURRY, "--output", str(tmp_path / "maps")]
    for split in ("validation", "all"):
        assert submit([*arguments, "--split", split, "--method", "mine"]) == 0
    maps = tmp_path / "maps" / "anomaly_p" / "mine" / "ObstacleTrack-all"
    names = {path.name for path in maps.iterdir()}
    assert {"validation_1.hdf5", "curvy-street_1.hdf5"} <= names
    assert len(names) == 6
    with h5py.File(maps / "validation_1.hdf5") as file:
        assert file["value"].dtype == np.float16
        assert file["value"].compression == "gzip"
        assert file["value"].compression_opts == 9
        assert file["value"].shape == (HEIGHT, WIDTH)
    stored = str(tmp_path / "maps" / "anomaly_p" / "mine")
    assert main([stored, *rules, "--output", str(tmp_path / "stored"), "--workers", "0"]) == 0
    direct = result_of(tmp_path / "direct")["scores"]["jsd"]
    found = result_of(tmp_path / "stored")["scores"]["stored"]
    for name, value in direct["pixels"]["whole image"].items():
        assert found["pixels"]["whole image"][name] == pytest.approx(value, abs=2e-3)
    assert found["components"]["sIoU_gt"] == pytest.approx(
        direct["components"]["sIoU_gt"], abs=0.02
    )
    # The measures of the package on the same files.
    dataset = open_dataset("smiyc_obstacle", tmp_path / "data")
    judged = [
        (read_map(maps / f"{name}.hdf5"), dataset.load(index).outliers)
        for index, name in enumerate(dataset.ids)
    ]
    expected = component_metrics(judged, "smiyc_obstacle")
    assert {name: found["components"][name] for name in expected} == expected
    expected = pixel_metrics(judged, "smiyc_obstacle")
    assert found["pixels"]["whole image"] == expected
    # The same folder takes nothing of another score.
    with pytest.raises(SystemExit):
        submit([*arguments, "--method", "mine", "--scores", "msp"])
    message = capsys.readouterr().err
    assert "other settings (scores)" in message
    # The maps would outlive their settings and pass for those of the other score.
    assert f"delete {tmp_path / 'maps/about/mine-ObstacleTrack-all'} and {maps}" in message


def test_a_map_with_nan_names_its_frame(tmp_path, capsys):
    write_obstacle_track(tmp_path / "data", frames=2, hidden=0)
    for number in (1, 2):
        values = np.full((HEIGHT, WIDTH), 0.5, np.float32)
        values[20, 20] = np.nan if number == 2 else 1.0
        (tmp_path / "maps").mkdir(exist_ok=True)
        np.save(tmp_path / "maps" / f"validation_{number}.npy", values)
    rules = ["--protocol", "smiyc_obstacle", "--data", str(tmp_path / "data"), "--workers", "0"]
    with pytest.raises(SystemExit):
        main([str(tmp_path / "maps"), *rules])
    assert "validation_2: a score is NaN" in capsys.readouterr().err


def test_hidden_truth_is_said(tmp_path, checkpoint, capsys):
    write_obstacle_track(tmp_path, frames=1)
    rules = ["--protocol", "smiyc_obstacle", "--split", "test", "--data", str(tmp_path)]
    with pytest.raises(SystemExit) as caught:
        main([str(checkpoint), *rules, *HURRY])
    assert caught.value.code == 2
    assert "the truth of curvy-street_0 is hidden" in capsys.readouterr().err


def test_a_corrupt_file_is_named_or_skipped_and_counted(tmp_path, checkpoint, capsys):
    write_obstacle_track(tmp_path, frames=3)
    damaged = tmp_path / "dataset_ObstacleTrack/images/validation_2.webp"
    damaged.write_bytes(damaged.read_bytes()[:40])
    rules = ["--protocol", "smiyc_obstacle", "--data", str(tmp_path), *HURRY]
    with pytest.raises(SystemExit):
        main([str(checkpoint), *rules])
    assert "validation_2.webp" in capsys.readouterr().err
    output = tmp_path / "out"
    rules += ["--output", str(output)]
    with pytest.raises(SystemExit):
        main([str(checkpoint), *rules])
    # The remedy that the message names works where the message was met.
    assert "(--skip-corrupt leaves such frames out)" in capsys.readouterr().err
    assert main([str(checkpoint), *rules, "--skip-corrupt"]) == 0
    with pytest.raises(SystemExit):
        main([str(checkpoint), *rules])
    assert "leaves corrupt frames out" in capsys.readouterr().err
    result = result_of(output)
    assert result["dataset"]["frames"] == 2
    assert [one["id"] for one in result["dataset"]["skipped"]] == ["validation_2"]
    assert "validation_2.webp" in result["dataset"]["skipped"][0]["reason"]
    assert result["scores"]["jsd"]["components"]["by_tau"]


def test_half_precision_keeps_what_is_beyond_its_range_in_order():
    scores = np.array([[-1e9, -2.0, 0.25, 70000.0, math.inf]], np.float32)
    half = to_half(scores)
    assert half.dtype == np.float16
    assert half[0].tolist() == [-65504.0, -2.0, 0.25, 65504.0, 65504.0]

"""Two processes that share a training give what one gives."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from made_runs import read_rows, recipe_of
from process_jobs import BATCH, COMMON, STEPS, sample, train_jointly

from open_set_seg.checkpoint import load_checkpoint
from training import loop
from training.data import batch_slots
from training.mixed_content import choose_places, outlier_mask
from training.ranks import FirstRankError, Ranks
from training.recipes import RecipeError, recipe_to_mapping
from training.run_state import RunFolder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PATIENCE = 900  # seconds, on a busy machine
# Sums of the same numbers in another order, in float32, through some twenty layers.
RTOL = 2e-5


def environment(**more):
    paths = os.pathsep.join([str(ROOT), str(HERE)])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **more}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What ``process_jobs`` leaves behind in a folder, its outputs, and its results by rank."""
    folder = tmp_path_factory.mktemp("two")
    recipe = recipe_of("closed_set", "unused")
    RunFolder(folder / "taken", recipe, resume=False).load({})
    (folder / "again.yaml").write_text(yaml.safe_dump(recipe_to_mapping(recipe)))
    port = free_port()
    started = [
        subprocess.Popen(
            [sys.executable, str(HERE / "process_jobs.py"), str(folder)],
            env=environment(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2",
                MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port),
            ),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=PATIENCE) for process in started]
    finally:
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, outputs, strict=True):
        assert process.returncode == 0, errors
    results = [torch.load(folder / f"results-{rank}.pt", weights_only=True) for rank in (0, 1)]
    return folder, outputs, results


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same trainings in this process, and nothing computed twice to save memory."""
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOG_EVERY", 1)
        seen = {
            name: train_jointly(folder / name, Ranks(), saving, checkpointing=False).seen
            for name, saving in (("plain", False), ("saving", True))
        }
    return folder, seen


@pytest.mark.parametrize("name", ["plain", "saving"])
def test_gradients_are_those_of_one_process_on_the_joined_batch(two, alone, name):
    _, _, results = two
    expected = alone[1][name]
    assert len(expected) == STEPS
    for found in results:
        for step in range(STEPS):
            assert set(found[name][step]) == set(expected[step])
            for key, gradient in expected[step].items():
                size = float(gradient.abs().max())
                torch.testing.assert_close(
                    found[name][step][key], gradient, rtol=RTOL, atol=RTOL * size, msg=key
                )
    assert {key.split(".")[0] for key in expected[0]} == {"network", "source"}
    # Units that are never active have none.
    alive = [bool(gradient.any()) for gradient in expected[0].values()]
    assert sum(alive) > 0.9 * len(alive)


@pytest.mark.parametrize("name", ["plain", "saving"])
def test_losses_are_those_of_one_process_on_the_joined_batch(two, alone, name):
    found, expected = read_rows(two[0] / name), read_rows(alone[0] / name)
    assert len(found) == len(expected) == STEPS
    for row, wanted in zip(found, expected, strict=True):
        assert row == pytest.approx(wanted, rel=RTOL, abs=1e-9)
        assert row["negative"] > 0


@pytest.mark.parametrize("step", range(STEPS))
def test_the_processes_had_unequal_parts(step):
    """Else means of means would have done."""
    recipe = recipe_of("joint", "unused", **COMMON)
    patches = recipe.negatives.patches
    places = choose_places(
        32, 64, range(BATCH), seed=recipe.seed, step=step, sizes=patches.sizes,
        one_size=patches.one_size, per_image=patches.per_image, shape=patches.shape,
    )  # fmt: skip
    labels = torch.stack([sample(step, slot)[1] for slot in range(BATCH)])
    labels, pasted = outlier_mask(labels, places)
    half = BATCH // 2
    known, outliers = (labels != 255).sum(dim=(1, 2)), pasted.sum(dim=(1, 2))
    assert known[:half].sum() < 0.2 * known[half:].sum()
    ratio = float(outliers[:half].sum() / outliers[half:].sum())
    assert not 0.8 < ratio < 1.25


def test_a_loss_that_is_nan_in_one_process_ends_both(two):
    for result in two[2]:
        assert result["diverged"] == "the loss became nan at step 0"


def test_a_folder_that_is_taken_is_refused_by_both_alike(two):
    _, outputs, results = two
    for (_, errors), result in zip(outputs, results, strict=True):
        assert result["exit_code"] == 2
        assert errors.count("holds a run already; give --resume to continue it") == 1


def test_what_happens_in_the_first_process_is_known_to_the_others(two):
    first, second = (result["first"] for result in two[2])
    assert first == ["done by 0", "KeyError: 'nothing there'"]
    assert second == ["done by 1", "FirstRankError: KeyError('nothing there')"]


def test_sums_and_shares(two):
    for rank, result in enumerate(two[2]):
        assert result["sum"].tolist() == [3.0, 20.0]
        assert result["share"] == [3 * rank, 3 * rank + 1, 3 * rank + 2]


def test_one_process_needs_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = Ranks.join()
    assert ranks == Ranks(0, 1, 0)
    ranks.wait()
    values = torch.ones(2, requires_grad=True)
    assert ranks.add_up(values).tolist() == [1.0, 1.0]
    assert not ranks.add_up(values).requires_grad
    assert ranks.share(5) == range(5)
    assert ranks.after_first(lambda: 3) == 3
    for code in (0, 2):
        with pytest.raises(SystemExit) as caught:
            Ranks.end(lambda code=code: code)
        assert caught.value.code == code
    assert issubclass(FirstRankError, ValueError)


def test_a_batch_that_cannot_be_shared_is_named():
    recipe = recipe_of("closed_set", "unused", optimisation__batch=3)
    with pytest.raises(RecipeError, match=r"optimisation\.batch: 3 cannot be divided equally"):
        batch_slots(recipe, Ranks(0, 2))
    assert batch_slots(recipe, Ranks(2, 3)) == range(2, 3)


def test_torchrun_trains_to_the_end_and_one_checkpoint_is_written(scene_cache, tmp_path):
    recipe = recipe_of("joint", scene_cache, optimisation__steps=2, optimisation__validate_every=1)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe_to_mapping(recipe)))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            "-m", "training.train", str(tmp_path / "tiny.yaml"),
            "--output", str(tmp_path / "run"), "--device", "cpu",
        ],
        env=environment(), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote") == 1
    network, _ = load_checkpoint(tmp_path / "run" / "model.safetensors")
    assert sum(p.numel() for p in network.parameters()) > 0
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == [
        "flow.safetensors", "metrics.jsonl", "model.safetensors", "pictures", "recipe.yaml",
        "state.pt",
    ]  # fmt: skip
    assert [row["step"] for row in read_rows(tmp_path / "run")] == [1, 2]

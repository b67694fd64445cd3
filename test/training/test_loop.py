"""The loop that trainings share, and the folder that lets it go on."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time

import numpy as np
import pytest
import torch
from made_runs import read_rows, recipe_of
from PIL import Image
from torch import nn

from training import loop, run_state
from training.loop import Loop, LossError, Losses, Schedule, made_ahead
from training.optimisers import ScheduledOptimiser
from training.ranks import Ranks
from training.recipes import RecipeError, load_recipe
from training.run_state import RunFolder

RECIPE = recipe_of("closed_set", "unused")


class Slope(nn.Module):
    """(w x - y)^2 of one batch."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x, y, step):
        loss = (self.weight * x - y).square().mean()
        return Losses(loss, {"half": loss.detach() / 2})


def point(step, slot):
    random = np.random.default_rng([step, slot])
    return torch.from_numpy(random.normal(size=2)), torch.tensor([3.0, 3.0])


def make_loop(folder, schedule, validate=None, resume=False, **options):
    slope = Slope()
    optimiser = ScheduledOptimiser(torch.optim.Adam(slope.parameters()), lambda step: 0.1 + step)
    run = RunFolder(folder, RECIPE, resume, **options)
    look = validate or (lambda step: {"looked": slope.weight.item()})
    return Loop(slope, {"slope": optimiser}, run, schedule, Ranks(), look)


def run(made, make=point, threads=1):
    batches = made_ahead(make, range(2), made.schedule.steps, threads)
    made.run(batches, "test", progress=False)


def test_steps_are_logged_validated_and_saved_when_they_are_due(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 2)
    saved = []
    made = make_loop(tmp_path, Schedule(7, validate_every=3, save_every=4))
    monkeypatch.setattr(made.folder, "save", lambda parts, step: saved.append(step))
    run(made)
    assert saved == [4, 7]
    rows = read_rows(tmp_path)
    assert [row["step"] for row in rows] == [2, 3, 4, 6, 6]  # the end is looked at by who runs it
    assert [row["step"] for row in rows if "looked" in row] == [3, 6]
    row = rows[0]
    assert set(row) == {"step", "loss", "half", "slope_rate"}
    assert row["half"] == pytest.approx(row["loss"] / 2, rel=1e-6)
    assert row["slope_rate"] == pytest.approx(1.1)  # of the step that was taken, the second


def test_the_first_step_has_the_first_rate_and_the_loss_before_it_is_logged(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    made = make_loop(tmp_path, Schedule(1, 9, 9))
    run(made)
    assert read_rows(tmp_path)[0]["loss"] == pytest.approx(9.0)
    assert abs(made.objective.weight.item()) == pytest.approx(0.1, rel=1e-5)  # as Adam begins


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path):
    made = make_loop(tmp_path, Schedule(9, 9, 2))

    def make(step, slot):
        x, y = point(step, slot)
        return x * (math.nan if step == 5 and slot == 1 else 1.0), y

    with pytest.raises(LossError, match="the loss became nan at step 5"):
        run(made, make)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4
    assert torch.isfinite(made.objective.weight).all()


@pytest.mark.parametrize("save_every", [2, 5, 6])
def test_every_line_is_logged_once_though_a_validation_was_killed(tmp_path, save_every):
    schedule = Schedule(9, validate_every=2, save_every=save_every)

    def killed(step):
        if step == 6:
            raise KeyboardInterrupt
        return {"looked": step}

    with pytest.raises(KeyboardInterrupt):
        run(make_loop(tmp_path, schedule, killed))
    assert [row["step"] for row in read_rows(tmp_path)] == [2, 4]
    with (tmp_path / "metrics.jsonl").open("a") as log:
        log.write('{"step": 6, "looked": 6}\n{"step": 7, "los')  # killed while it wrote
    made = make_loop(tmp_path, schedule, lambda step: {"looked": step}, resume=True)
    run(made)
    assert read_rows(tmp_path) == [{"step": s, "looked": s} for s in (2, 4, 6, 8)]


def test_seconds_go_on_where_they_were(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    clock = itertools.count()  # a second passes whenever somebody looks

    class Clock:
        monotonic = staticmethod(lambda: next(clock))

    monkeypatch.setattr(loop, "time", Clock)
    for steps in (2, 4):
        run(make_loop(tmp_path, Schedule(steps, 9, 2), resume=True))
        clock = itertools.count(1000)  # nobody did in between
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["seconds"] for row in rows] == [1, 2, 3, 4]


def test_a_process_that_dies_while_it_saves_leaves_the_last_state(tmp_path, monkeypatch):
    made = make_loop(tmp_path, Schedule(4, 9, 2))
    run(made)
    before = (tmp_path / "state.pt").read_bytes()

    def dies(state, path):
        path.write_bytes(b"half a sta")
        raise KeyboardInterrupt

    monkeypatch.setattr(run_state.torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        made.folder.save(made.parts, 6)
    assert (tmp_path / "state.pt").read_bytes() == before
    again = make_loop(tmp_path, Schedule(4, 9, 2), resume=True)
    assert again.folder.load(again.parts) == 4
    assert torch.equal(again.objective.weight, made.objective.weight)


def test_a_state_of_other_parts_is_refused(tmp_path):
    made = make_loop(tmp_path, Schedule(2, 9, 2))
    run(made)
    with pytest.raises(RecipeError, match="saved by another version"):
        made.folder.load({"objective": made.objective})


def test_another_recipe_or_no_resume_is_refused(tmp_path):
    RunFolder(tmp_path, RECIPE, resume=False).load({"slope": Slope()})
    RunFolder(tmp_path, RECIPE, resume=True)
    with pytest.raises(RecipeError, match="holds a run already; give --resume"):
        RunFolder(tmp_path, RECIPE, resume=False)
    with pytest.raises(RecipeError, match="another recipe"):
        RunFolder(tmp_path, recipe_of("closed_set", "unused", seed=4), resume=True)


def test_a_run_that_never_began_is_not_in_the_way(tmp_path):
    RunFolder(tmp_path, RECIPE, resume=False)
    other = recipe_of("closed_set", "unused", seed=4)
    assert RunFolder(tmp_path, other, resume=False).load({"slope": Slope()}) == 0
    assert load_recipe(tmp_path / "recipe.yaml") == other


def test_processes_but_the_first_write_nothing(tmp_path):
    folder = RunFolder(tmp_path / "run", RECIPE, resume=False, writes=False)
    slope = Slope()
    assert folder.load({"slope": slope}) == 0
    folder.save({"slope": slope}, 1)
    folder.log(1, {"a": 1})
    folder.show(1, "a", np.zeros((2, 2, 3), np.uint8))
    assert not (tmp_path / "run").exists()


def test_batches_are_stacked_by_slot_whichever_thread_is_first():
    def make(step, slot):
        time.sleep(0.01 * ((step + slot) % 3))
        return torch.tensor([step, slot]), torch.tensor(slot)

    batches = list(made_ahead(make, range(4, 7), steps=4, threads=3)(1))
    assert len(batches) == 3
    for step, (pairs, slots) in enumerate(batches, start=1):
        assert pairs.tolist() == [[step, 4], [step, 5], [step, 6]]
        assert slots.tolist() == [4, 5, 6]


def test_the_next_batch_is_made_while_this_one_is_used():
    asked, made = [], threading.Event()

    def make(step, slot):
        asked.append(step)
        if step == 3:
            made.set()
        return (torch.tensor(step),)

    batches = made_ahead(make, range(1), steps=5, threads=1)(2)
    assert next(batches)[0].tolist() == [2]
    assert made.wait(timeout=30)
    assert asked == [2, 3]
    assert [batch[0].tolist() for batch in batches] == [[3], [4]]
    assert asked == [2, 3, 4]


def test_what_goes_wrong_in_a_thread_is_raised():
    def make(step, slot):
        if step == 1:
            raise RecipeError("a corrupt file")
        return (torch.tensor(step),)

    batches = made_ahead(make, range(2), steps=5, threads=2)(0)
    next(batches)
    with pytest.raises(RecipeError, match="a corrupt file"):
        next(batches)


def test_pictures_are_kept_as_they_are(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    folder = RunFolder(tmp_path, RECIPE, resume=False)
    folder.show(40, "samples", picture)
    written = np.asarray(Image.open(tmp_path / "pictures" / "samples-000040.png"))
    np.testing.assert_array_equal(written, picture)


def test_tensorboard_shows_numbers_and_pictures_of_a_resumed_run_once(tmp_path, monkeypatch):
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setattr(loop, "LOG_EVERY", 1)
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)

    def look(step):
        made.folder.show(step, "samples", picture)
        return {"looked": 0.5 * step, "by_class": {"road": 1.0}}

    made = make_loop(tmp_path, Schedule(6, 2, 3), look, tensorboard=True)
    save = made.folder.save

    def dies(parts, step):
        if step == 6:
            raise KeyboardInterrupt
        save(parts, step)

    made.folder.save = dies
    with pytest.raises(KeyboardInterrupt):
        run(made)
    made = make_loop(tmp_path, Schedule(6, 2, 3), look, resume=True, tensorboard=True)
    run(made)
    events = accumulators.EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert set(tags["scalars"]) == {"loss", "half", "slope_rate", "seconds", "looked"}
    assert [event.step for event in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    assert [(e.step, e.value) for e in events.Scalars("looked")] == [(2, 1.0), (4, 2.0)]
    logged = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = [row["loss"] for row in logged if "loss" in row]
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(expected, rel=1e-6)
    (first, *_) = events.Images("samples")
    assert (first.height, first.width) == (5, 7)


def test_tensorboard_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(RecipeError, match="pip install tensorboard"):
        RunFolder(tmp_path / "run", RECIPE, resume=False, tensorboard=True)
    assert not (tmp_path / "run").exists()

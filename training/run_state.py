"""The state of a training run on disk: what resuming needs, and the log of its metrics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from open_set_seg.drawing import save_picture
from open_set_seg.files import write_whole
from training.recipes import AnyRecipe, RecipeError, load_recipe, recipe_to_mapping


class Stateful(Protocol):
    """What can be saved and restored: networks and optimisers."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that is needed to go on."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Go on from there."""


class RunFolder:
    """The folder of one run: ``recipe.yaml``, ``metrics.jsonl``, ``state.pt``, ``pictures``.

    Args:
        path: the folder; made if it is not there.
        recipe: what is run.
        resume: continue the run that lies there.
        tensorboard: write the metrics and pictures for TensorBoard too.
        writes: False in all processes of a run but the first: they read the state, and write
            nothing.

    Raises:
        RecipeError: a run lies there and ``resume`` was not asked for, or it is of another recipe;
            or TensorBoard is not installed.
    """

    def __init__(
        self,
        path: str | Path,
        recipe: AnyRecipe,
        resume: bool,
        tensorboard: bool = False,
        writes: bool = True,
    ) -> None:
        self.path = Path(path)
        self._writes = writes
        self._open_writer = _find_tensorboard() if tensorboard and writes else None
        self._writer: Any = None  # opened by load, which knows where the run goes on
        if not writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        recipe_file = self.path / "recipe.yaml"
        # Without a log it never came to its first step, as where data were missing.
        if recipe_file.exists() and self._log.exists():
            if not resume:
                raise RecipeError(f"{self.path} holds a run already; give --resume to continue it")
            if load_recipe(recipe_file) != recipe:
                raise RecipeError(f"the run in {self.path} was started with another recipe")
        text = yaml.safe_dump(recipe_to_mapping(recipe), sort_keys=False)
        recipe_file.write_text(text, encoding="utf-8")

    @property
    def _state(self) -> Path:
        return self.path / "state.pt"

    @property
    def _log(self) -> Path:
        return self.path / "metrics.jsonl"

    def load(self, parts: Mapping[str, Stateful]) -> int:
        """Put the saved state into ``parts``; the number of steps done so far.

        What was logged after the last save is forgotten: it is about to happen again.

        Raises:
            RecipeError: the state of other parts, as another version of the code saved it.
        """
        step = rows = 0
        if self._state.exists():
            state = torch.load(self._state, map_location="cpu", weights_only=True)
            if set(state) != {*parts, "step", "log_rows"}:
                raise RecipeError(f"{self._state} was saved by another version: start a new run")
            for name, part in parts.items():
                part.load_state_dict(state[name])
            step, rows = int(state["step"]), int(state["log_rows"])
        if self._writes:
            write_whole(self._log, "".join(self._lines()[:rows]))
            if self._open_writer is not None:
                self._writer = self._open_writer(self.path, purge_step=step + 1)
        return step

    def save(self, parts: Mapping[str, Stateful], step: int) -> None:
        """Save what ``load`` needs; the file appears whole or not at all."""
        if not self._writes:
            return
        partial = self._state.with_suffix(".partial")
        state = {name: part.state_dict() for name, part in parts.items()}
        torch.save({**state, "step": step, "log_rows": len(self._lines())}, partial)
        partial.replace(self._state)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line of JSON to ``metrics.jsonl``, and the numbers to TensorBoard."""
        if not self._writes:
            return
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def show(self, step: int, name: str, picture: NDArray[np.uint8]) -> None:
        """Keep an (H, W, 3) RGB picture as ``pictures/<name>-<step>.png``, and in TensorBoard."""
        if not self._writes:
            return
        folder = self.path / "pictures"
        folder.mkdir(exist_ok=True)
        save_picture(folder / f"{name}-{step:06d}.png", picture)
        if self._writer is not None:
            self._writer.add_image(name, picture, step, dataformats="HWC")
            self._writer.flush()

    def read_log(self) -> list[dict[str, Any]]:
        """All lines logged so far."""
        return [json.loads(line) for line in self._lines()]

    def _lines(self) -> list[str]:
        # The last one has no end where a process was killed while it wrote.
        if not self._log.exists():
            return []
        return self._log.read_text(encoding="utf-8").splitlines(keepends=True)


def _find_tensorboard() -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError("for TensorBoard: pip install tensorboard") from error
    return SummaryWriter


def code_revision() -> str | None:
    """Commit of the source tree (``-dirty`` if tracked files differ); None outside git."""
    root = Path(__file__).resolve().parent.parent
    try:
        git = ["git", "-C", str(root)]
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
        ).stdout.strip()
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}-dirty" if changed else head

"""The state of a training run on disk: what resuming needs, and the log of its metrics."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from training.recipes import Recipe, RecipeError, recipe_from_mapping, recipe_to_mapping


class RunFolder:
    """The folder of one run: ``recipe.yaml``, ``metrics.jsonl``, ``state.pt``.

    Args:
        path: the folder; made if it is not there.
        recipe: what is run.
        resume: continue the run that lies there.
        tensorboard: write the metrics for TensorBoard too.

    Raises:
        RecipeError: a run lies there and ``resume`` was not asked for, or it is of another recipe;
            or TensorBoard is not installed.
    """

    def __init__(
        self, path: str | Path, recipe: Recipe, resume: bool, tensorboard: bool = False
    ) -> None:
        self.path = Path(path)
        self._writer = _open_tensorboard(self.path) if tensorboard else None
        self.path.mkdir(parents=True, exist_ok=True)
        recipe_file = self.path / "recipe.yaml"
        if recipe_file.exists():
            if not resume:
                raise RecipeError(f"{self.path} holds a run already; give --resume to continue it")
            stored = recipe_from_mapping(yaml.safe_load(recipe_file.read_text(encoding="utf-8")))
            if stored != recipe:
                raise RecipeError(f"the run in {self.path} was started with another recipe")
        text = yaml.safe_dump(recipe_to_mapping(recipe), sort_keys=False)
        recipe_file.write_text(text, encoding="utf-8")

    @property
    def _state(self) -> Path:
        return self.path / "state.pt"

    @property
    def _log(self) -> Path:
        return self.path / "metrics.jsonl"

    def load(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> int:
        """Put the saved state into ``model`` and ``optimiser``; the number of steps done so far."""
        if not self._state.exists():
            self._log.unlink(missing_ok=True)
            return 0
        state = torch.load(self._state, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
        # What was logged after the last save is about to happen again.
        kept = [row for row in self.read_log() if row["step"] <= step]
        self._log.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        return step

    def save(self, model: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
        """Save what ``load`` needs; the file appears whole or not at all."""
        partial = self._state.with_suffix(".partial")
        state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
        torch.save(state, partial)
        partial.replace(self._state)

    def log(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line of JSON to ``metrics.jsonl``, and the numbers to TensorBoard."""
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)
            self._writer.flush()
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def read_log(self) -> list[dict[str, Any]]:
        """All lines logged so far."""
        if not self._log.exists():
            return []
        return [json.loads(line) for line in self._log.read_text(encoding="utf-8").splitlines()]


def _open_tensorboard(path: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RecipeError("for TensorBoard: pip install tensorboard") from error
    return SummaryWriter(path)


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

"""Recipes of trainings that take about a second, and what to compare of finished ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch

from training.recipes import AnyRecipe, recipe_from_mapping

STEPS, SAVE_EVERY, VALIDATE_EVERY = 12, 5, 6
SIMULATION = {
    "training_scenes": 4,
    "validation_scenes": 2,
    "width": 128,
    "height": 64,
    "supersampling": 1,
    "workers": 1,
}
TINY_FLOW = {"name": "glow_small", "options": {"levels": 2, "steps": 1, "hidden": 4}}
CLOSED_SET = {
    "name": "tiny",
    "seed": 3,
    "network": {"width": 0.125},
    "augmentation": {"crop_width": 64, "crop_height": 32},
    "optimisation": {
        "steps": STEPS,
        "batch": 2,
        "warmup_steps": 3,
        "validate_every": VALIDATE_EVERY,
        "save_every": SAVE_EVERY,
    },
}
PATCHES = {"sizes": [8, 24], "one_size": "image", "shape": "blob"}
NEGATIVES = {
    "joint": {
        "source": "flow",
        "flow": TINY_FLOW,
        "weight": 0.3,
        "patches": PATCHES,
        "optimisation": {"learning_rate": 1e-3},
    },
    "gan": {
        "source": "gan",
        "options": {"latent_channels": 4, "width": 4},
        "patches": PATCHES,
        "optimisation": {"optimiser": "adam", "learning_rate": 1e-3, "betas": [0.5, 0.999]},
    },
}
FLOW = {
    "name": "tiny_flow",
    "task": "flow",
    "seed": 3,
    "flow": TINY_FLOW,
    "crops": {"size": 16, "validation_crops": 4},
    "optimisation": {
        "learning_rate": 1e-2,
        "final_learning_rate": 1e-3,
        "gradient_clip": 50.0,
        "steps": STEPS,
        "batch": 4,
        "validate_every": VALIDATE_EVERY,
        "save_every": SAVE_EVERY,
    },
}
KINDS = ("closed_set", "joint", "gan", "flow")


def recipe_of(kind: str, cache: Path | str, **changes: object) -> AnyRecipe:
    """A recipe of one of ``KINDS``; ``section__key=value`` changes one value."""
    content = copy.deepcopy(FLOW if kind == "flow" else CLOSED_SET)
    content["data"] = {"simulation": {**SIMULATION, "cache": str(cache)}}
    if kind in NEGATIVES:
        content["negatives"] = copy.deepcopy(NEGATIVES[kind])
    for key, value in changes.items():
        *sections, last = key.split("__")
        part = content
        for section in sections:
            part = part.setdefault(section, {})
        part[last] = value
    return recipe_from_mapping(content)


def read_rows(run: Path) -> list[dict]:
    """The log without the seconds, the only thing that two equal runs may differ in."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        row.pop("seconds", None)
    return rows


def read_state(run: Path) -> dict:
    return torch.load(run / "state.pt", weights_only=True)


def differences(one: object, other: object, place: str = "") -> list[str]:
    """Places where two nested states are not equal to the last bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [] if set(one) == set(other) else [f"{place}: keys"]
        return found + [
            line for key in set(one) & set(other)
            for line in differences(one[key], other[key], f"{place}.{key}")
        ]  # fmt: skip
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        found = [] if len(one) == len(other) else [f"{place}: lengths"]
        return found + [
            line for index, pair in enumerate(zip(one, other, strict=False))
            for line in differences(*pair, f"{place}[{index}]")
        ]  # fmt: skip
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return [] if one.dtype == other.dtype and torch.equal(one, other) else [place]
    return [] if one == other else [place]

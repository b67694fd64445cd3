"""What ``benchmarks.flows`` makes of its measurements: means, differences, a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def summarise(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result with means over crops and their standard errors in place of single crops.

    ``over_first`` is the mean difference to the first flow on the same crops.
    """
    reference = next(iter(result["flows"].values()))["bits_per_dim"]
    flows = {}
    for key, flow in result["flows"].items():
        means = {
            moment: {side: {"mean": _mean(values)} for side, values in sides.items()}
            for moment, sides in flow["bits_per_dim"].items()
        }
        if flow["bits_per_dim"] is not reference:
            for moment, sides in flow["bits_per_dim"].items():
                for side, values in sides.items():
                    over = np.subtract(values, reference[moment][side])
                    means[moment][side]["over_first"] = _mean(over)
        flows[key] = {**flow, "bits_per_dim": means}
    trained = []
    for flow in result["trained"]:
        bits = {side: {"mean": _mean(values)} for side, values in flow["bits_per_dim"].items()}
        trained.append({**flow, "bits_per_dim": bits})
    return {**result, "flows": flows, "trained": trained}


def table(result: Mapping[str, Any]) -> str:
    """A summarised result as a table in Markdown, values with their standard errors."""
    sides = [str(side) for side in result["budget"]["sizes"]]
    rows = [
        ["flow", "parameters", "s a step", "MiB", "steps", *(f"{side} x {side}" for side in sides)],
        ["---"] * (5 + len(sides)),
    ]
    for key, flow in result["flows"].items():
        cost = [
            f"{flow['parameters']:,}",
            f"{flow['seconds_a_step']:.2f}",
            f"{flow['peak_MiB']:.0f}",
        ]
        for moment, steps in (
            ("after_steps", result["budget"]["steps"]),
            ("after_seconds", flow["steps"]),
        ):
            bits = flow["bits_per_dim"][moment]
            rows.append([key, *cost, str(steps), *(_cell(bits[side]["mean"]) for side in sides)])
    for flow in result["trained"]:
        options = ", ".join(f"{name} {value}" for name, value in flow["options"].items())
        name = f"{flow['name']}{f' ({options})' if options else ''}, seed {flow['seed']}"
        steps = f"{flow['steps']} of {flow['batch']}"
        bits = flow["bits_per_dim"]
        rows.append([name, "", "", "", steps, *(_cell(bits[side]["mean"]) for side in sides)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(mean: Mapping[str, float]) -> str:
    return f"{mean['value']:.2f} ± {mean['standard_error']:.2f}"


def _mean(values: ArrayLike) -> dict[str, float]:
    """With its standard error; that of a single value is 0."""
    numbers = np.asarray(values, np.float64)
    error = numbers.std(ddof=1) / len(numbers) ** 0.5 if len(numbers) > 1 else 0.0
    return {"value": round(float(numbers.mean()), 4), "standard_error": round(float(error), 4)}

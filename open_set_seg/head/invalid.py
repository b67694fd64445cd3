"""Numbers that are not finite: which pixels they reach, and what is written there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from open_set_seg.head.channels import ScoreChannel
from open_set_seg.head.upsampling import upsample
from open_set_seg.scores import SCORES, ScoreInputs


def separate_invalid(
    inputs: ScoreInputs, channels: Sequence[ScoreChannel], size: tuple[int, int]
) -> tuple[ScoreInputs, dict[str, Tensor]]:
    """Finite inputs in float32 or float64, and the pixels that numbers of another kind reach.

    What no channel reads is left out. Pixels are (B, H, W), by the name of the input; an input
    that is finite everywhere has none.
    """
    needs = {"logits"} | {need for channel in channels for need in SCORES[channel.score].needs}
    clean: dict[str, Tensor] = {}
    reached: dict[str, Tensor] = {}
    for name, values in inputs._asdict().items():
        if values is None or name not in needs:
            continue
        values = values if values.dtype == torch.float64 else values.float()
        finite = torch.isfinite(values)
        if not finite.all():
            bad = ~(finite.all(dim=0) if values.ndim == 5 else finite)
            reach = bad.any(dim=1, keepdim=True).to(values.dtype)
            reached[name] = upsample(reach, size).squeeze(1) > 0.0
            values = values.where(finite, 0.0)
        clean[name] = values
    return ScoreInputs(**clean), reached


def fill_reached(
    nearest: Tensor,
    maps: Sequence[Tensor],
    channels: Sequence[ScoreChannel],
    reached: Mapping[str, Tensor],
) -> tuple[Tensor, list[Tensor]]:
    """The same with what is written where nothing is known."""
    invalid = reached.get("logits")
    pairs = zip(maps, channels, strict=True)
    filled = [fill_invalid(v, _find_invalid(c, reached), c.maximum) for v, c in pairs]
    return nearest if invalid is None else nearest.masked_fill(invalid, 0), filled


def _find_invalid(channel: ScoreChannel, reached: Mapping[str, Tensor]) -> Tensor | None:
    """The pixels of which a channel knows nothing; None: there are none.

    Only those that its own inputs reach, whatever else is computed beside it.
    """
    read = {"logits", *SCORES[channel.score].needs}
    found = [pixels for name, pixels in reached.items() if name in read]
    return torch.stack(found).any(dim=0) if found else None


def fill_invalid(values: Tensor, invalid: Tensor | None, maximum: float) -> Tensor:
    """``values`` with ``maximum`` at invalid pixels, and instead of NaN and infinity."""
    # Finite logits can still overflow inside a score; that is no knowledge either.
    values = torch.nan_to_num(values, nan=maximum, posinf=maximum, neginf=-math.inf)
    return values if invalid is None else values.masked_fill(invalid, maximum)

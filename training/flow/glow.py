"""A small Glow: the flow that a few CPU cores can train."""

from __future__ import annotations

from training.flow.bijections import Bijection, Chain, FactorOut, Squeeze, glow_step
from training.flow.coupling_networks import ConvolutionalNetwork, LinearNetwork
from training.flow.image_flow import End, ImageFlow, check_counts


class GlowSmall(ImageFlow):
    """Glow (Kingma and Dhariwal 2018) of three levels with plain, narrow coupling networks.

    Each level is a squeeze and ``steps`` Glow steps; between levels half of the channels leave,
    with a density that the other half rules. Sides are multiples of 8 at three levels; 522,636
    parameters by default.

    Args:
        levels: number of squeezes.
        steps: of each level.
        hidden: channels inside coupling networks.
        end: see ``ImageFlow``; ``checkpointing`` too.

    Raises:
        ValueError: a number below 1, or an ``end`` that is none.
    """

    def __init__(
        self,
        levels: int = 3,
        steps: int = 8,
        hidden: int = 48,
        end: End = "clamp",
        checkpointing: bool = False,
    ) -> None:
        check_counts(levels=levels, steps=steps, hidden=hidden)
        parts: list[Bijection] = []
        channels = 3
        for level in range(levels):
            if level:
                channels //= 2
                parts.append(FactorOut(LinearNetwork(channels, 2 * channels)))
            channels *= 4
            parts.append(Squeeze())
            parts += [_make_step(channels, hidden) for _ in range(steps)]
        super().__init__(Chain(*parts), channels, 2**levels, end, checkpointing)


def _make_step(channels: int, hidden: int) -> Chain:
    ruled = channels // 2
    return glow_step(channels, ConvolutionalNetwork(channels - ruled, 2 * ruled, hidden))

"""Samples of a normalizing flow that learns with the segmenter: NFlowJS."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from training.flow.image_flow import ImageFlow
from training.negatives.protocol import Drawn, NegativeSource, check_crops, measure_colours


class FlowPatches(NegativeSource):
    """Samples of a flow, which is trained on the crops that they replace.

    L_gen = -ln p(x_crop) + lambda sum L_neg (Grcic et al., NFlowJS, equation 4): the first term is
    the loss ``bits_per_dim``, the second reaches the flow through the samples.

    Args:
        flow: trained before, as a rule.
        joint: the loss on negative pixels has a gradient to the flow; otherwise samples are
            detached.
        likelihood: the flow is trained on the replaced crops.
        temperature: of the samples.
        feedback: factor of that gradient on its way to the flow. 1 is equation 4; less gives the
            likelihood the upper hand, which keeps samples of a quick flow from running away.

    With both switched off the flow is frozen: its parameters ask for no gradient.
    """

    def __init__(
        self,
        flow: ImageFlow,
        joint: bool = True,
        likelihood: bool = True,
        temperature: float = 1.0,
        feedback: float = 1.0,
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, found {temperature}")
        if not feedback > 0:
            raise ValueError(f"feedback must be positive, found {feedback}; joint: false is none")
        self.flow = flow
        self.joint = joint
        self.likelihood = likelihood
        self.temperature = temperature
        self.feedback = feedback
        if not (joint or likelihood):
            flow.requires_grad_(False)

    def draw(self, crops: Tensor, generators: Sequence[torch.Generator]) -> Drawn:
        """Samples; the loss is the mean of the crops' bits per dimension. See ``NegativeSource``.

        Crops have whole numbers and sides of the flow's multiple.
        """
        check_crops(crops, generators, self.flow.multiple)
        # Samples come first: they are the same numbers with and without the likelihood.
        with torch.set_grad_enabled(self.joint and torch.is_grad_enabled()):
            patches = self.flow.sample(crops.shape[2], crops.shape[3], generators, self.temperature)
        if patches.requires_grad and self.feedback != 1.0:
            patches.register_hook(self._weigh)  # type: ignore[no-untyped-call]
        losses = {}
        if self.likelihood:
            losses["bits_per_dim"] = self.flow.bits_per_dim(crops, generators).mean()
        return Drawn(patches, losses, measure_colours(patches))

    def _weigh(self, gradient: Tensor) -> Tensor:
        return self.feedback * gradient

"""The training step of a segmentation network: on known classes, or joint with negatives.

L = cross-entropy of inlier pixels + lambda * D(U, p) on pasted pixels + what the source of
negatives adds (for a flow: bits per dimension of the crops that the patches replace). One backward
pass: the gradient of D reaches a jointly trained flow through its samples (Grcic et al., NFlowJS,
Sensors 2024, equations 2 to 5).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from training.divergences import DIVERGENCES
from training.loop import Losses
from training.losses import mixed_content_sums
from training.mixed_content import (
    choose_places,
    cut,
    outlier_mask,
    paste,
    patch_generators,
    split_by_size,
)
from training.negatives import NegativeSource
from training.ranks import Ranks
from training.recipes import NegativesRecipe, Recipe


class Mixed(NamedTuple):
    """A batch with negatives pasted in.

    Attributes:
        images: (B, 3, H, W) on the 0..255 scale; carries the gradient of the patches.
        labels: (B, H, W), 255 on pasted pixels.
        pasted: (B, H, W) bool.
        losses: of the source, means over the patches.
        measures: of the patches, for the log.
    """

    images: Tensor
    labels: Tensor
    pasted: Tensor
    losses: dict[str, Tensor]
    measures: dict[str, float]


class SegmentationObjective(nn.Module):
    """What a segmentation network's training minimises.

    Args:
        network: of ``MODELS``.
        source: of negatives; None for known classes alone.
        recipe: of the run.
        class_weights: (K,) of the cross-entropy.
        ranks: the processes that share each batch.
    """

    class_weights: Tensor

    def __init__(
        self,
        network: nn.Module,
        source: NegativeSource | None,
        recipe: Recipe,
        class_weights: Tensor,
        ranks: Ranks,
    ) -> None:
        super().__init__()
        self.network = network
        self.source = source
        self.recipe = recipe
        self.ranks = ranks
        self.register_buffer("class_weights", class_weights, persistent=False)

    def train(self, mode: bool = True) -> SegmentationObjective:
        """As always, but for BatchNorm where its statistics are frozen."""
        super().train(mode)
        if self.recipe.network.freeze_statistics:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor, step: int) -> Losses:
        """Losses of a batch: (b, H, W, 3) uint8 images and (b, H, W) labels of this process."""
        device = self.class_weights.device
        images = images.to(device).permute(0, 3, 1, 2).to(self.class_weights.dtype)
        labels = labels.to(device)
        mixed = None
        if self.source is not None and self.recipe.negatives is not None:
            mixed = self.mix(images, labels, self.source, self.recipe.negatives, step)
            images, labels = mixed.images, mixed.labels
        half = self.recipe.optimisation.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = self.network(images).logits
        return self._weigh(logits, labels, mixed, step)

    def mix(
        self,
        images: Tensor,
        labels: Tensor,
        source: NegativeSource,
        recipe: NegativesRecipe,
        step: int,
    ) -> Mixed:
        """Paste negatives into images (b, 3, H, W) on the 0..255 scale."""
        patches = recipe.patches
        places = choose_places(
            images.shape[2],
            images.shape[3],
            self.ranks.share(self.recipe.optimisation.batch),
            seed=self.recipe.seed,
            step=step,
            sizes=patches.sizes,
            one_size=patches.one_size,
            per_image=patches.per_image,
            placement=patches.placement,
            shape=patches.shape,
        )
        count = sum(map(len, places))
        pasted = torch.zeros_like(labels, dtype=torch.bool)
        sums: dict[str, Tensor] = {}
        measures: dict[str, float] = {}
        mixed = images
        for group in split_by_size(places):
            drawn = source.draw(cut(images, group), patch_generators(group))
            mixed = paste(mixed, drawn.patches, group, drawn.masks)
            labels, covered = outlier_mask(labels, group, drawn.masks, patches.ignore_border)
            pasted |= covered
            share = sum(map(len, group)) / count
            for name, loss in drawn.losses.items():
                sums[name] = sums.get(name, 0.0) + share * loss
            for name, value in drawn.measures.items():
                measures[name] = measures.get(name, 0.0) + share * value
        return Mixed(mixed, labels, pasted, sums, measures)

    def _weigh(self, logits: Tensor, labels: Tensor, mixed: Mixed | None, step: int) -> Losses:
        recipe = self.recipe.negatives
        divergence = None if mixed is None or recipe is None else DIVERGENCES[recipe.divergence]
        pasted = None if mixed is None else mixed.pasted
        sums = mixed_content_sums(logits, labels, pasted, divergence, self.class_weights)
        if self.ranks.count > 1:
            # Gradients are averaged over processes, so each divides by its share of the counts.
            counts = self.ranks.add_up(torch.stack([sums.weight, sums.pasted])) / self.ranks.count
            sums = sums._replace(weight=counts[0], pasted=counts[1])
        cross_entropy, negative = sums.mean()
        if mixed is None or recipe is None:
            return Losses(cross_entropy, {"cross_entropy": cross_entropy.detach()})
        weight_now = recipe.weight * min(1.0, (step + 1) / max(1, recipe.weight_warmup_steps))
        total = cross_entropy + weight_now * negative + sum(mixed.losses.values())
        parts = {"cross_entropy": cross_entropy, "negative": negative, **mixed.losses}
        parts |= {name: total.new_tensor(value) for name, value in mixed.measures.items()}
        return Losses(total, {name: part.detach() for name, part in parts.items()})

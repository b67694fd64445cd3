"""The artefact probe: does pasting alone make known things look unknown?

Networks that are trained with pasted negatives may learn seams instead of the unknown. So a piece
of one scene without unknown objects goes into another one, to the same place, by the code that
pastes negatives in training. The score of the piece is taken in its own scene and where it was
pasted. Its surroundings are others there, which raises the score of any network: what counts is
how much more it rises than that of a network that never saw a pasted patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from open_set_seg.frame import FloatImage
from open_set_seg.head import ScoreChannel
from open_set_seg.label_spaces import STREETHAZARDS
from open_set_seg.scoring import Scoring
from training.mixed_content import Place, choose_places, cut, paste
from training.study.measuring.answers import image_tensor, run_network, score_map
from training.study.measuring.scenes import StudyScene


@dataclass(frozen=True)
class ProbeSettings:
    """How pieces are pasted and judged.

    Attributes:
        score: name of a ``Scoring`` that reads logits alone.
        sizes: shortest and longest side of a piece in pixels, multiples of 8; every scene draws
            its own.
        seed: of places and sizes, which are thus the same for every network.

    Raises:
        ValueError: a score that reads more than the logits.
    """

    score: str = "jsd"
    sizes: tuple[int, int] = (16, 64)
    seed: int = 0

    def __post_init__(self) -> None:
        scoring = Scoring.parse(self.score)
        if scoring.intervention is not None or scoring.steps or scoring.entry.needs != ("logits",):
            raise ValueError(f"{self.score!r} reads more than the logits of one forward pass")

    @property
    def channel(self) -> ScoreChannel:
        """What the head is asked for."""
        scoring = Scoring.parse(self.score)
        return ScoreChannel(scoring.score, scoring.temperature, coarse=scoring.coarse)


@torch.inference_mode()
def probe_artefacts(
    model: nn.Module, scenes: Sequence[StudyScene], settings: ProbeSettings | None = None
) -> dict[str, Any]:
    """Paste a piece of every scene into the next one, and of the last into the first.

    Args:
        model: maps RGB (1, 3, H, W) on 0..255 to a ``SegmentationOutput``.
        scenes: two or more of one size, without unknown objects. They are read twice.
        settings: how.

    Returns:
        JSON values: means over the images of ``before`` (score of the piece in its own scene),
        ``after`` (where it was pasted) and ``jump`` (after - before), and in ``images`` the two by
        the image that was pasted into, rounded to four digits.

    Raises:
        ValueError: fewer than two scenes, one of another size or one with an unknown object.
    """
    settings = settings or ProbeSettings()
    places = _choose_places(scenes, settings)
    was_training = model.training
    model.eval()
    patches, before, after = [], [], []
    # Scene -1 gives to scene 0, 0 to 1, and so on.
    for index, place in enumerate(places):
        image = image_tensor(model, scenes[index - 1].image)
        patches.append(cut(image, [[place]]) / 255.0)
        before.append(_mean_score(model, image, place, settings))
    for index, place in enumerate(places):
        image = image_tensor(model, scenes[index].image)
        mixed = paste(image, patches[index], [[place]])
        after.append(_mean_score(model, mixed, place, settings))
    model.train(was_training)
    return {
        "before": float(np.mean(before)),
        "after": float(np.mean(after)),
        "jump": float(np.mean(after) - np.mean(before)),
        "images": {
            "before": [round(value, 4) for value in before],
            "after": [round(value, 4) for value in after],
        },
    }


def _choose_places(scenes: Sequence[StudyScene], settings: ProbeSettings) -> list[Place]:
    if len(scenes) < 2:
        raise ValueError(f"pieces of one scene go into another: two are needed, not {len(scenes)}")
    sizes = set()
    for scene in scenes:
        if (scene.labels == STREETHAZARDS.unknown_id).any():
            raise ValueError("the probe needs scenes without unknown objects")
        sizes.add(scene.labels.shape)
    if len(sizes) > 1:
        raise ValueError(f"the probe needs scenes of one size, not of {sorted(sizes)}")
    height, width = sizes.pop()
    chosen = choose_places(
        height,
        width,
        range(len(scenes)),
        seed=settings.seed,
        step=0,
        sizes=settings.sizes,
        one_size="image",
    )
    return [place for row in chosen for place in row]


def _mean_score(model: nn.Module, image: Tensor, place: Place, settings: ProbeSettings) -> float:
    """Mean score of the pixels of a place."""
    size = image.shape[-2:]
    values: FloatImage = score_map(run_network(model, image), size, settings.channel)
    chosen = values[place.rows, place.columns][place.mask().numpy()]
    return float(chosen.mean(dtype=np.float64))

"""What a network says about scenes, with their truth pixel by pixel.

Logits stay at the network's own stride, so those of some hundred scenes fit in memory, and score
maps are made of them one score at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from open_set_seg.frame import FloatImage, ImageRGB
from open_set_seg.head import ScoreChannel, compute_channels
from open_set_seg.label_spaces import STREETHAZARDS, UNLABELLED
from open_set_seg.metrics.image_confusions import ImageConfusions
from open_set_seg.scores import ScoreInputs, ScoreStatistics
from training.study.measuring.scenes import StudyObject, StudyScene

ROAD_CLASSES = ("road", "road line")
# Codes of pixels.
BESIDE, ROAD, UNKNOWN, IGNORED = 0, 1, 2, 255

Codes = NDArray[np.uint8]


class Scenes(Protocol):
    """Scenes that can be measured on, such as ``StudyScenes``."""

    @property
    def families(self) -> str:
        """Group of their unknown objects."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[StudyScene]: ...


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of the pixels of all scenes.

    Attributes:
        codes: (H, W) each: known off the road, known on the road (and its lines), unknown or
            unlabelled.
        road_depth: (R,) metres, of all known pixels on the road in the order of the scenes.
        unknown_depth: (U,) likewise of all unknown pixels.
        unknown_owner: (U,) index into ``objects``.
        objects: of all scenes.
    """

    codes: tuple[Codes, ...]
    road_depth: NDArray[np.float32]
    unknown_depth: NDArray[np.float32]
    unknown_owner: NDArray[np.int64]
    objects: tuple[StudyObject, ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says about scenes.

    Attributes:
        inputs: what scores read, of a scene each.
        truth: of the scenes.
        confusions: over the known classes, by scene.
    """

    inputs: tuple[ScoreInputs, ...]
    truth: Truth
    confusions: ImageConfusions

    def maps(
        self, channel: ScoreChannel, statistics: ScoreStatistics | None = None
    ) -> Iterator[FloatImage]:
        """(H, W) score maps of the scenes, upsampled logits first, one after the other."""
        for inputs, codes in zip(self.inputs, self.truth.codes, strict=True):
            yield score_map(inputs, codes.shape, channel, statistics)


@torch.inference_mode()
def score_map(
    inputs: ScoreInputs,
    size: tuple[int, ...],
    channel: ScoreChannel,
    statistics: ScoreStatistics | None = None,
) -> FloatImage:
    """(H, W) map of one scene."""
    _, (values,) = compute_channels(inputs, (size[0], size[1]), [channel], statistics)
    found: FloatImage = values[0].float().cpu().numpy()
    return found


@torch.inference_mode()
def answer_scenes(model: nn.Module, scenes: Scenes, features: bool = False) -> Answers:
    """One forward pass a scene, in evaluation mode.

    Args:
        model: maps RGB (1, 3, H, W) on 0..255 to a ``SegmentationOutput``.
        scenes: with their truth.
        features: whether scores will read the network's features.
    """
    was_training = model.training
    model.eval()
    inputs = []
    confusions = ImageConfusions(STREETHAZARDS.num_classes)

    def answered() -> Iterator[StudyScene]:
        for index, scene in enumerate(scenes):
            found = run_network(model, image_tensor(model, scene.image))
            inputs.append(found if features else found._replace(features=None))
            nearest, _ = compute_channels(inputs[-1], scene.labels.shape, [])
            confusions.add(image_id(index), scene.labels, nearest[0].cpu().numpy())
            yield scene

    truth = describe_truth(answered())
    model.train(was_training)
    return Answers(tuple(inputs), truth, confusions)


def image_tensor(model: nn.Module, image: ImageRGB) -> Tensor:
    """(1, 3, H, W) on 0..255 on the network's device."""
    device = next(model.parameters()).device
    return torch.from_numpy(image).to(device).permute(2, 0, 1).unsqueeze(0).float()


def run_network(model: nn.Module, images: Tensor) -> ScoreInputs:
    """What scores read of a network's output."""
    output = model(images)
    return ScoreInputs(output.logits, output.outlier_logits, output.features)


def image_id(index: int) -> str:
    """Of a scene in everything that is counted by image: sorts like the index."""
    return f"{index:06d}"


def describe_truth(scenes: Iterable[StudyScene]) -> Truth:
    """The truth of scenes, in their order; each is let go before the next one."""
    table = np.full(UNLABELLED + 1, IGNORED, np.uint8)
    table[: STREETHAZARDS.num_classes] = BESIDE
    table[[STREETHAZARDS.id_of(name) for name in ROAD_CLASSES]] = ROAD
    table[STREETHAZARDS.unknown_id] = UNKNOWN
    codes, road_depth, unknown_depth, owners = [], [], [], []
    objects: list[StudyObject] = []
    for scene in scenes:
        codes.append(table[scene.labels])
        unknown = codes[-1] == UNKNOWN
        road_depth.append(scene.depth[codes[-1] == ROAD])
        unknown_depth.append(scene.depth[unknown])
        owners.append(_owners(scene, unknown) + len(objects))
        objects += scene.objects
    return Truth(
        tuple(codes),
        np.concatenate(road_depth),
        np.concatenate(unknown_depth),
        np.concatenate(owners),
        tuple(objects),
    )


def _owners(scene: StudyScene, unknown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which of the scene's objects every unknown pixel belongs to."""
    places = np.full(UNLABELLED + 1, -1, np.int64)
    for place, each in enumerate(scene.objects):
        places[each.id] = place
    found: NDArray[np.int64] = places[scene.ids[unknown]]
    if found.size and found.min() < 0:
        raise ValueError("an unknown pixel belongs to none of the scene's objects")
    return found

"""Sections that recipes share: network, data, augmentation, optimisation, score."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from open_set_seg.models import MODELS, LadderDenseNet
from open_set_seg.scoring import Scoring, ScoringError
from training.recipes.reading import require


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network.

    Attributes:
        checkpoint: of this package, whose weights (and BatchNorm statistics) training starts from.
        imagenet_weights: file with torchvision's ResNet-18 or DenseNet-121, for full width.
        gradient_checkpointing: compute features again in the backward pass instead of keeping
            them: less memory, more time, the same results. For ``ldn_121``.
        freeze_statistics: BatchNorm keeps the statistics that it starts from and normalises by
            them in training too. For fine-tuning, where pasted content would shift them.
    """

    architecture: str = "swiftnet_rn18"
    width: float = 1.0
    checkpoint: str | None = None
    imagenet_weights: str | None = None
    gradient_checkpointing: bool = False
    freeze_statistics: bool = False

    def __post_init__(self) -> None:
        require(self.architecture in MODELS, "architecture", sorted(MODELS))
        require(0 < self.width <= 4, "width", "a number in (0, 4]")
        can_checkpoint = MODELS[self.architecture] is LadderDenseNet
        require(
            can_checkpoint or not self.gradient_checkpointing,
            "gradient_checkpointing",
            f"false for {self.architecture}",
        )
        alone = self.checkpoint is None or self.imagenet_weights is None
        require(alone, "imagenet_weights", "none beside a checkpoint")


@dataclass(frozen=True)
class SimulationRecipe:
    """Simulated scenes, rendered once into ``cache``.

    Training scenes carry no unknown objects; validation scenes carry those of the development
    families (their pixels count for the threshold, never for the closed-set mIoU).
    """

    training_scenes: int = 1000
    validation_scenes: int = 60
    width: int = 1024
    height: int = 512
    supersampling: int = 2
    workers: int = 2
    cache: str = "runs/cache"

    def __post_init__(self) -> None:
        for name in ("training_scenes", "validation_scenes", "width", "height", "workers"):
            require(getattr(self, name) >= 1, name, "at least 1")
        require(self.supersampling >= 1, "supersampling", "at least 1")


@dataclass(frozen=True)
class SetRecipe:
    """One split of a data set on disk.

    Attributes:
        name: key in ``DATASETS``.
        root: its own folder, or a folder that holds it.
        split: None for the one that is usual.
    """

    name: str
    root: str
    split: str | None = None


@dataclass(frozen=True)
class DataRecipe:
    """What is trained and validated on: the simulation, or data sets on disk.

    Attributes:
        simulation: None with ``sets``; None without them is the simulation by its defaults.
        sets: trained on together, in one label space.
        validation: for the closed-set mIoU while training; empty for none.
        anomalies: with outliers, for AP and FPR95 while training; empty for none.
        validation_frames: at most so many of each of them are looked at.
        skip_corrupt: whether frames with corrupt files are left out; else they end the run.
        threads: that load and augment.
    """

    simulation: SimulationRecipe | None = None
    sets: tuple[SetRecipe, ...] = ()
    validation: tuple[SetRecipe, ...] = ()
    anomalies: tuple[SetRecipe, ...] = ()
    validation_frames: int = 500
    skip_corrupt: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        require(self.simulation is None or not self.sets, "sets", "none beside a simulation")
        others = self.validation or self.anomalies
        require(bool(self.sets) or not others, "sets", "some where data sets are validated on")
        require(self.threads >= 1, "threads", "at least 1")
        require(self.validation_frames >= 1, "validation_frames", "at least 1")

    @property
    def scenes(self) -> SimulationRecipe | None:
        """The simulation that is trained on; None with data sets."""
        return None if self.sets else self.simulation or SimulationRecipe()


@dataclass(frozen=True)
class AugmentationRecipe:
    """Random scale, crop, mirror and colour.

    Attributes:
        short_side: images are first resized so that their shorter side is so long; None: not.
        scale: smallest and largest factor on the image size.
        scale_distribution: of the factor between them.
        colour: largest relative change of contrast and of each channel's gain.
        brightness: largest shift on the 0..255 scale.
        padding_colour: of what lies beside a scaled image that is smaller than the crop.
    """

    crop_width: int = 640
    crop_height: int = 320
    short_side: int | None = None
    scale: tuple[float, float] = (0.7, 1.4)
    scale_distribution: Literal["log_uniform", "uniform"] = "log_uniform"
    mirror: float = 0.5
    colour: float = 0.15
    brightness: float = 16.0
    padding_colour: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for name in ("crop_width", "crop_height"):
            require(getattr(self, name) >= 32, name, "at least 32")
        require(0 < self.scale[0] <= self.scale[1], "scale", "0 < smallest <= largest")
        require(0 <= self.mirror <= 1, "mirror", "a probability")
        require(0 <= self.colour < 1, "colour", "a number in [0, 1)")
        require(self.brightness >= 0, "brightness", "at least 0")
        allowed = all(0 <= value <= 255 for value in self.padding_colour)
        require(allowed, "padding_colour", "numbers from 0 to 255")
        short = self.short_side
        require(short is None or short >= 32, "short_side", "at least 32")


@dataclass(frozen=True)
class OptimisationRecipe:
    """The optimiser with a linear warm-up and a cosine, stepped every step.

    Attributes:
        steps: of the optimiser.
        epochs: passes over the training set; where given, they replace ``steps``.
        batch: images a step, of all processes together.
        optimiser: AdamW decays weights (not normalisations and biases) apart from the gradient;
            Adam adds the decay to it.
        encoder_factor: on the learning rate of the encoder, which ImageNet weights may fill.
        final_learning_rate: of the cosine's end.
        cosine_stretch: the cosine ends after so many times the run's length: 2 for a run that
            stops half-way down.
        class_weight_power: a class of pixel share f weighs f ** -power in the loss, scaled so that
            the mean over pixels is 1; 0: no weighting.
        precision: ``bf16`` runs the network under autocast; loss and weights stay float32.
    """

    steps: int = 3000
    epochs: int | None = None
    batch: int = 8
    optimiser: Literal["adamw", "adam"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    learning_rate: float = 1e-3
    encoder_factor: float = 1.0
    final_learning_rate: float = 1e-6
    cosine_stretch: float = 1.0
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    class_weight_power: float = 0.25
    precision: Literal["fp32", "bf16"] = "fp32"
    validate_every: int = 1000
    save_every: int = 200

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "validate_every", "save_every"):
            require(getattr(self, name) >= 1, name, "at least 1")
        require(self.epochs is None or self.epochs >= 1, "epochs", "at least 1")
        for name in ("learning_rate", "epsilon"):
            require(getattr(self, name) > 0, name, "a positive number")
        for name in ("encoder_factor", "warmup_steps", "weight_decay", "class_weight_power"):
            require(getattr(self, name) >= 0, name, "at least 0")
        falls = 0 <= self.final_learning_rate <= self.learning_rate
        require(falls, "final_learning_rate", "a number from 0 to learning_rate")
        require(self.cosine_stretch >= 1, "cosine_stretch", "at least 1")
        require(all(0 <= b < 1 for b in self.betas), "betas", "numbers in [0, 1)")


@dataclass(frozen=True)
class ScoreRecipe:
    """The score that the checkpoint publishes.

    Attributes:
        name: of a ``Scoring`` without intervention and temperature that reads nothing but logits:
            the class logits, or those of an outlier head.
        temperature: T, for a score that has one.
    """

    name: str = "jsd"
    temperature: float = 2.0

    def __post_init__(self) -> None:
        _check_score(self.name)
        require(self.temperature > 0, "temperature", "a positive number")

    @property
    def scoring(self) -> Scoring:
        """How an image becomes its anomaly map."""
        found = Scoring.parse(self.name)
        has_temperature = found.entry.temperature is not None
        return dataclasses.replace(found, temperature=self.temperature if has_temperature else None)


def _check_score(name: str) -> None:
    try:
        scoring = Scoring.parse(name)
    except ScoringError as error:
        require(False, "name", f"a scoring: {error}")
        raise
    require(scoring.temperature is None, "name", "no temperature: score.temperature has it")
    require(scoring.intervention is None, "name", "a score without intervention")
    others = {*scoring.entry.needs} - {"logits", "outlier_logits"}
    needs = " and ".join(sorted(others))
    require(not others, "name", f"a score of logits alone; {name} needs {needs}")

"""OpenSetSegmenter: an RGB image in, labels with *unknown* and an anomaly map out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from open_set_seg.backends import (
    AUTOMATIC,
    Backend,
    NetworkRunner,
    Precision,
    choose_device,
    choose_precision,
)
from open_set_seg.backends.transfer import download
from open_set_seg.checkpoint import CheckpointMetadata, is_exported
from open_set_seg.frame import FloatImage, ImageRGB, LabelImage, Prediction
from open_set_seg.head import UnknownRule, label_channels
from open_set_seg.interventions import Intervention
from open_set_seg.label_spaces import LabelSpace
from open_set_seg.models import PixelClassifier, SegmentationOutput
from open_set_seg.opening import open_exported, open_model
from open_set_seg.scores import ScoreInputs, ScoreStatistics
from open_set_seg.scoring import Scoring, ScoringError
from open_set_seg.segmenter.images import check_image, label_pixels
from open_set_seg.segmenter.repertoire import Repertoire, Request

logger = logging.getLogger(__name__)


class OpenSetSegmenter:
    """One network on one device.

    Not for use from several threads at once. The same image gives the same result, bit for bit, on
    the same device with the same number of threads.

    Args:
        model: network that maps RGB (B, 3, H, W) on 0..255 to a ``SegmentationOutput``, or a
            backend that runs one.
        metadata: label space, score and threshold that belong to it.
        device: ``auto`` (CUDA where there is one, else the CPU) or a torch device name.
        precision: of the network's arithmetic; the head always computes in float32. ``auto`` is
            fp32, so that results do not depend on the processor; ``bf16`` halves the time on CPUs
            with AVX512-BF16 and on GPUs.
        statistics: of inlier data, for the scores that need them.
        score: name of the ``Scoring`` to publish; None: the checkpoint's own. An unbounded one
            needs a map in ``metadata.score_maps``.
        threshold: instead of the checkpoint's, in [0, 1]. The checkpoint's belongs to its own
            scoring: another one has none but this, or that of a call.
        backend: what runs the network: ``auto`` or a key of ``BACKENDS``. ``auto`` is the fastest
            that is installed and agrees with PyTorch; frames for which scores need features or an
            intervention run in PyTorch. ``pytorch`` depends on nothing else that is installed.

    Raises:
        ValueError: a device or a backend that is not there, an unknown precision, or a threshold
            outside [0, 1].
        ScoringError: a score that is unknown, or that needs what is not there.
    """

    def __init__(
        self,
        model: nn.Module | Backend,
        metadata: CheckpointMetadata,
        device: str = "auto",
        precision: Precision = "auto",
        statistics: ScoreStatistics | None = None,
        *,
        score: str | None = None,
        threshold: float | None = None,
        backend: str = AUTOMATIC,
    ) -> None:
        self._metadata = metadata
        self._repertoire = Repertoire(metadata, statistics)
        self._published = self._repertoire.publish(metadata.score if score is None else score)
        belongs = self._published.scoring == self._repertoire.own
        self._threshold = metadata.threshold if belongs and threshold is None else threshold
        if threshold is not None:
            self.choose_threshold(threshold)
        self._device = choose_device(device)
        arithmetic = choose_precision(precision, self._device)
        whole = self._published.scoring.needs_network
        self._runner = NetworkRunner(model, self._device, backend, arithmetic, whole)
        self._has_features = isinstance(model, PixelClassifier)
        self._statistics = None if statistics is None else statistics.to(self._device)
        self.check_scores([str(self._published.scoring)])
        logger.info("segmenter: %s", self.device_description)

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path,
        device: str = "auto",
        precision: Precision = "auto",
        *,
        score: str | None = None,
        threshold: float | None = None,
        backend: str = AUTOMATIC,
    ) -> OpenSetSegmenter:
        """The segmenter of a model file: of any kind in ``open_set_seg.opening.KINDS``.

        A file that ``open-set-seg export`` wrote runs on the CPU unless a device is named, and
        takes images of its own size alone.

        Raises:
            CheckpointError: the file is no usable checkpoint.
            ValueError: no usable model file of another kind, or as the constructor.
        """
        model: nn.Module | Backend
        if is_exported(Path(path)):
            device = "cpu" if device == "auto" else device
            place = choose_device(device)
            arithmetic = choose_precision(precision, place)
            model, metadata, statistics = open_exported(path, place, arithmetic)
        else:
            opened = open_model(path, choose_device(device))
            model, metadata, statistics = opened[:3]
            backend = opened.backend if backend == AUTOMATIC else backend
        return cls(
            model,
            metadata,
            device,
            precision,
            statistics,
            score=score,
            threshold=threshold,
            backend=backend,
        )

    @property
    def metadata(self) -> CheckpointMetadata:
        """What the checkpoint says about the network."""
        return self._metadata

    @property
    def label_space(self) -> LabelSpace:
        """The known classes."""
        return self._metadata.label_space

    @property
    def scoring(self) -> Scoring:
        """What is published, with its temperature."""
        return self._published.scoring

    @property
    def threshold(self) -> float | None:
        """Above it a pixel is unknown, on the published [0, 1] scale.

        None where the scoring is not the checkpoint's own and no threshold was given.
        """
        return self._threshold

    def choose_threshold(self, threshold: float | None) -> float:
        """The threshold of a call that is given this one, or none.

        Raises:
            ValueError: a threshold outside [0, 1].
            ScoringError: neither the call nor the segmenter has one.
        """
        chosen = self._threshold if threshold is None else float(threshold)
        if chosen is None:
            raise ScoringError(
                f"the score {str(self.scoring)!r} needs a threshold in [0, 1]: the checkpoint's "
                f"belongs to its own score, {str(self._repertoire.own)!r}"
            )
        if not 0.0 <= chosen <= 1.0:
            raise ValueError(f"the threshold must lie in [0, 1], not {chosen}")
        return chosen

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._device

    @property
    def image_size(self) -> tuple[int, int] | None:
        """(H, W) of the only images that the network takes; None: of any."""
        return self._runner.image_size

    @property
    def device_description(self) -> str:
        """Backend, device, precision and threads in words, for logs and diagnostics."""
        network = f"{self._metadata.architecture} x{self._metadata.width:g}"
        return f"{network}, {self._runner.description}"

    def segment(self, rgb: ImageRGB, threshold: float | None = None) -> Prediction:
        """Labels and anomaly of one image.

        Args:
            rgb: (H, W, 3) uint8, any H and W.
            threshold: instead of the segmenter's, in [0, 1].

        Raises:
            ValueError: another shape or type, or as ``choose_threshold``.
        """
        return self.segment_with_scores(rgb, (), threshold)[0]

    def score_maps(
        self, rgb: ImageRGB, scores: Sequence[str]
    ) -> tuple[LabelImage, dict[str, FloatImage]]:
        """Nearest known class (H, W), and a map (H, W) of every score, from one forward pass.

        Scores come as their formulas give them: an unbounded one is *not* mapped to [0, 1]. The
        checkpoint's own score has the checkpoint's temperature, any other its default. Where the
        network gives no finite number the map holds the largest value: 1, or infinity.

        Raises:
            ValueError: another shape or type, or as ``check_scores``.
        """
        check_image(rgb)
        self.check_scores(scores)
        wanted = {name: Request(self._repertoire.read(name)) for name in scores}
        nearest, maps, _ = self._infer(rgb, tuple(dict.fromkeys(wanted.values())))
        return nearest, {name: maps[request] for name, request in wanted.items()}

    def segment_with_scores(
        self, rgb: ImageRGB, scores: Sequence[str], threshold: float | None = None
    ) -> tuple[Prediction, dict[str, FloatImage]]:
        """What ``segment`` and ``score_maps`` return, from one forward pass.

        Raises:
            ValueError: as ``segment`` and ``check_scores``.
        """
        threshold = self.choose_threshold(threshold)
        check_image(rgb)
        self.check_scores(scores)
        wanted = {name: Request(self._repertoire.read(name)) for name in scores}
        # A bounded score is published as it is, so its map may be wanted twice.
        requests = tuple(dict.fromkeys([self._published, *wanted.values()]))
        nearest, maps, labels = self._infer(rgb, requests, threshold)
        anomaly = maps[self._published]
        if labels is None:
            labels = label_pixels(nearest, anomaly, threshold, self.label_space)
        prediction = Prediction(labels, anomaly, nearest, threshold)
        return prediction, {name: maps[request] for name, request in wanted.items()}

    def check_scores(self, scores: Sequence[str]) -> None:
        """Raise ``ScoringError`` with one line if a score is unknown or needs what is not there."""
        for name in scores:
            self._repertoire.check(name, self._runner, self._has_features)

    def _infer(
        self, rgb: ImageRGB, requests: Sequence[Request], threshold: float | None = None
    ) -> tuple[LabelImage, dict[Request, FloatImage], LabelImage | None]:
        """Nearest classes, maps, and labels by the first request where the head can make them."""
        rule: UnknownRule | None = None
        if threshold is not None and requests[0].is_of_head:
            rule = UnknownRule(threshold, self.label_space.unknown_id)
        with torch.inference_mode():
            whole = any(request.scoring.needs_network for request in requests)
            plain = self._runner.choose(whole)(rgb)
            # The plain pass comes first: its classes are the frame's, whatever a score asks for.
            order = dict.fromkeys([None, *(request.scoring.intervention for request in requests)])
            known: list[Tensor] = []
            computed: dict[Request, Tensor] = {}
            for intervention in order:
                inputs = self._intervene(intervention, rgb, plain)
                mine = [r for r in requests if r.scoring.intervention == intervention]
                channels = [request.channel for request in mine]
                classes, found, labels = label_channels(
                    inputs, rgb.shape[:2], channels, None if known else rule, self._statistics
                )
                if not known:
                    known = [classes[0]] if labels is None else [classes[0], labels[0]]
                computed.update(zip(mine, (values[0] for values in found), strict=True))
            images = [image.numpy() for image in download([*computed.values(), *known])]
        nearest, *labelled = images[len(computed) :]
        pairs = zip(computed, images[: len(computed)], strict=True)
        maps = {r: r.finish(values, nearest, self.label_space) for r, values in pairs}
        return nearest, maps, labelled[0] if labelled else None

    def _intervene(
        self, intervention: Intervention | None, rgb: ImageRGB, plain: SegmentationOutput
    ) -> ScoreInputs:
        if intervention is None:
            return ScoreInputs(*plain)
        pytorch = self._runner.whole()
        image = pytorch.image_tensor(rgb)
        return intervention.apply(pytorch.network, image, plain, self._statistics)

"""Networks of other makes: whatever gives logits, behind the face of this package's networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg.models.output import SegmentationOutput
from open_set_seg.models.units import resize_bilinear

ChannelOrder = Literal["rgb", "bgr"]
CHANNEL_ORDERS: tuple[ChannelOrder, ...] = ("rgb", "bgr")

# What most encoders were trained with: torchvision's constants for RGB on 0..1.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BYTE_SCALE = 1.0 / 255.0


class AdapterError(ValueError):
    """A network or file of another make that cannot be used; says in one line why."""


class LogitsAdapter(nn.Module):
    """A network of another make that takes RGB on 0..255 and gives a ``SegmentationOutput``.

    The network is called with (x * scale - mean) / std and returns logits (B, K, h, w) at any
    stride: as a tensor, as the first item of a sequence, or as ``logits`` or ``out`` of a mapping
    or an object. Logits, not probabilities: of a network that ends in a softmax give the logarithm.
    Gradients reach the image. There are no features.

    With ``input_multiple`` the image's last row and column are repeated until both sides are
    multiples of N, and the logits of what was added are cut off. Nothing is resampled: where the
    image ends on the edge of a cell of the logits, they are cut there; elsewhere they are upsampled
    bilinearly to the padded size first and cut at the image's own size, so that pixels stay in
    their places.

    Args:
        network: images (B, 3, H, W) to logits.
        num_classes: K.
        mean, std: of the channels, in the order in which the network takes them.
        scale: factor on 0..255 before them.
        channel_order: in which the network takes the channels, rgb or bgr.
        input_size: (h, w) that the network insists on: images are resized bilinearly to it.
        input_multiple: N, which must divide both sides of what the network gets.

    Raises:
        AdapterError: arguments that mean nothing.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        network: nn.Module,
        num_classes: int,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        scale: float = BYTE_SCALE,
        channel_order: ChannelOrder = "rgb",
        input_size: tuple[int, int] | None = None,
        input_multiple: int | None = None,
    ) -> None:
        super().__init__()
        _check_input(mean, std, scale, channel_order, input_size, input_multiple)
        self.network = network
        self.num_classes = num_classes
        self._scale = scale
        self._flips = channel_order == "bgr"
        self._size = input_size
        self._multiple = input_multiple or 1
        for name, values in (("_mean", mean), ("_std", std)):
            tensor = torch.tensor(values, dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, rgb: Tensor) -> SegmentationOutput:
        """Logits of RGB images (B, 3, H, W) on 0..255.

        Raises:
            AdapterError: the network fails on such images, or gives something else than logits of
                K classes.
        """
        size = (int(rgb.shape[2]), int(rgb.shape[3]))
        image = rgb if self._size is None else resize_bilinear(rgb, self._size)
        image = _pad_to_multiple(image, self._multiple)
        padded = (int(image.shape[2]), int(image.shape[3]))
        image = image.flip(1) if self._flips else image
        logits = self._run((image * self._scale - self._mean) / self._std)
        if self._size is not None or padded == size:
            return SegmentationOutput(logits)
        return SegmentationOutput(_cut(logits, padded, size))

    def _run(self, image: Tensor) -> Tensor:
        try:
            output = self.network(image)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise AdapterError(
                f"the network fails on an image of shape {tuple(image.shape)}: {last_line(error)}"
            ) from error
        logits = find_logits(output)
        if logits.ndim != 4 or logits.shape[:2] != (image.shape[0], self.num_classes):
            raise AdapterError(
                f"expected logits of shape ({image.shape[0]}, {self.num_classes}, h, w), found "
                f"{tuple(logits.shape)}: the number of classes is that of the label space"
            )
        return logits


def find_logits(output: Any) -> Tensor:
    """The logits in what a network returned; see ``LogitsAdapter``.

    Raises:
        AdapterError: there is no tensor where they are looked for.
    """
    described = f"a {type(output).__name__}"
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        found = output.get("logits", output.get("out"))
        described += f" with the keys {', '.join(map(str, output)) or 'none'}"
    elif isinstance(output, Sequence):
        found = output[0] if output else None
    else:
        found = getattr(output, "logits", getattr(output, "out", None))
    if not isinstance(found, Tensor):
        raise AdapterError(
            "expected logits as a tensor, as the first item of a sequence, or as 'logits' or 'out' "
            f"of a mapping or object, found {described}"
        )
    return found


def last_line(error: BaseException) -> str:
    """The last line of an error's message, where TorchScript has the reason."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__


def _pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    below, right = -image.shape[2] % multiple, -image.shape[3] % multiple
    if not below and not right:
        return image
    return functional.pad(image, (0, right, 0, below), mode="replicate")


def _cut(logits: Tensor, padded: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Logits of an image of ``padded`` pixels without those beyond its first ``size``."""
    rows, rest_of_rows = divmod(size[0] * int(logits.shape[2]), padded[0])
    columns, rest_of_columns = divmod(size[1] * int(logits.shape[3]), padded[1])
    if rest_of_rows or rest_of_columns:
        logits, (rows, columns) = resize_bilinear(logits, padded), size
    return logits[:, :, :rows, :columns]


def _check_input(
    mean: Sequence[float],
    std: Sequence[float],
    scale: float,
    channel_order: str,
    input_size: tuple[int, int] | None,
    input_multiple: int | None,
) -> None:
    for name, values in (("mean", mean), ("std", std)):
        _require(
            len(values) == 3 and all(map(math.isfinite, values)),
            f"three numbers for {name}",
            values,
        )
    _require(all(value > 0 for value in std), "positive numbers for std", std)
    _require(math.isfinite(scale) and scale > 0, "a positive scale", scale)
    _require(channel_order in CHANNEL_ORDERS, "channel_order rgb or bgr", channel_order)
    if input_size is not None:
        _require(len(input_size) == 2 and min(input_size) > 0, "input_size (h, w)", input_size)
        _require(input_multiple is None, "input_size or input_multiple", "both")
    if input_multiple is not None:
        _require(input_multiple > 0, "a positive input_multiple", input_multiple)


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise AdapterError(f"expected {expected}, found {found}")

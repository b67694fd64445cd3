"""Networks of others behind our own head: TorchScript and ONNX files, and modules by factory.

Their output is logits (B, K, h, w) over the classes of a label space: a tensor, the first item of a
sequence, or ``logits`` or ``out`` of a mapping or object. Everything after that is the same as for
our own networks.
"""

from __future__ import annotations

import hashlib
import importlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from open_set_seg import __version__
from open_set_seg.checkpoint import CheckpointMetadata, hash_weights
from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
from open_set_seg.models import SegmentationOutput
from open_set_seg.segmenter import OpenSetSegmenter
from training.sources.answers import EvaluationError, SourceOptions
from training.sources.networks import NetworkSource, name_of

_ZIP = b"PK\x03\x04"
_ONNX = b"\x08"  # the first field of an ONNX file is its version, a number


class ForeignNetwork(nn.Module):
    """A network of another make that takes RGB on 0..255 and gives a ``SegmentationOutput``.

    Args:
        network: images (B, 3, H, W) to logits.
        label_space: of the logits.
        options: of the input: (RGB * scale - mean) / std.
        input_size: (h, w) that the network insists on: images are resized bilinearly.
    """

    _mean: Tensor
    _std: Tensor

    def __init__(
        self,
        network: nn.Module,
        label_space: LabelSpace,
        options: SourceOptions,
        input_size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self._network = network
        self._classes = label_space.num_classes
        self._scale = options.scale
        self._input_size = input_size
        self.register_buffer("_mean", torch.tensor(options.mean).view(1, 3, 1, 1))
        self.register_buffer("_std", torch.tensor(options.std).view(1, 3, 1, 1))

    def forward(self, rgb: Tensor) -> SegmentationOutput:
        """Logits of RGB images (B, 3, H, W) on 0..255."""
        if self._input_size is not None:
            rgb = functional.interpolate(rgb, self._input_size, mode="bilinear")
        found = self._network((rgb * self._scale - self._mean) / self._std)
        logits = _logits_of(found)
        if logits.ndim != 4 or logits.shape[:2] != (rgb.shape[0], self._classes):
            raise EvaluationError(
                f"expected logits of shape ({rgb.shape[0]}, {self._classes}, h, w), found "
                f"{tuple(logits.shape)}: the number of classes is that of --label-space"
            )
        return SegmentationOutput(logits, None, logits)


class OnnxNetwork(nn.Module):
    """The first output of an ONNX graph with one image as its input."""

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise EvaluationError("for ONNX files: pip install onnxruntime") from error
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = torch.get_num_threads()
        wanted = "CUDAExecutionProvider" if device.type == "cuda" else "CPUExecutionProvider"
        if wanted not in onnxruntime.get_available_providers():
            raise EvaluationError(f"onnxruntime has no {wanted} here; give --device cpu")
        try:
            self._session = onnxruntime.InferenceSession(path, settings, providers=[wanted])
        except Exception as error:  # onnxruntime's errors share no narrower class
            raise EvaluationError(f"{path}: no ONNX graph that runs here ({error})") from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            found = ", ".join(f"{one.name} {one.shape}" for one in inputs)
            raise EvaluationError(f"{path}: one input (B, 3, H, W) expected, found {found}")
        self._input = inputs[0]
        self._half = "float16" in self._input.type

    @property
    def input_size(self) -> tuple[int, int] | None:
        """(H, W) if the graph takes nothing else."""
        height, width = self._input.shape[2:]
        fixed = isinstance(height, int) and isinstance(width, int)
        return (height, width) if fixed else None

    def forward(self, image: Tensor) -> Tensor:
        """The graph's first output."""
        values = image.half() if self._half else image.float()
        name = self._input.name
        found = self._session.run(None, {name: values.contiguous().cpu().numpy()})[0]
        return torch.from_numpy(found).to(image.device)


def open_torchscript(path: Path, options: SourceOptions) -> NetworkSource:
    """A TorchScript file."""
    space = _label_space(options)
    try:
        network = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise EvaluationError(f"{path}: no TorchScript that loads here ({reason})") from error
    identity = {"file_sha256": _hash_file(path)}
    return _wrap(name_of(path), "torchscript", identity, network, space, options)


def open_onnx(path: Path, options: SourceOptions) -> NetworkSource:
    """An ONNX file, computed by onnxruntime."""
    from open_set_seg.segmenter import choose_device

    space = _label_space(options)
    network = OnnxNetwork(path, choose_device(options.device))
    identity = {"file_sha256": _hash_file(path), "input_size": network.input_size}
    size = network.input_size
    return _wrap(name_of(path), "onnx", identity, network, space, options, size)


def open_factory(specification: str, options: SourceOptions) -> NetworkSource:
    """``package.module:factory``: a callable that returns an ``nn.Module``; its code is run."""
    space = _label_space(options)
    module_name, _, name = specification.partition(":")
    try:
        factory = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise EvaluationError(f"{specification}: nothing to import there ({error})") from error
    torch.manual_seed(0)  # every process gets the same network, whatever the factory draws
    try:
        network = factory(**options.factory)
    except TypeError as error:
        raise EvaluationError(f"{specification}: {error} (see --model-options)") from error
    if not isinstance(network, nn.Module):
        found = type(network).__name__
        raise EvaluationError(f"{specification} must return an nn.Module, found {found}")
    state = {key: value.cpu() for key, value in network.state_dict().items()}
    identity = {
        "factory": specification,
        "options": dict(options.factory),
        "weights_sha256": hash_weights(state),
    }
    return _wrap(name, "factory", identity, network, space, options)


def is_torchscript(path: Path) -> bool:
    """Whether the content is a TorchScript archive.

    Raises:
        EvaluationError: it is another archive of PyTorch's, which could run code.
    """
    if _start(path, 4) != _ZIP:
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise EvaluationError(f"{path}: an archive that cannot be read ({error})") from error
    if not any("/code/" in name for name in names):
        raise EvaluationError(
            f"{path}: a checkpoint (.safetensors), TorchScript or ONNX file expected, found an "
            "archive without TorchScript code, as torch.save writes it; such files are never "
            "opened because they can run code"
        )
    return True


def is_onnx(path: Path) -> bool:
    """Whether the content, or for lack of it the suffix, is that of an ONNX file."""
    start = _start(path, 9)
    is_protocol_buffer = start[:1] == _ONNX and start[8:] != b"{"
    return is_protocol_buffer or (bool(start) and path.suffix == ".onnx")


def _wrap(
    name: str,
    kind: str,
    identity: Mapping[str, Any],
    network: nn.Module,
    space: LabelSpace,
    options: SourceOptions,
    input_size: tuple[int, int] | None = None,
) -> NetworkSource:
    metadata = CheckpointMetadata(kind, space, __version__)
    wrapped = ForeignNetwork(network, space, options, input_size)
    segmenter = OpenSetSegmenter(wrapped, metadata, options.device, options.precision)
    identity = {
        **identity,
        "label_space": space.name,
        "mean": list(options.mean),
        "std": list(options.std),
        "scale": options.scale,
    }
    scores = options.scores or (metadata.score,)
    return NetworkSource(name, kind, identity, segmenter, scores, own=False)


def _logits_of(output: Any) -> Tensor:
    if isinstance(output, Mapping):
        found = output.get("logits", output.get("out"))
    elif isinstance(output, Sequence):
        found = output[0] if output else None
    else:
        found = getattr(output, "logits", output)
    if not isinstance(found, Tensor):
        raise EvaluationError(f"expected logits as a tensor, found {type(output).__name__}")
    return found


def _label_space(options: SourceOptions) -> LabelSpace:
    known = ", ".join(LABEL_SPACES)
    if options.label_space is None:
        raise EvaluationError(f"give --label-space, the classes of the logits: one of {known}")
    if options.label_space not in LABEL_SPACES:
        raise EvaluationError(f"unknown label space {options.label_space!r}; known are {known}")
    return LABEL_SPACES[options.label_space]


def _start(path: Path, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(length)
    except OSError:
        return b""


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()

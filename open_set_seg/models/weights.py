"""Weights that the user brings: SwiftNet state dicts and ImageNet ResNet-18, from a file.

Nothing is unpickled beyond tensors: ``.pt`` and ``.pth`` files go through
``torch.load(weights_only=True)``, everything ending in ``.safetensors`` through safetensors.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from open_set_seg.models.swiftnet import SwiftNet

StateDict = dict[str, Tensor]


class WeightsError(ValueError):
    """A weights file that cannot be read, or that does not fit the network."""


def read_state_dict(path: str | Path) -> StateDict:
    """Tensors by name from a ``.pt``/``.pth`` or ``.safetensors`` file.

    Raises:
        WeightsError: the file is missing, unreadable, holds code, or is no mapping of tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"expected a weights file at {path}, found nothing there")
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler meets arbitrary bytes with arbitrary exceptions
        raise WeightsError(f"{path} is not a readable file of tensors: {error}") from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise WeightsError(f"expected a mapping from names to tensors in {path}")
    return dict(state)


def load_swiftnet_upstream(path: str | Path) -> SwiftNet:
    """A full-width SwiftNet-RN18 from a state dict with the names of the published code.

    K is read off the classifier; all 195 entries must be there with their shapes.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    state = read_state_dict(path)
    classifier = state.get("logits.conv.weight")
    if classifier is None or classifier.ndim != 4:
        raise WeightsError(
            f"expected a SwiftNet state dict with logits.conv.weight in {path}, "
            f"found {_some(sorted(state))}"
        )
    model = SwiftNet(num_classes=int(classifier.shape[0]))
    check_state_dict(model.state_dict(), state, str(path))
    model.load_state_dict(state, strict=True)
    return model.eval()


def load_imagenet_resnet18(model: SwiftNet, path: str | Path) -> None:
    """Fill the encoder of ``model`` with torchvision's ImageNet ResNet-18 from a file.

    Every convolution and normalisation of the encoder is filled; of the file only ``fc.*`` is left
    over.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    state = read_state_dict(path)
    state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    backbone = model.backbone
    expected = {
        name: tensor
        for name, tensor in backbone.state_dict().items()
        if name.startswith(("conv1.", "bn1.", "layer"))
    }
    check_state_dict(expected, state, str(path))
    backbone.load_state_dict(state, strict=False)


def check_state_dict(expected: StateDict, found: StateDict, source: str) -> None:
    """Raise unless ``found`` has exactly the names and shapes of ``expected``.

    Raises:
        WeightsError: with the names, and for shapes what was expected and what was found.
    """
    problems = []
    if missing := sorted(set(expected) - set(found)):
        problems.append(f"missing {_some(missing)}")
    if unexpected := sorted(set(found) - set(expected)):
        problems.append(f"unexpected {_some(unexpected)}")
    wrong = [
        f"{name} expected {tuple(expected[name].shape)} found {tuple(found[name].shape)}"
        for name in sorted(set(expected) & set(found))
        if expected[name].shape != found[name].shape
    ]
    if wrong:
        problems.append(f"shapes differ: {_some(wrong)}")
    if problems:
        raise WeightsError(f"{source} does not fit the network: {'; '.join(problems)}")


def count_parameters(model: nn.Module) -> int:
    """Number of trainable numbers in ``model``."""
    return sum(parameter.numel() for parameter in model.parameters())


def _some(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"

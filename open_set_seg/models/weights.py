"""Weights that the user brings: the authors' state dicts and ImageNet encoders, from a file.

Nothing is unpickled beyond tensors: ``.pt`` and ``.pth`` files go through
``torch.load(weights_only=True)``, everything ending in ``.safetensors`` through safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from open_set_seg.models.ladder_densenet import LadderDenseNet
from open_set_seg.models.swiftnet import SwiftNet

StateDict = dict[str, Tensor]
Network = TypeVar("Network", SwiftNet, LadderDenseNet)

# torchvision's DenseNet files are older than its code, which has no dot before the number.
_OLD_DENSENET_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d\.)")
_COUNTER = ".num_batches_tracked"


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

    K is read off the classifier, and whether there is an outlier head off ``logits_ood``; all 195
    (202) entries must be there with their shapes.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    return _load_upstream(SwiftNet, "SwiftNet", path)


def load_ldn_upstream(path: str | Path) -> LadderDenseNet:
    """A full-width Ladder-DenseNet-121 from a state dict with the names of the published code.

    K is read off the classifier, and whether there is an outlier head off ``logits_ood``; all 820
    (827) entries must be there with their shapes.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    return _load_upstream(LadderDenseNet, "Ladder-DenseNet-121", path)


def _load_upstream(build: type[Network], title: str, path: str | Path) -> Network:
    state = read_state_dict(path)
    classifier = state.get("logits.conv.weight")
    if classifier is None or classifier.ndim != 4:
        raise WeightsError(
            f"expected a {title} state dict with logits.conv.weight in {path}, "
            f"found {_some(sorted(state))}"
        )
    model = build(int(classifier.shape[0]), outlier_head="logits_ood.conv.weight" in state)
    check_state_dict(model.state_dict(), state, str(path))
    model.load_state_dict(state, strict=True)
    return model.eval()


def load_imagenet(model: nn.Module, path: str | Path) -> None:
    """Fill the encoder of a network of this package with torchvision's weights for it.

    Raises:
        WeightsError: the file does not fit, or the network is another one.
    """
    if isinstance(model, SwiftNet):
        load_imagenet_resnet18(model, path)
    elif isinstance(model, LadderDenseNet):
        load_imagenet_densenet121(model, path)
    else:
        raise WeightsError(f"no ImageNet weights are known for a {type(model).__name__}")


def load_imagenet_resnet18(model: SwiftNet, path: str | Path) -> None:
    """Fill the encoder of ``model`` with torchvision's ImageNet ResNet-18 from a file.

    Every convolution and normalisation of the encoder is filled; of the file only ``fc.*`` is left
    over.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    state = read_state_dict(path)
    state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    _fill(model.backbone, state, str(path), lambda n: n.startswith(("conv1.", "bn1.", "layer")))


def load_imagenet_densenet121(model: LadderDenseNet, path: str | Path) -> None:
    """Fill the encoder of ``model`` with torchvision's ImageNet DenseNet-121 from a file.

    The names of torchvision's own file (``norm.1``) and of its code (``norm1``) are both read.
    Every tensor of the encoder is filled; of the file only the last normalisation
    ``features.norm5.*`` and ``classifier.*`` are left over.

    Raises:
        WeightsError: naming the entries that are missing, unexpected or of another shape.
    """
    state = {
        _OLD_DENSENET_NAME.sub(r"\1\2", name): tensor
        for name, tensor in read_state_dict(path).items()
        if not name.startswith(("features.norm5.", "classifier."))
    }
    _fill(model.backbone, state, str(path), lambda name: True)


def _fill(
    encoder: nn.Module, state: StateDict, source: str, is_wanted: Callable[[str], bool]
) -> None:
    expected = {name: tensor for name, tensor in encoder.state_dict().items() if is_wanted(name)}
    # Files from before PyTorch counted batches lack the counters; nothing that is used depends on
    # them.
    if not any(name.endswith(_COUNTER) for name in state):
        state |= {n: torch.zeros_like(t) for n, t in expected.items() if n.endswith(_COUNTER)}
    check_state_dict(expected, state, source)
    encoder.load_state_dict(state, strict=False)


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


def _some(names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) or "nothing"
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"

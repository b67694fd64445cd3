"""Networks of others as sources of scores: files, described files, and modules by factory.

Opening and running them is the runtime's work: ``open_set_seg.foreign`` and ``LogitsAdapter``.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from open_set_seg.backends import AUTOMATIC, PyTorchBackend, choose_device
from open_set_seg.checkpoint import CheckpointMetadata, hash_weights
from open_set_seg.files import hash_file
from open_set_seg.foreign import OnnxNetwork, is_torchscript, open_network
from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
from open_set_seg.models import LogitsAdapter
from open_set_seg.segmenter import OpenSetSegmenter
from training.sources.answers import EvaluationError, SourceOptions
from training.sources.networks import NetworkSource, name_of


def open_file(path: Path, options: SourceOptions) -> NetworkSource:
    """A TorchScript or ONNX file."""
    space = _label_space(options)
    kind = "torchscript" if is_torchscript(path) else "onnx"
    try:
        network = open_network(path, choose_device(options.device))
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    identity: dict[str, Any] = {"file_sha256": hash_file(path)}
    size = None
    if isinstance(network, OnnxNetwork):
        size = identity["input_size"] = network.input_size
    return _wrap(name_of(path), kind, identity, network, space, options, size)


def open_description(path: Path, options: SourceOptions) -> NetworkSource:
    """What a YAML file describes, with its own classes, normalisation, score and threshold."""
    segmenter = OpenSetSegmenter.from_checkpoint(
        path, options.device, options.precision, backend=options.backend
    )
    metadata = segmenter.metadata
    identity = {
        "file_sha256": metadata.weights_sha256,
        "description_sha256": hash_file(path),
        "label_space": metadata.label_space.name,
    }
    scores = options.scores or (metadata.score,)
    return NetworkSource(name_of(path), "description", identity, segmenter, scores, own=True)


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


def _wrap(
    name: str,
    kind: str,
    identity: Mapping[str, Any],
    network: nn.Module,
    space: LabelSpace,
    options: SourceOptions,
    input_size: tuple[int, int] | None = None,
) -> NetworkSource:
    metadata = CheckpointMetadata(kind, space)
    adapter = LogitsAdapter(
        network,
        space.num_classes,
        options.mean,
        options.std,
        options.scale,
        input_size=input_size,
    )
    backend = options.backend
    if backend == AUTOMATIC and kind != "factory":
        backend = PyTorchBackend.name  # no other converts what lies in a file
    segmenter = OpenSetSegmenter(
        adapter, metadata, options.device, options.precision, backend=backend
    )
    identity = {
        **identity,
        "label_space": space.name,
        "mean": list(options.mean),
        "std": list(options.std),
        "scale": options.scale,
    }
    scores = options.scores or (metadata.score,)
    return NetworkSource(name, kind, identity, segmenter, scores, own=False)


def _label_space(options: SourceOptions) -> LabelSpace:
    known = ", ".join(LABEL_SPACES)
    if options.label_space is None:
        raise EvaluationError(f"give --label-space, the classes of the logits: one of {known}")
    if options.label_space not in LABEL_SPACES:
        raise EvaluationError(f"unknown label space {options.label_space!r}; known are {known}")
    return LABEL_SPACES[options.label_space]

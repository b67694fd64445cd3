"""The ONNX file of a network."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from open_set_seg.certificates import CalibrationSet
from open_set_seg.export.networks import INPUT, ExportedNetwork, ImageSize, trace_network

if TYPE_CHECKING:
    import onnx

# Opset 18 and IR 8 are what every ONNX Runtime since 1.14 and TensorRT since 8.6 read.
OPSET = 18
IR_VERSION = 8
PRODUCER = "open_set_seg"
DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


def write_onnx(
    path: Path,
    network: torch.nn.Module,
    outputs: list[str],
    size: ImageSize,
    precision: str,
    calibration: CalibrationSet | None = None,
) -> None:
    """Write a file of one size, checked by ONNX's own checker.

    Args:
        path: of the file.
        network: the network.
        outputs: names of what it gives, in order.
        size: of the images.
        precision: ``fp32``, or ``fp16``: weights and arithmetic in float16, which ONNX Runtime
            on a CPU only imitates.
        calibration: not needed; other formats choose the ranges of integers by it.
    """
    import onnx
    import onnxscript  # noqa: F401  torch's exporter needs it, and names it badly when it is missing

    exported = ExportedNetwork(network, DTYPES[precision])
    with _quiet_exporter():
        program = torch.onnx.export(
            trace_network(exported, size),
            dynamo=True,
            input_names=[INPUT],
            output_names=outputs,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _strip(model)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = PRODUCER, ""
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def embed_onnx(path: Path, properties: Mapping[str, str]) -> None:
    """Add text to a file; what it computes stays the same."""
    import onnx

    model = onnx.load(str(path))
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**known, **properties})
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(model: onnx.ModelProto) -> None:
    """Take out what tells where the exporting code lies on this machine."""
    model.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    for part in [*model.graph.node, *values, *model.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from saying that torchvision is absent, which nothing here uses."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

"""The OpenVINO IR of a network: an .xml and the .bin with its weights."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from open_set_seg.backends.telemetry import import_openvino, without_telemetry
from open_set_seg.certificates import CalibrationFrame, CalibrationSet
from open_set_seg.export.networks import INPUT, ExportedNetwork, ImageSize, trace_network

if TYPE_CHECKING:
    import openvino


def write_openvino(
    path: Path,
    network: nn.Module,
    outputs: list[str],
    size: ImageSize,
    precision: str,
    calibration: CalibrationSet | None = None,
) -> None:
    """Write an IR of one size: ``path`` (.xml) and its .bin.

    Args:
        path: of the .xml.
        network: the network.
        outputs: names of what it gives, in order.
        size: of the images.
        precision: ``fp32``; ``fp16``: weights in float16, arithmetic by whoever runs it; ``int8``:
            weights and activations quantised, the rest as in ``fp16``.
        calibration: frames that choose the ranges of the integers.
    """
    openvino = import_openvino()
    with warnings.catch_warnings():
        # Of the two packages about each other's parts; nothing that a user could do.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(trace_network(ExportedNetwork(network), size))
    model.reshape(list(size.shape))
    for port, name in zip([*model.inputs, *model.outputs], [INPUT, *outputs], strict=True):
        port.set_names({name})
    model.inputs[0].node.set_friendly_name(INPUT)
    if precision == "int8":
        assert calibration is not None
        model = quantise(model, calibration)
    openvino.save_model(model, path, compress_to_fp16=precision != "fp32")


def quantise(model: openvino.Model, calibration: CalibrationSet) -> openvino.Model:
    """8-bit weights and activations by post-training quantisation.

    Weights are symmetric per channel, activations asymmetric where they have a sign (NNCF's mixed
    preset).
    """
    with without_telemetry():
        import nncf

    def planes(frame: CalibrationFrame) -> Any:
        return np.ascontiguousarray(frame.image.transpose(2, 0, 1)[None], np.float32)

    level = logging.getLogger("nncf").level
    nncf.set_log_level(logging.ERROR)
    try:
        # Its progress bars go to stdout, where results are.
        with contextlib.redirect_stdout(io.StringIO()):
            quantised: openvino.Model = nncf.quantize(
                model,
                nncf.Dataset(list(calibration), planes),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
            )
    finally:
        nncf.set_log_level(level)
    return quantised


def embed_openvino(path: Path, properties: Mapping[str, str]) -> None:
    """Add text to an .xml; the network in it and the .bin stay as they are."""
    tree = ElementTree.parse(path)
    info = tree.getroot().find("rt_info")
    assert info is not None
    # What the converter noted about itself is of no use to anybody.
    for entry in info.findall("conversion_parameters"):
        info.remove(entry)
    for key, text in properties.items():
        ElementTree.SubElement(info, key, {"value": text})
    tree.write(path, encoding="utf-8", xml_declaration=True)

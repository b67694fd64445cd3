"""``open-set-seg export``."""

from __future__ import annotations

import argparse
from pathlib import Path

from open_set_seg.cli.calibration import (
    add_comparison_arguments,
    read_calibration,
    read_limits,
)

HELP = "write the network for ONNX Runtime, TensorRT or OpenVINO, and certify it"
DESCRIPTION = (
    "Writes the network of a checkpoint for images of one size as ONNX (.onnx) or as OpenVINO IR "
    "(.xml and .bin), with everything that the checkpoint says in it: wherever a checkpoint is "
    "expected the file may take its place. Then it is compared with the checkpoint on calibration "
    "frames; a file that answers differently than the limits allow is not written. The certificate "
    "lies in the file and beside it."
)
SUFFIXES = {".onnx": "onnx", ".xml": "openvino"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path, help="a .safetensors file")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--size", required=True, metavar="WxH", help="of the images")
    parser.add_argument(
        "--format", choices=list(SUFFIXES.values()), help="default: by the output's suffix"
    )
    parser.add_argument(
        "--precision",
        default="fp32",
        metavar="NAME",
        help="onnx: fp32, fp16; openvino: fp32, fp16 (weights), int8 (quantised) (fp32)",
    )
    add_comparison_arguments(parser)
    parser.add_argument(
        "--keep-failed",
        action="store_true",
        help="keep a file whose certificate fails, with .rejected in its name",
    )


def run(options: argparse.Namespace) -> int:
    """Write the file and print its certificate."""
    from open_set_seg.certificates import (
        CertificateError,
        certificate_to_json,
        describe_certificate,
    )
    from open_set_seg.cli.reporting import print_lines, watch
    from open_set_seg.cli.sizes import read_size
    from open_set_seg.export import ExportConfig, ImageSize, certificate_path, export_checkpoint

    output: Path = options.output
    size = ImageSize(*read_size(options.size))
    chosen = options.format or SUFFIXES.get(output.suffix)
    if chosen is None:
        raise ValueError(
            f"expected --format, or an output that ends in {' or '.join(SUFFIXES)}, found {output}"
        )
    config = ExportConfig(chosen, options.precision, size, options.keep_failed)
    calibration, quantisation = read_calibration(
        options.calibration, size.width, size.height, split=options.precision == "int8"
    )
    try:
        certificate = export_checkpoint(
            options.checkpoint,
            output,
            config,
            calibration,
            read_limits(options.limit, options.precision),
            quantisation,
            watch(calibration, "certifying"),
        )
    except CertificateError as error:
        print_lines(describe_certificate(certificate_to_json(error.certificate)))
        raise
    print_lines(describe_certificate(certificate))
    print(f"written to {output} and {certificate_path(output)}")
    return 0

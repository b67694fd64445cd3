"""``open-set-seg certify``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from open_set_seg.cli.calibration import (
    add_comparison_arguments,
    read_calibration,
    read_limits,
)

if TYPE_CHECKING:
    from open_set_seg.certificates import Setting
    from open_set_seg.export import ImageSize

HELP = "what another precision, backend, device or an exported file changes"
DESCRIPTION = (
    "Compares a checkpoint in float32 in PyTorch on the CPU with the same network in another "
    "precision, backend or device, or with a file that was exported from it, on calibration "
    "frames. Fails where more changes than the limits allow."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the verb."""
    parser.add_argument("checkpoint", type=Path, help="a .safetensors file")
    parser.add_argument("exported", type=Path, nargs="?", help="a file exported from it")
    parser.add_argument("--size", metavar="WxH", help="of the images; an exported file says its")
    parser.add_argument("--precision", default="fp32", metavar="NAME", help="fp32, bf16 or fp16")
    parser.add_argument("--backend", default="auto", metavar="NAME", help="auto or its name")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    add_comparison_arguments(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON file to write")


def run(options: argparse.Namespace) -> int:
    """Compare and print the certificate."""
    from open_set_seg.certificates import certificate_to_json, certify, describe_certificate
    from open_set_seg.cli.reporting import print_lines, watch
    from open_set_seg.export import open_reference, write_certificate

    candidate, size = _open_candidate(options)
    calibration, _ = read_calibration(options.calibration, size.width, size.height, split=False)
    certificate = certify(
        open_reference(options.checkpoint),
        candidate,
        calibration,
        read_limits(options.limit, *candidate.precision.split(", ")),
        watch(calibration, "certifying"),
    )
    content = certificate_to_json(certificate)
    print_lines(describe_certificate(content))
    if options.output is not None:
        write_certificate(options.output, content)
        print(f"written to {options.output}")
    certificate.require()
    return 0


def _open_candidate(options: argparse.Namespace) -> tuple[Setting, ImageSize]:
    from open_set_seg.certificates import Setting
    from open_set_seg.checkpoint import read_exported
    from open_set_seg.cli.sizes import read_size
    from open_set_seg.export import FORMATS, ImageSize
    from open_set_seg.segmenter import OpenSetSegmenter

    given = None if options.size is None else read_size(options.size)
    files: tuple[Path, ...] = (options.checkpoint,)
    path, precision = options.checkpoint, options.precision
    if options.exported is not None:
        path, exported = options.exported, read_exported(options.exported)
        files = FORMATS[exported.format].files(path)
        own = (exported.settings["width"], exported.settings["height"])
        if given not in (None, own):
            raise ValueError(f"expected images of {own[0]}x{own[1]}, which is what {path} takes")
        given, held = own, exported.settings["precision"]
        precision = held if precision == "fp32" else f"{held}, {precision}"
    if given is None:
        raise ValueError("expected --size WxH: a checkpoint takes images of any size")
    segmenter = OpenSetSegmenter.from_checkpoint(
        path, options.device, options.precision, backend=options.backend
    )
    return Setting(segmenter, files, precision), ImageSize(*given)

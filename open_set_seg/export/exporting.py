"""From a checkpoint to an exported file that has proved to answer as the checkpoint does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from open_set_seg.certificates import (
    CalibrationFrame,
    CalibrationSet,
    Certificate,
    Limits,
    Setting,
    certificate_to_json,
    certify,
    hash_files,
)
from open_set_seg.checkpoint import CheckpointMetadata, load_checkpoint, load_statistics
from open_set_seg.checkpoint.exported import CERTIFICATE_KEY, WEIGHTS_HASH, exported_properties
from open_set_seg.export.networks import ImageSize, output_names
from open_set_seg.export.onnx import embed_onnx, write_onnx
from open_set_seg.export.openvino import embed_openvino, write_openvino
from open_set_seg.files import write_whole
from open_set_seg.scoring import Scoring
from open_set_seg.segmenter import OpenSetSegmenter


class ExportError(ValueError):
    """A checkpoint that cannot be exported so; says why in one line."""


class Writer(Protocol):
    """Writes the network of one size; see ``write_onnx``."""

    def __call__(
        self,
        path: Path,
        network: nn.Module,
        outputs: list[str],
        size: ImageSize,
        precision: str,
        calibration: CalibrationSet | None = None,
    ) -> None: ...


@dataclass(frozen=True)
class Format:
    """One kind of exported file.

    Attributes:
        suffixes: of its files, the one that is opened first.
        precisions: of weights and arithmetic that a file can have.
        write: makes the files.
        embed: adds text by key to the first of them.
    """

    suffixes: tuple[str, ...]
    precisions: tuple[str, ...]
    write: Writer
    embed: Callable[[Path, Mapping[str, str]], None]

    def files(self, path: Path) -> tuple[Path, ...]:
        """All files of the one that is opened."""
        return tuple(path.with_suffix(suffix) for suffix in self.suffixes)


FORMATS: dict[str, Format] = {
    "onnx": Format((".onnx",), ("fp32", "fp16"), write_onnx, embed_onnx),
    "openvino": Format((".xml", ".bin"), ("fp32", "fp16", "int8"), write_openvino, embed_openvino),
}


@dataclass(frozen=True)
class ExportConfig:
    """What to make.

    Attributes:
        format: key in ``FORMATS``.
        precision: one of the format's.
        size: of the images.
        keep_failed: keep a file whose certificate fails, with ``.rejected`` in its name.

    Raises:
        ExportError: a format or precision that there is not.
    """

    format: str
    precision: str
    size: ImageSize
    keep_failed: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ExportError(f"expected a format of {', '.join(FORMATS)}, found {self.format!r}")
        known = FORMATS[self.format].precisions
        if self.precision not in known:
            hint = ""
            if self.precision == "bf16":
                hint = (
                    "; bf16 is arithmetic, not something that a file holds: certify it with "
                    "`open-set-seg certify --backend openvino --precision bf16`"
                )
            raise ExportError(
                f"expected a precision of {', '.join(known)} for the format {self.format}, found "
                f"{self.precision!r}{hint}"
            )


def export_checkpoint(
    checkpoint: Path,
    output: Path,
    config: ExportConfig,
    calibration: CalibrationSet,
    limits: Limits,
    quantisation: CalibrationSet | None = None,
    frames: Iterable[CalibrationFrame] | None = None,
) -> dict[str, Any]:
    """Write an exported file with its certificate, if the certificate holds.

    The files appear whole or not at all.

    Args:
        checkpoint: a .safetensors file.
        output: the file to write, with the suffix of its format; the certificate lies beside it
            under ``certificate_path``.
        config: what to make.
        calibration: frames on which it must answer as the checkpoint does.
        limits: that must hold.
        quantisation: frames that choose the ranges of integers, where there are some.
        frames: those of ``calibration``, as something that shows progress.

    Returns:
        The certificate as its file holds it.

    Raises:
        CertificateError: a limit does not hold.
        ExportError: the output's suffix, or a score that an exported file cannot give.
        CheckpointError: the checkpoint is not usable.
    """
    form = FORMATS[config.format]
    _check_output(output, form.suffixes[0])
    network, metadata = load_checkpoint(checkpoint)
    check_exportable(metadata)
    quantisation = quantisation if config.precision == "int8" else None
    with tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as folder:
        path = Path(folder) / output.name
        names = output_names(metadata.outlier_head)
        form.write(path, network, names, config.size, config.precision, quantisation)
        settings = _settings(config, form, path)
        form.embed(path, exported_properties(metadata, load_statistics(checkpoint), settings))
        candidate = Setting(
            segmenter=OpenSetSegmenter.from_checkpoint(path, device="cpu"),
            files=(),  # their hashes change with the certificate in them
            precision=config.precision,
            quantised_on=None if quantisation is None else quantisation.description,
        )
        reference = open_reference(checkpoint)
        certificate = certify(reference, candidate, calibration, limits, frames)
        return _publish(certificate, path, output, form, config.keep_failed)


def open_reference(checkpoint: Path) -> Setting:
    """The checkpoint in float32 on the CPU, in PyTorch: what every change is measured against."""
    segmenter = OpenSetSegmenter.from_checkpoint(
        checkpoint, device="cpu", precision="fp32", backend="pytorch"
    )
    return Setting(segmenter, (checkpoint,), "fp32")


def check_exportable(metadata: CheckpointMetadata) -> None:
    """Raise ``ExportError`` unless the checkpoint's score needs no more than its heads give."""
    scoring = Scoring.parse(metadata.score)
    if scoring.needs_network:
        needs = "an intervention" if scoring.intervention is not None else "features"
        raise ExportError(
            f"expected a checkpoint whose score needs the heads' outputs alone, found "
            f"{metadata.score!r}, which needs {needs}: an exported file cannot give it"
        )


def certificate_path(output: Path) -> Path:
    """Where the certificate of a file lies."""
    return output.with_name(f"{output.name}.certificate.json")


def write_certificate(path: Path, content: Mapping[str, Any]) -> None:
    """Write a certificate; the file appears whole or not at all."""
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _publish(
    certificate: Certificate, path: Path, output: Path, form: Format, keep_failed: bool
) -> dict[str, Any]:
    """Embed the certificate and move the files to where they belong, if that is anywhere."""
    content = certificate_to_json(certificate)
    if not certificate.passed:
        if not keep_failed:
            certificate.require()
        output = output.with_name(f"{output.stem}.rejected{output.suffix}")
    form.embed(path, {CERTIFICATE_KEY: json.dumps(content)})
    files = form.files(output)
    # The file that is opened comes last, so that it never stands without the others.
    for made, wanted in reversed(list(zip(form.files(path), files, strict=True))):
        made.replace(wanted)
    content["candidate"]["files"] = hash_files(files)
    write_certificate(certificate_path(output), content)
    certificate.require()
    return content


def _settings(config: ExportConfig, form: Format, path: Path) -> dict[str, Any]:
    """What the file says about its own making."""
    weights = list(hash_files(form.files(path)[1:]).values())
    return {
        "precision": config.precision,
        "width": config.size.width,
        "height": config.size.height,
        **({WEIGHTS_HASH: weights[0]} if weights else {}),
    }


def _check_output(output: Path, suffix: str) -> None:
    if output.suffix != suffix:
        raise ExportError(f"expected an output whose name ends in {suffix}, found {output}")
    if not output.parent.is_dir():
        raise ExportError(f"expected a folder to write into, found none at {output.parent}")

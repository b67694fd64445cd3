"""The certificate itself: what was compared, on what, with which outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import open_set_seg
from open_set_seg.certificates.comparison import Figures
from open_set_seg.certificates.limits import Limits
from open_set_seg.files import hash_file
from open_set_seg.machine import describe_machine


class CertificateError(ValueError):
    """A change that is larger than its limits allow; says which limit was broken by how much.

    Attributes:
        certificate: with all figures.
    """

    def __init__(self, certificate: Certificate) -> None:
        broken = "; ".join(certificate.broken)
        super().__init__(f"expected a network that answers as before, found that {broken}")
        self.certificate = certificate


@dataclass(frozen=True)
class Certificate:
    """The outcome of comparing a candidate with its reference.

    Attributes:
        reference, candidate: what each is: ``files`` (SHA-256 by name), ``runs_on`` in words and,
            of the candidate, ``precision`` and ``quantised_on``.
        calibration: the frames that both answered, in words.
        score: in words, with its temperature.
        threshold: the frozen one.
        figures: what changed.
        not_given: which figures are missing and why, one sentence each.
        limits: that were set.
    """

    reference: Mapping[str, Any]
    candidate: Mapping[str, Any]
    calibration: str
    score: str
    threshold: float
    figures: Figures
    not_given: tuple[str, ...]
    limits: Limits

    @property
    def broken(self) -> tuple[str, ...]:
        """Every broken limit, in words."""
        return self.limits.broken_by(self.figures)

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return not self.broken

    def require(self) -> None:
        """Raise ``CertificateError`` with one line unless every limit holds."""
        if self.broken:
            raise CertificateError(self)


def certificate_to_json(certificate: Certificate) -> dict[str, Any]:
    """A JSON object with everything, and with the machine on which it was found."""
    machine = describe_machine()
    figures = asdict(certificate.figures)
    return {
        "package_version": open_set_seg.__version__,
        "verdict": "passed" if certificate.passed else "failed",
        "broken_limits": list(certificate.broken),
        "reference": dict(certificate.reference),
        "candidate": dict(certificate.candidate),
        "calibration": certificate.calibration,
        "score": certificate.score,
        "threshold": certificate.threshold,
        "figures": figures,
        "changes": certificate.figures.changes,
        "not_given": list(certificate.not_given),
        "limits": asdict(certificate.limits),
        "machine": {name: machine[name] for name in machine if name != "load_average"},
    }


def describe_certificate(content: Mapping[str, Any]) -> dict[str, str]:
    """Lines by title for people, from ``certificate_to_json``.

    Raises:
        ValueError: no such object.
    """
    try:
        lines = {
            "certificate": "; ".join([content["verdict"], *content["broken_limits"]]),
            "calibration": content["calibration"],
            "compared": f"{content['candidate']['runs_on']} with {content['reference']['runs_on']}",
            "frozen threshold": f"{content['threshold']:g} of {content['score']}",
        }
        if content["candidate"].get("quantised_on"):
            lines["quantised on"] = content["candidate"]["quantised_on"]
        for name, found in content["changes"].items():
            lines[name.replace("_", " ")] = _describe_change(name, found, content)
        if content["not_given"]:
            lines["not given"] = "; ".join(content["not_given"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"expected a certificate of open_set_seg, found {error!r}") from None
    return lines


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of every file, by its name."""
    return {path.name: hash_file(path) for path in paths}


def _describe_change(name: str, found: float | None, content: Mapping[str, Any]) -> str:
    limit = content["limits"][name]
    within = "no limit" if limit is None else f"limit {limit:g}"
    if found is None:
        return "not given"
    quality = name.removesuffix("_change")
    if quality not in content["figures"]["reference"]:
        return f"{found:.3g} ({within})"
    before, after = (content["figures"][who][quality] for who in ("reference", "candidate"))
    return f"{before:.4f} -> {after:.4f}: {found:.3g} ({within})"

"""What a check has found, and how checks are run so that none can take the others down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeVar

Severity = Literal["error", "warning", "note", "ok"]
# In the order in which people should read them.
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note", "ok")
# Package that a check could not import -> the extra that brings it.
EXTRAS = {
    "torch": "torch",
    "safetensors": "torch",
    "cv2": "opencv",
    "rosbags": "bags",
    "rclpy": "ros",
    "sensor_msgs": "ros",
    "stereo_msgs": "ros",
    "diagnostic_msgs": "ros",
    "rosgraph_msgs": "ros",
}
LONGEST_TEXT = 600


@dataclass(frozen=True)
class Finding:
    """One thing that a check says.

    Attributes:
        check: name of the check, a key in ``CHECKS``; set by ``run_checks``.
        severity: ``error``: it cannot work like this; ``warning``: it works worse than it could, or
            the user should know; ``note``: nothing is wrong, but something could be had; ``ok``.
        what: one sentence with what was seen.
        advice: what to do, a command or a parameter to set; empty where there is nothing to do.
    """

    check: str
    severity: Severity
    what: str
    advice: str = ""


class NotCheckedError(Exception):
    """A check cannot be made, for a reason that another check reports."""


Subject = TypeVar("Subject")
Check = Callable[[Subject], Iterable[Finding]]


def fine(what: str) -> Finding:
    """A finding that all is well."""
    return Finding("", "ok", what)


def note(what: str, advice: str = "") -> Finding:
    """A finding that nothing is wrong, but something could be had."""
    return Finding("", "note", what, advice)


def warning(what: str, advice: str) -> Finding:
    """A finding that something works worse than it could."""
    return Finding("", "warning", what, advice)


def error(what: str, advice: str) -> Finding:
    """A finding that something cannot work."""
    return Finding("", "error", what, advice)


def run_checks(checks: Mapping[str, Check[Subject]], subject: Subject) -> list[Finding]:
    """Run every check on a subject; nothing that a check raises leaves this function.

    A check that needs what is not there gives a note; any other exception is an error
    of that check, with the exception's text. Findings come in the order of the checks.
    """
    found: list[Finding] = []
    for name, check in checks.items():
        found += attempt(name, lambda check=check: check(subject))  # type: ignore[misc]
    return found


def attempt(name: str, check: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """The findings of one check, named; see ``run_checks``."""
    found: list[Finding] = []
    try:
        for finding in check():
            found.append(finding if finding.check else replace(finding, check=name))
    except ModuleNotFoundError as missing:
        found.append(replace(_describe_missing(missing), check=name))
    except NotCheckedError as reason:
        found.append(Finding(name, "note", f"not checked, because {reason}"))
    except Exception as failure:
        text = " ".join(str(failure).split())[:LONGEST_TEXT] or "no text"
        found.append(
            Finding(
                name,
                "error",
                f"the check itself failed: {type(failure).__name__}: {text}",
                "read the text: where it names no cause outside, this is a fault of doctor itself",
            )
        )
    return found


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first; among equals the order stays."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def findings_to_json(findings: Iterable[Finding]) -> dict[str, Any]:
    """A JSON object: the worst severity, how many of each, and the findings, gravest first."""
    found = sort_findings(findings)
    counts = {severity: sum(f.severity == severity for f in found) for severity in SEVERITIES}
    return {
        "worst": found[0].severity if found else "ok",
        "counts": counts,
        "findings": [asdict(finding) for finding in found],
    }


def _describe_missing(missing: ModuleNotFoundError) -> Finding:
    package = (missing.name or "").partition(".")[0]
    extra = EXTRAS.get(package)
    advice = f"pip install 'open_set_seg[{extra}]'" if extra else ""
    return note(f"not checked, because {package or 'a package'} is not installed", advice)

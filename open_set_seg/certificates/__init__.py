"""What a change of precision, format or backend does to a network's answers, measured and limited.

Speed is bought with other arithmetic. A certificate says what that did to the published score, to
the decisions at the frozen threshold and, where the truth is known, to AP, FPR95 and mIoU, and
whether all of it stays within limits.
"""

from open_set_seg.certificates.calibration import (
    CalibrationFrame,
    CalibrationSet,
    Pictures,
    SimulatedScenes,
)
from open_set_seg.certificates.certificate import (
    Certificate,
    CertificateError,
    certificate_to_json,
    describe_certificate,
    hash_files,
)
from open_set_seg.certificates.certification import Setting, certify
from open_set_seg.certificates.comparison import Comparison, Figures
from open_set_seg.certificates.limits import LIMITS, Limits

__all__ = [
    "LIMITS",
    "CalibrationFrame",
    "CalibrationSet",
    "Certificate",
    "CertificateError",
    "Comparison",
    "Figures",
    "Limits",
    "Pictures",
    "Setting",
    "SimulatedScenes",
    "certificate_to_json",
    "certify",
    "describe_certificate",
    "hash_files",
]

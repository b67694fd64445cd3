"""Interpreter, NumPy, OpenCV and cv_bridge: do they load, and do they fit each other?"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.surroundings import Surroundings, version_numbers

OLDEST_PYTHON = (3, 10)
OLDEST_NUMPY = (1, 24)
HEADLESS = "opencv-python-headless"
# All of them install the same folder, cv2.
OPENCV_BUILDS = (
    "opencv-python", HEADLESS, "opencv-contrib-python", "opencv-contrib-python-headless",
)  # fmt: skip
_REINSTALL = f"pip uninstall -y {' '.join(OPENCV_BUILDS)} && pip install {HEADLESS}"
_ABI = ("_ARRAY_API", "multiarray failed", "compiled using NumPy", "dtype size changed")
_WINDOWS = ("libGL", "libgthread", "libSM", "libXext", "libQt", "xcb")


def check_interpreter(here: Surroundings) -> Iterator[Finding]:
    """Python's version, its environment, and packages of another Python on the path."""
    found = ".".join(map(str, here.python))
    place = "a virtual environment" if here.prefix != here.base_prefix else "no virtual environment"
    if here.python[:2] < OLDEST_PYTHON:
        yield error(
            f"Python {found} ({here.executable}) is too old",
            "use Python 3.10 or newer: python3.12 -m venv ENV && . ENV/bin/activate",
        )
    else:
        yield fine(f"Python {found}, {place} ({here.prefix})")
    if sys.byteorder != "little":
        yield warning("the processor is big-endian, on which nothing was ever tested", "test first")
    yield from _check_python_path(here)


def check_numpy(here: Surroundings) -> Iterator[Finding]:
    """NumPy loads, computes, and is new enough."""
    try:
        numpy = here.load("numpy")
    except Exception as failure:
        yield error(
            f"NumPy does not load: {_one_line(failure)}",
            "pip install --force-reinstall 'numpy>=1.24'",
        )
        return
    if version_numbers(numpy.__version__)[:2] < OLDEST_NUMPY:
        yield error(f"NumPy {numpy.__version__} is too old", "pip install -U 'numpy>=1.24'")
        return
    yield fine(f"NumPy {numpy.__version__}")


def check_opencv(here: Surroundings) -> Iterator[Finding]:
    """OpenCV loads, takes NumPy's arrays, and is installed once."""
    builds = [name for name in OPENCV_BUILDS if here.version(name) is not None]
    if len(builds) > 1:
        yield warning(
            f"{' and '.join(builds)} are installed together: they write the same files over each "
            "other",
            _REINSTALL,
        )
    numpy = here.require("numpy")
    try:
        cv2 = here.load("cv2")
    except Exception as failure:
        yield _explain_opencv(failure, here)
        return
    try:
        grey = cv2.cvtColor(numpy.full((2, 2, 3), 90, numpy.uint8), cv2.COLOR_RGB2GRAY)
        works = grey.shape == (2, 2) and int(grey[0, 0]) == 90
    except Exception as failure:
        yield _explain_opencv(failure, here)
        return
    if not works:
        yield error("OpenCV computes nonsense of NumPy's arrays", _REINSTALL)
        return
    build = builds[0] if len(builds) == 1 else "of the system" if not builds else "mixed"
    yield fine(f"OpenCV {cv2.__version__} ({build})")


def check_cv_bridge(here: Surroundings) -> Iterator[Finding]:
    """cv_bridge is not needed; where it is there, does its binary fit this NumPy?"""
    try:
        here.load("cv_bridge")
    except ModuleNotFoundError:
        yield fine("cv_bridge is not installed, and needed for rare encodings only")
        return
    except Exception as failure:
        yield _explain_cv_bridge(failure, here)
        return
    try:
        here.load("cv_bridge.boost.cv_bridge_boost")
    except Exception as failure:
        yield _explain_cv_bridge(failure, here)
        return
    yield fine("cv_bridge loads with its binary part")


def _check_python_path(here: Surroundings) -> Iterator[Finding]:
    """Packages of another Python on PYTHONPATH, as a sourced ROS of another system leaves them."""
    mine = f"python{here.python[0]}.{here.python[1]}"
    entries = here.variables.get("PYTHONPATH", "").split(os.pathsep)
    foreign = sorted({m[0] for e in entries for m in re.finditer(r"python3\.\d+", e)} - {mine})
    if foreign:
        yield warning(
            f"PYTHONPATH has packages of {', '.join(foreign)}, but this is {mine}: compiled ones "
            "of them do not load here",
            f"run with /usr/bin/{foreign[0]} (the one of the ROS that was sourced), or unset "
            "PYTHONPATH in this shell",
        )


def _explain_opencv(failure: Exception, here: Surroundings) -> Finding:
    text = _one_line(failure)
    if isinstance(failure, ModuleNotFoundError) and failure.name == "cv2":
        return error("OpenCV is not installed", "pip install 'open_set_seg[opencv]'")
    if any(word in text for word in _ABI):
        return error(
            f"OpenCV was built for another NumPy than {here.version('numpy')}: {text}",
            f"{_REINSTALL}; or, to keep the system's OpenCV: pip install 'numpy<2'",
        )
    if any(word in text for word in _WINDOWS):
        return error(
            f"this OpenCV opens windows, and this machine lacks the libraries for that: {text}",
            f"{_REINSTALL}; or install the library (Debian, Ubuntu: apt install libgl1)",
        )
    return error(f"OpenCV does not work: {text}", _REINSTALL)


def _explain_cv_bridge(failure: Exception, here: Surroundings) -> Finding:
    numpy = here.version("numpy") or "?"
    text = f"cv_bridge does not work with NumPy {numpy}: {_one_line(failure)}"
    if version_numbers(numpy)[:1] >= (2,):
        return warning(
            f"{text}; builds for NumPy 1 do not load with NumPy 2",
            "open_set_seg does without it; for other nodes in this environment: "
            "pip install 'numpy<2'",
        )
    return note(text, "open_set_seg does without it, rare encodings aside")


def _one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:300] or type(failure).__name__

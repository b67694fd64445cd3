"""Checks of the machine: a healthy one has nothing above a note, and a fault is all that is found.

A machine is described by a ``Surroundings`` of plain dicts, so that any fault can be had.
"""

from __future__ import annotations

import errno
from dataclasses import replace
from types import SimpleNamespace

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from open_set_seg.doctor import Surroundings, examine_environment
from open_set_seg.doctor.acceleration import runs_on
from open_set_seg.doctor.middleware import STOCK_SEGMENT, read_segment
from open_set_seg.resources import find_resource

PROFILE = find_resource("config/fastdds.xml").read_text()
NAME = "FASTRTPS_DEFAULT_PROFILES_FILE"
DRIVER = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sat Sep 23 15:00:00 UTC 2023\n"


class NotBuilt(RuntimeError):
    """Stands for the kernels' NotBuiltError."""


def make_torch(cuda=None, available=False, version="2.8.0", capability=(8, 6), archs=("sm_86",)):
    return SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=cuda),
        cuda=SimpleNamespace(
            is_available=lambda: available,
            device_count=lambda: 1,
            get_device_name=lambda index: "GPU",
            get_device_capability=lambda index: capability,
            get_arch_list=lambda: list(archs),
        ),
    )


def make_cv2():
    return SimpleNamespace(
        __version__="4.10.0",
        COLOR_RGB2GRAY=7,
        cvtColor=lambda pixels, code: pixels[..., 0],
    )


def make_kernels(failure=None):
    def kernel():
        if failure:
            raise NotBuilt(failure)
        return SimpleNamespace(level=2)

    return SimpleNamespace(
        BACKEND_VARIABLE="OPEN_SET_SEG_HEAD", NotBuiltError=NotBuilt, HeadKernel=kernel
    )


def machine(modules=(), versions=(), variables=(), files=(), **fields) -> Surroundings:
    """A healthy robot without a GPU; what is given replaces or, being None, removes."""
    held = {
        "numpy": numpy, "cv2": make_cv2(), "torch": make_torch(), "rclpy": object(),
        "open_set_seg.kernels": make_kernels(), "openvino": object(), "onnxruntime": object(),
        "triton": object(), **dict(modules),
    }  # fmt: skip
    installed = {
        "numpy": "2.1.0", "opencv-python-headless": "4.10.0", "openvino": "2025.1",
        "onnxruntime": "1.20", "triton": "3.2", **dict(versions),
    }  # fmt: skip
    texts = {
        "/etc/fastdds.xml": PROFILE,
        "/proc/sys/net/core/rmem_max": "33554432\n",
        **dict(files),
    }

    def load(name):
        found = held.get(name)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if isinstance(found, Exception):
            raise found
        return found

    def read(path):
        if texts.get(path) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return texts[path]

    healthy = Surroundings(
        python=(3, 12, 3), executable="/env/bin/python", prefix="/env", base_prefix="/usr",
        variables={NAME: "/etc/fastdds.xml", **dict(variables)}, load=load, version=installed.get,
        read=read, exists=lambda path: path in texts, free_bytes=lambda path: 2**30,
    )  # fmt: skip
    return replace(healthy, **fields)


def above_notes(here):
    return [f for f in examine_environment(here) if f.severity in ("error", "warning")]


def test_a_healthy_machine_has_nothing_to_complain_about():
    found = examine_environment(machine())
    assert {f.severity for f in found} <= {"ok", "note"}
    assert [f.check for f in found if f.severity == "note"] == ["cuda"]
    assert all(f.what for f in found)


def broken_profile(segment):
    return PROFILE.replace("33554432", segment)


# name: (the machine, the check, the severity, a word of what is said, a word of the advice)
FAULTS = {
    "old python": (
        machine(python=(3, 9, 1)), "interpreter", "error", "3.9.1", "3.10"
    ),
    "packages of another python": (
        machine(variables={"PYTHONPATH": "/opt/ros/jazzy/lib/python3.10/site-packages"}),
        "interpreter", "warning", "python3.10", "PYTHONPATH",
    ),
    "no numpy": (
        machine(modules={"numpy": ImportError("libopenblas.so")}), "numpy", "error",
        "libopenblas", "numpy",
    ),
    "no opencv": (
        machine(modules={"cv2": None}), "opencv", "error", "not installed", "open_set_seg[opencv]"
    ),
    "opencv of another numpy": (
        machine(modules={"cv2": ImportError("numpy.core.multiarray failed to import")}),
        "opencv", "error", "another NumPy than 2.1.0", "numpy<2",
    ),
    "opencv with windows": (
        machine(modules={"cv2": ImportError("libGL.so.1: cannot open shared object file")}),
        "opencv", "error", "opens windows", "opencv-python-headless",
    ),
    "two opencvs": (
        machine(versions={"opencv-python": "4.9"}), "opencv", "warning",
        "opencv-python and opencv-python-headless", "pip uninstall",
    ),
    "opencv that computes nonsense": (
        machine(modules={"cv2": SimpleNamespace(
            __version__="4", COLOR_RGB2GRAY=7, cvtColor=lambda pixels, code: pixels)}),
        "opencv", "error", "nonsense", "pip",
    ),
    "cv_bridge of numpy 1": (
        machine(modules={"cv_bridge": object(),
                         "cv_bridge.boost.cv_bridge_boost": ImportError("_ARRAY_API not found")}),
        "cv_bridge", "warning", "_ARRAY_API", "numpy<2",
    ),
    "no torch's libraries": (
        machine(modules={"torch": OSError("libcudart.so.12: no such file")}), "torch", "error",
        "libcudart", "reinstall",
    ),
    "old torch": (
        machine(modules={"torch": make_torch(version="2.1.0+cpu")}), "torch", "error", "2.1.0",
        "2.6",
    ),
    "new torch": (
        machine(modules={"torch": make_torch(version="3.0.0")}), "torch", "warning", "newer", "2.14"
    ),
    "gpu without a cuda build": (
        machine(files={"/proc/driver/nvidia/version": DRIVER.format("535.104.05")}),
        "cuda", "warning", "CPUs only", "CUDA build",
    ),
    "old driver": (
        machine(modules={"torch": make_torch(cuda="12.8")},
                files={"/proc/driver/nvidia/version": DRIVER.format("470.57.02"),
                       "/dev/nvidia0": ""}),
        "cuda", "warning", "470.57.02 is too old", "525.60",
    ),
    "hidden gpu": (
        machine(modules={"torch": make_torch(cuda="12.8")},
                variables={"CUDA_VISIBLE_DEVICES": ""},
                files={"/proc/driver/nvidia/version": DRIVER.format("570.86.15"),
                       "/dev/nvidia0": ""}),
        "cuda", "warning", "hides every GPU", "unset",
    ),
    "gpu not handed to the container": (
        machine(modules={"torch": make_torch(cuda="12.8")},
                files={"/proc/driver/nvidia/version": DRIVER.format("570.86.15")}),
        "cuda", "warning", "/dev/nvidia0", "--gpus all",
    ),
    "gpu that torch has no code for": (
        machine(modules={"torch": make_torch("12.8", True, capability=(12, 0), archs=("sm_90",))}),
        "cuda", "error", "capability 12.0", "pytorch.org",
    ),
    "engine that does not load": (
        machine(modules={"openvino": ImportError("libtbb.so.12")}), "engines", "warning",
        "libtbb", "openvino",
    ),
    "no kernel": (
        machine(modules={"open_set_seg.kernels": make_kernels("the C kernel was not built")}),
        "head", "warning", "slower", "compiler",
    ),
    "kernel kept out": (
        machine(variables={"OPEN_SET_SEG_HEAD": "pytorch"}), "head", "warning", "keeps",
        "unset OPEN_SET_SEG_HEAD",
    ),
    "rclpy that does not load": (
        machine(modules={"rclpy": ImportError("librcl_action.so: cannot open")}), "ros", "error",
        "librcl_action", "_ROS_WHEELS_BOOTSTRAP_COMPLETE",
    ),
    "wheels and a sourced ros": (
        machine(versions={"ros-rclpy": "7.1.6"}, variables={"AMENT_PREFIX_PATH": "/opt/ros/jazzy"}),
        "ros", "warning", "/opt/ros/jazzy is sourced", "pip uninstall ros-rclpy",
    ),
    "no profile": (
        machine(variables={NAME: ""}), "profile", "warning", "no Fast DDS profile",
        f"export {NAME}=",
    ),
    "no such profile": (
        machine(variables={NAME: "/nowhere.xml"}), "profile", "error", "/nowhere.xml", "fastdds.xml"
    ),
    "profile that is no xml": (
        machine(files={"/etc/fastdds.xml": "<profiles"}), "profile", "error", "not XML", "export"
    ),
    "small segment": (
        machine(files={"/etc/fastdds.xml": broken_profile("4194304")}), "profile", "warning",
        "4 MiB", "export",
    ),
    "no shared memory": (
        machine(files={"/etc/fastdds.xml": PROFILE.replace(">SHM<", ">UDPv6<")}),
        "profile", "warning", "no shared-memory transport", "export",
    ),
    "name that jazzy ignores": (
        machine(variables={NAME: "", "FASTDDS_DEFAULT_PROFILES_FILE": "/etc/fastdds.xml",
                           "ROS_DISTRO": "jazzy"}),
        "profile", "warning", "ignores", NAME,
    ),
    "no such domain": (
        machine(variables={"ROS_DOMAIN_ID": "300"}), "discovery", "error", "300", "ROS_DOMAIN_ID"
    ),
    "domain in others' ports": (
        machine(variables={"ROS_DOMAIN_ID": "150"}), "discovery", "warning", "150", "101"
    ),
    "discovery off": (
        machine(variables={"ROS_AUTOMATIC_DISCOVERY_RANGE": "off"}), "discovery", "error", "OFF",
        "LOCALHOST",
    ),
    "discovery misspelt": (
        machine(variables={"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCAL"}), "discovery", "error",
        "LOCAL is none", "LOCALHOST",
    ),
    "full shared memory": (
        machine(free_bytes=lambda path: 64 * 2**20), "shared memory", "warning", "64 MiB",
        "--shm-size",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_is_found_and_nothing_else(name):
    here, check, severity, said, advised = FAULTS[name]
    (finding,) = above_notes(here)
    assert (finding.check, finding.severity) == (check, severity)
    assert said in finding.what
    assert advised in finding.advice


def test_without_torch_that_is_the_only_error_and_what_needs_it_says_so():
    gone = {"torch": None, "open_set_seg.kernels": None}
    found = examine_environment(machine(modules=gone))
    assert [(f.check, f.severity) for f in found if f.severity == "error"] == [("torch", "error")]
    notes = {f.check: f.what for f in found if f.severity == "note"}
    assert "torch is not installed" in notes["head"]
    assert "torch is not installed" in notes["cuda"]


def test_without_ros_recordings_still_work():
    (finding,) = [f for f in examine_environment(machine(modules={"rclpy": None})) if
                  f.check == "ros"]  # fmt: skip
    assert (finding.severity, "open_set_seg[ros]" in finding.advice) == ("note", True)


def test_fast_dds_is_not_asked_for_with_another_middleware():
    here = machine(variables={"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", NAME: ""})
    checks = {f.check for f in examine_environment(here)}
    assert above_notes(here) == []
    assert not checks & {"profile", "shared memory"}


def test_a_check_that_breaks_is_a_finding_of_that_check():
    def read(path):
        raise MemoryError("no room for\n the file")

    found = above_notes(machine(read=read))
    assert {f.check for f in found} == {"cuda", "profile", "shared memory", "network"}
    for finding in found:
        assert "the check itself failed: MemoryError: no room for the file" in finding.what


@pytest.mark.parametrize(
    ("arch", "capability", "expected"),
    [
        ("sm_80", (8, 0), True), ("sm_80", (8, 9), True), ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False), ("compute_80", (9, 0), True), ("compute_90", (8, 9), False),
        ("sm_90a", (9, 0), True), ("sm_90a", (10, 0), False), ("sm_100", (10, 3), True),
        ("sm_100f", (10, 3), True), ("sm_100f", (12, 0), False), ("gfx90a", (9, 0), False),
    ],
)  # fmt: skip
def test_code_runs_where_nvidia_says_it_does(arch, capability, expected):
    assert runs_on(arch, capability) is expected


def test_the_segment_of_our_profile_is_read():
    assert read_segment(PROFILE) == 32 * 2**20
    assert read_segment("<profiles/>") == STOCK_SEGMENT


@given(text=st.text(st.sampled_from('<>/ab="SHM 01'), max_size=80) | st.text(max_size=80))
def test_a_profile_of_anything_gives_a_size_or_a_sentence(text):
    try:
        found = read_segment(text)
    except ValueError as failure:
        assert "not XML" in str(failure) or "segment_size" in str(failure)  # noqa: PT017
    else:
        assert found is None or found >= 0

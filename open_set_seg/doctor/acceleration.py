"""torch, CUDA, the optional engines and the compiled head: what will run the network, how fast?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.surroundings import Surroundings, version_numbers

OLDEST_TORCH, FIRST_UNTESTED_TORCH = (2, 6), (2, 14)
# Oldest driver of each CUDA release by its first number (NVIDIA: minor version compatibility).
OLDEST_DRIVER = {11: (450, 80), 12: (525, 60), 13: (580,)}
DRIVER_FILE = "/proc/driver/nvidia/version"
# module -> what it is for, and the extra that brings it.
ENGINES = {
    "openvino": ("OpenVINO", "the fastest on CPUs", "openvino"),
    "onnxruntime": ("ONNX Runtime", "needed for .onnx models only", "onnx"),
    "triton": ("Triton", "the fast head on CUDA devices", "triton"),
}
_INSTALL_TORCH = "pip install 'open_set_seg[torch]'"


def check_torch(here: Surroundings) -> Iterator[Finding]:
    """torch loads and is of a version that was tested."""
    try:
        torch = here.load("torch")
    except ModuleNotFoundError as failure:
        if failure.name != "torch":
            raise
        yield error("torch is not installed: no network can run", _INSTALL_TORCH)
        return
    except Exception as failure:
        text = " ".join(str(failure).split())[:300]
        yield error(
            f"torch does not load: {text}",
            "reinstall it for this machine (pytorch.org says how); on a Jetson take NVIDIA's wheel",
        )
        return
    found = version_numbers(torch.__version__)[:2]
    if found < OLDEST_TORCH:
        yield error(f"torch {torch.__version__} is too old", f"{_INSTALL_TORCH} (at least 2.6)")
    elif found >= FIRST_UNTESTED_TORCH:
        yield warning(
            f"torch {torch.__version__} is newer than any that was tested",
            "pip install 'torch>=2.6,<2.14' if something breaks",
        )
    else:
        yield fine(f"torch {torch.__version__}")


def check_cuda(here: Surroundings) -> Iterator[Finding]:
    """The driver, torch's build and the devices fit each other."""
    torch = here.require("torch")
    built, driver = torch.version.cuda, _driver(here)
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _judge_device(torch, index)
        return
    if not driver:
        yield (
            note("no CUDA device: the network runs on the CPU")
            if built is None
            else note(
                f"torch is built for CUDA {built}, but this machine has no NVIDIA driver: the "
                "network runs on the CPU",
                "on a robot with a GPU, install the driver; else torch's CPU build is smaller",
            )
        )
        return
    yield _explain_no_device(here, built, driver)


def check_engines(here: Surroundings) -> Iterator[Finding]:
    """Which optional engines are there, and do they load?"""
    for module, (title, purpose, extra) in ENGINES.items():
        if here.version(module) is None:
            yield note(
                f"{title} is not installed ({purpose})", f"pip install 'open_set_seg[{extra}]'"
            )
            continue
        try:
            here.load(module)
        except Exception as failure:
            text = " ".join(str(failure).split())[:300]
            yield warning(
                f"{title} {here.version(module)} does not load: {text}",
                f"pip install --force-reinstall {module}, or pip uninstall {module}: PyTorch then "
                "does its work",
            )
        else:
            yield fine(f"{title} {here.version(module)} ({purpose})")


def check_head(here: Surroundings) -> Iterator[Finding]:
    """The open-set head's kernel for the CPU was built, loads, and is not kept out."""
    here.require("torch")
    kernels = here.load("open_set_seg.kernels")
    wish = here.variables.get(kernels.BACKEND_VARIABLE, "")
    try:
        kernel = kernels.HeadKernel()
    except kernels.NotBuiltError as failure:
        yield warning(
            f"{failure}; PyTorch does its work, with the same results but many times slower",
            "install a C compiler (Debian, Ubuntu: apt install gcc), then install the package "
            "again: pip install --force-reinstall --no-deps .",
        )
        return
    if wish == "pytorch":
        yield warning(
            f"{kernels.BACKEND_VARIABLE}=pytorch keeps the compiled head out: same results, but "
            "many times slower",
            f"unset {kernels.BACKEND_VARIABLE}",
        )
        return
    yield fine(f"the open-set head is compiled (instruction set {kernel.level} of 2 is in use)")


def _driver(here: Surroundings) -> str:
    """Version of NVIDIA's driver; empty without one."""
    match = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)*)\b", here.read_line(DRIVER_FILE))
    return match[1] if match else ""


def _explain_no_device(here: Surroundings, built: str | None, driver: str) -> Finding:
    if built is None:
        return warning(
            f"there is an NVIDIA driver ({driver}), but torch is a build for CPUs only: the GPU is "
            "not used",
            "install torch's CUDA build (pytorch.org says how), on a Jetson NVIDIA's wheel",
        )
    oldest = OLDEST_DRIVER.get(int(built.partition(".")[0]), ())
    if version_numbers(driver)[: len(oldest)] < oldest:
        needed = ".".join(map(str, oldest))
        return warning(
            f"NVIDIA's driver {driver} is too old for torch's CUDA {built}, which needs {needed}: "
            "the GPU is not used",
            f"install driver {needed} or newer, or a torch built for an older CUDA",
        )
    hidden = here.variables.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1", "none"):
        return warning(
            f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES"
        )
    if not here.exists("/dev/nvidia0"):
        return warning(
            f"there is an NVIDIA driver ({driver}), but no /dev/nvidia0: no GPU is handed to this "
            "container, or the driver is not set up",
            "docker run --gpus all ..., or nvidia-modprobe on the host",
        )
    return warning(
        f"torch (CUDA {built}) sees no device although there is a driver ({driver})",
        "python -c 'import torch; torch.cuda.init()' says why",
    )


def _judge_device(torch: Any, index: int) -> Finding:
    name = torch.cuda.get_device_name(index)
    capability = tuple(torch.cuda.get_device_capability(index))
    archs = list(torch.cuda.get_arch_list())
    text = f"cuda:{index} {name}, capability {capability[0]}.{capability[1]}"
    if archs and not any(runs_on(arch, capability) for arch in archs):
        return error(
            f"{text}, which torch {torch.__version__} has no kernels for ({', '.join(archs)})",
            "install a torch build for this GPU (pytorch.org says which), or device:=cpu",
        )
    return fine(f"{text}, CUDA {torch.version.cuda}")


def runs_on(arch: str, capability: tuple[int, ...]) -> bool:
    """Whether code for an architecture (``sm_86``, ``compute_90``) runs on a device.

    Binaries run on devices of the same first number and at least the second; PTX (``compute``) on
    every later one. A letter behind (``sm_90a``) means this device and no other.
    """
    match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", arch)
    if match is None:
        return False
    built = (int(match[2]), int(match[3]))
    if match[4]:
        return built == capability if match[4] == "a" else built[0] == capability[0]
    if match[1] == "compute":
        return capability >= built
    return capability[0] == built[0] and capability[1] >= built[1]

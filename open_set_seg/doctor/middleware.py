"""The middleware's settings: can large images get from one process to another at all?"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from open_set_seg.doctor.findings import Finding, error, fine, note, warning
from open_set_seg.doctor.surroundings import Surroundings
from open_set_seg.resources import find_resource

FASTDDS = "rmw_fastrtps_cpp"
PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
# Distributions whose Fast DDS (2) reads the first of the two names only.
READS_OLD_NAME = ("humble", "iron", "jazzy")
STOCK_SEGMENT = 512 * 1024
# A frame of 2048 x 1024 with its disparity is 15 MB.
WANTED_SEGMENT = 16 * 2**20
LARGEST_DOMAIN, SAFE_DOMAIN = 232, 101
RANGES = ("SUBNET", "LOCALHOST", "OFF", "SYSTEM_DEFAULT")
WANTED_RECEIVE_BUFFER = 2**21
SHARED_MEMORY = "/dev/shm"


def check_ros(here: Surroundings) -> Iterator[Finding]:
    """rclpy loads, and is not a mixture of the registry's wheels and a sourced ROS."""
    wheels = here.version("ros-rclpy")
    system = [
        prefix
        for prefix in here.variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
        if prefix.startswith("/opt/ros/")
    ]
    try:
        here.load("rclpy")
    except ModuleNotFoundError as failure:
        if failure.name != "rclpy":
            raise
        advice = "pip install 'open_set_seg[ros]', or source a ROS (source /opt/ros/jazzy/setup.sh)"
        if system:
            advice = (
                f"{system[0]} is sourced, but for another Python than {here.executable}: make the "
                "environment with --system-site-packages of the system's python3"
            )
        yield note("rclpy is not installed: no node can run, recordings and files can", advice)
        return
    except Exception as failure:
        yield error(
            f"rclpy does not load: {' '.join(str(failure).split())[:300]}",
            "source one ROS in a fresh shell; with the wheels, unset PYTHONPATH, LD_LIBRARY_PATH "
            "and _ROS_WHEELS_BOOTSTRAP_COMPLETE",
        )
        return
    if wheels and system:
        yield warning(
            f"rclpy {wheels} is a wheel in this environment, while {system[0]} is sourced: their "
            "libraries mix",
            "use one of the two: a shell without ROS sourced, or pip uninstall ros-rclpy",
        )
    source = f"wheel {wheels}" if wheels else here.variables.get("ROS_DISTRO", "of the system")
    yield fine(f"rclpy loads ({source})")


def check_rmw(here: Surroundings) -> Iterator[Finding]:
    """Which middleware will be used."""
    chosen = here.variables.get("RMW_IMPLEMENTATION", "")
    if chosen in ("", FASTDDS):
        yield fine(f"middleware {FASTDDS}" + ("" if chosen else " (the default)"))
        return
    yield note(
        f"middleware {chosen}: this package's transport was measured with {FASTDDS} only",
        "every node must use the same; look up how it carries messages of megabytes (Cyclone DDS: "
        "net.core.rmem_max and its shared memory)",
    )


def check_profile(here: Surroundings) -> Iterator[Finding]:
    """Whether Fast DDS has a shared-memory segment that images fit into."""
    if here.variables.get("RMW_IMPLEMENTATION", FASTDDS) != FASTDDS:
        return
    ours = _our_profile()
    advice = f"export {PROFILE_VARIABLES[0]}={ours} for this node and for the camera's driver"
    name, path = _profile(here)
    if not path:
        yield warning(
            "no Fast DDS profile is loaded: its shared memory takes messages up to 0.5 MB, larger "
            "images are lost in silence (best effort) or come late (reliable)",
            advice,
        )
        return
    if name != PROFILE_VARIABLES[0] and here.variables.get("ROS_DISTRO") in READS_OLD_NAME:
        yield warning(f"{name} is set, which ROS {here.variables['ROS_DISTRO']} ignores", advice)
        return
    try:
        segment = read_segment(here.read(path))
    except OSError as failure:
        yield error(f"{name} names {path}, which cannot be read: {failure.strerror}", advice)
    except ValueError as failure:
        yield error(f"{name} names {path}, which is no profile: {failure}", advice)
    else:
        if segment is None:
            yield warning(
                f"{path} has no shared-memory transport in its default participant: messages of "
                "one machine take the network's way",
                advice,
            )
        elif segment < WANTED_SEGMENT:
            yield warning(
                f"{path} gives {segment / 2**20:.3g} MiB of shared memory: a frame of 2048 x 1024 "
                "with its disparity needs 15 MB",
                advice,
            )
        else:
            yield fine(f"Fast DDS profile {path}: {segment / 2**20:.3g} MiB of shared memory")


def check_discovery(here: Surroundings) -> Iterator[Finding]:
    """Domain and discovery range: who can hear whom."""
    domain = here.variables.get("ROS_DOMAIN_ID", "")
    reach = here.variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper()
    if domain and not (domain.isdigit() and int(domain) <= LARGEST_DOMAIN):
        yield error(
            f"ROS_DOMAIN_ID={domain!r} is no number from 0 to {LARGEST_DOMAIN}",
            "export ROS_DOMAIN_ID=0 (or up to 101), the same for every node",
        )
    elif domain and int(domain) > SAFE_DOMAIN:
        yield warning(
            f"ROS_DOMAIN_ID={domain} takes ports that Linux gives to others too",
            f"export ROS_DOMAIN_ID to a number from 0 to {SAFE_DOMAIN}, the same for every node",
        )
    if reach == "OFF":
        yield error(
            "ROS_AUTOMATIC_DISCOVERY_RANGE=OFF: nodes do not find each other",
            "unset ROS_AUTOMATIC_DISCOVERY_RANGE, or set it to LOCALHOST",
        )
    elif reach and reach not in RANGES:
        yield error(
            f"ROS_AUTOMATIC_DISCOVERY_RANGE={reach} is none of {', '.join(RANGES)}",
            "export ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET, or LOCALHOST",
        )
    if here.variables.get("ROS_LOCALHOST_ONLY", "0") not in ("", "0"):
        yield note(
            "ROS_LOCALHOST_ONLY is set: only nodes of this machine are heard",
            "its newer name is ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST",
        )
    yield fine(f"domain {domain or '0 (the default)'}, discovery {reach or 'SUBNET (the default)'}")


def check_shared_memory(here: Surroundings) -> Iterator[Finding]:
    """Room in /dev/shm for one segment a process, which containers often lack."""
    if here.variables.get("RMW_IMPLEMENTATION", FASTDDS) != FASTDDS:
        return
    segment = segment_of(here) or STOCK_SEGMENT
    needed = 3 * segment  # a camera, this node and one listener
    try:
        free = here.free_bytes(SHARED_MEMORY)
    except OSError:
        yield note(f"there is no {SHARED_MEMORY}: messages take the network's way")
        return
    text = f"{SHARED_MEMORY} has {free / 2**20:.0f} MiB free"
    if free < needed:
        yield warning(
            f"{text}, but a camera, this node and a listener take {needed / 2**20:.3g} MiB",
            "docker run --shm-size=512m ..., or --ipc=host; files of crashed nodes are removed by "
            "`fastdds shm clean`",
        )
    else:
        yield fine(text)


def check_network_buffers(here: Surroundings) -> Iterator[Finding]:
    """The kernel's receive buffer, where images come from another machine."""
    text = here.read_line("/proc/sys/net/core/rmem_max")
    if not text.isdigit():
        return
    if int(text) < WANTED_RECEIVE_BUFFER:
        yield note(
            f"the kernel gives a socket {int(text) / 1024:.0f} KiB at most: images from another "
            "machine lose fragments (on one machine it does not matter)",
            "sudo sysctl -w net.core.rmem_max=33554432 on the machine that receives",
        )
    else:
        yield fine(f"sockets may hold {int(text) / 2**20:.3g} MiB")


def segment_of(here: Surroundings) -> int | None:
    """Bytes of the shared-memory segment that Fast DDS will have; None with another middleware."""
    if here.variables.get("RMW_IMPLEMENTATION", FASTDDS) != FASTDDS:
        return None
    try:
        path = _profile(here)[1]
        return (read_segment(here.read(path)) if path else None) or STOCK_SEGMENT
    except (OSError, ValueError):
        return STOCK_SEGMENT


def read_segment(text: str) -> int | None:
    """Bytes of the shared-memory segment in the default participant of a Fast DDS profile.

    Returns:
        None where that participant has no shared memory; what Fast DDS takes by itself where it
        leaves the builtin transports on and names none.

    Raises:
        ValueError: no XML, or no size where one should be.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as failure:
        raise ValueError(f"not XML ({failure})") from None
    for element in root.iter():
        element.tag = str(element.tag).rpartition("}")[2]
    sizes = {}
    for transport in root.iter("transport_descriptor"):
        if (transport.findtext("type") or "").strip() == "SHM":
            size = (transport.findtext("segment_size") or str(STOCK_SEGMENT)).strip()
            if not size.isdigit():
                raise ValueError(f"segment_size is {size!r:.40}, no number of bytes")
            sizes[(transport.findtext("transport_id") or "").strip()] = int(size)
    for participant in root.iter("participant"):
        if participant.get("is_default_profile") != "true":
            continue
        used = [(e.text or "").strip() for e in participant.iter("transport_id")]
        found = [sizes[name] for name in used if name in sizes]
        if found:
            return max(found)
        builtin = (participant.findtext(".//useBuiltinTransports") or "true").strip()
        return STOCK_SEGMENT if builtin != "false" else None
    return STOCK_SEGMENT


def _profile(here: Surroundings) -> tuple[str, str]:
    """The variable that names a profile, and the file; both empty without one."""
    for name in PROFILE_VARIABLES:
        if here.variables.get(name):
            return name, here.variables[name]
    return "", ""


def _our_profile() -> str:
    try:
        return str(find_resource("config/fastdds.xml"))
    except FileNotFoundError:
        return "/path/to/open_set_seg/config/fastdds.xml"

"""Version, licence and dependencies agree wherever they are stated."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

import open_set_seg
from open_set_seg.resources import find_resource

ROOT = Path(__file__).resolve().parent.parent


def package_xml() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def setup_field(name: str) -> str:
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", f"--{name}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return done.stdout.strip().splitlines()[-1]


def test_version_is_the_same_everywhere():
    version = open_set_seg.__version__
    assert package_xml().findtext("version") == version
    assert setup_field("version") == version
    assert re.search(rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_licence_is_the_same_everywhere():
    assert package_xml().findtext("license") == "Apache-2.0"
    assert setup_field("license") == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]


def test_name_is_the_same_everywhere():
    assert package_xml().findtext("name") == setup_field("name") == "open_set_seg"
    assert (ROOT / "resource" / "open_set_seg").is_file()
    assert package_xml().get("format") == "3"


def test_package_xml_names_every_ros_package_that_the_code_imports():
    declared = {element.text for element in package_xml() if element.tag.endswith("depend")}
    used: set[str] = set()
    for folder in ("open_set_seg/ros", "launch"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.M))
    ros = {
        name for name in used if name.endswith(("_msgs", "_interfaces")) or name in {
            "rclpy", "launch", "launch_ros", "ament_index_python"
        }
    }  # fmt: skip
    assert ros, "nothing found: the pattern is broken"
    assert ros <= declared


def test_torch_and_opencv_are_never_hard_requirements():
    hard = [r for r in requires("open_set_seg") if "extra ==" not in r]
    names = {re.match(r"[\w-]+", r).group(0).lower() for r in hard}
    assert names == {"numpy", "pyyaml", "safetensors", "tqdm"}


def test_the_promised_extras_exist():
    extras = set(re.findall(r"extra == [\"'](\w+)[\"']", "\n".join(requires("open_set_seg"))))
    assert {"torch", "opencv", "ros", "bags", "train", "test"} <= extras


def test_executables_are_listed_for_ros2_run():
    for name in ("detector", "simulator", "player"):
        script = ROOT / "scripts" / name
        assert script.stat().st_mode & 0o111, f"{script} is not executable"
        assert script.read_text().startswith("#!/usr/bin/env python3\n")


def test_resources_are_found_and_a_missing_one_names_the_places():
    assert find_resource("config/detector.yaml").is_file()
    with pytest.raises(FileNotFoundError, match="found in none of"):
        find_resource("config/no_such_file.yaml")


def test_resources_of_a_workspace_are_found_through_ament(tmp_path, monkeypatch):
    target = tmp_path / "share" / "open_set_seg" / "config" / "only_here.yaml"
    target.parent.mkdir(parents=True)
    target.write_text("{}")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nonexistent:{tmp_path}")
    assert find_resource("config/only_here.yaml") == target


def test_readme_lists_every_parameter_with_its_default():
    pytest.importorskip("rclpy")
    from open_set_seg.ros.settings import PARAMETERS

    rows = dict(
        re.findall(
            r"^\| `([\w.]+)` \| `(.*?)` \| (?:yes|no) \|", (ROOT / "README.md").read_text(), re.M
        )
    )
    assert set(rows) == {parameter.name for parameter in PARAMETERS}
    for parameter in PARAMETERS:
        default = parameter.default
        if isinstance(default, tuple):
            default = list(default)
        assert yaml.safe_load(rows[parameter.name]) == default, parameter.name

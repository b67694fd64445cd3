"""Version, licence and dependencies agree wherever they are stated."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
import zipfile
from importlib.metadata import requires
from pathlib import Path

import pytest
import yaml

import open_set_seg
from open_set_seg.kernels import HeadKernel
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


@pytest.fixture
def source(tmp_path):
    """The source tree without anything built, and without the weights, which no build looks at."""
    folder = tmp_path / "source"
    ignored = shutil.ignore_patterns("*.so", "*.pyc", "__pycache__", "*.safetensors")
    for name in ("open_set_seg", "resource", "launch", "config", "scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "package.xml", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def build(source: Path, kind: str, compiler: str | None = None) -> tuple[Path, str]:
    """The archive that pip would build (``wheel`` or ``sdist``), and what was said meanwhile."""
    environment = {**os.environ, **({"CC": compiler} if compiler else {})}
    done = subprocess.run(
        [sys.executable, "-c", f"from setuptools import build_meta as b; b.build_{kind}('dist')"],
        cwd=source, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (archive,) = (source / "dist").iterdir()
    return archive, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_a_wheel_holds_the_compiled_kernel(source):
    wheel, _ = build(source, "wheel")
    assert not wheel.name.endswith("-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract("open_set_seg/kernels/head.so", source / "unpacked"))
    assert HeadKernel(path).best_level >= 0


@pytest.mark.parametrize("compiler", ["false", "/no/such/compiler"])
def test_a_compiler_that_fails_costs_the_kernel_and_nothing_else(source, compiler):
    wheel, said = build(source, "wheel", compiler)
    assert "the C kernel of the open-set head was not built" in said
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(source / "unpacked")
    assert "open_set_seg/kernels/cpu_head.py" in names
    assert not [name for name in names if name.endswith(".so")]
    script = "import torch; from open_set_seg.head import *; print(head_backend())\n"
    script += "print(open_set_head(torch.zeros(1, 3, 2, 2), (8, 8))[0].max().item())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=source / "unpacked", capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "tiled PyTorch (the C kernel was not built: no C compiler at installation)", "0"
    ]  # fmt: skip


def test_a_source_archive_holds_what_the_kernel_is_built_from(source):
    archive, _ = build(source, "sdist")
    with tarfile.open(archive) as files:
        names = {name.partition("/")[2] for name in files.getnames()}
    kernels = ROOT / "open_set_seg" / "kernels"
    sources = [path.name for path in sorted(kernels.glob("*.[ch]"))]
    assert "head.c" in sources
    assert {f"open_set_seg/kernels/{name}" for name in sources} <= names


@pytest.mark.parametrize("compiler", ["cc", "false"])
def test_an_editable_installation_builds_beside_the_sources(source, compiler):
    if not shutil.which(compiler):
        pytest.skip("needs a C compiler")
    environment = {**os.environ, "CC": compiler}
    script = "from setuptools import build_meta as b; b.build_editable('dist')"
    subprocess.run(
        [sys.executable, "-c", script], cwd=source, env=environment, check=True, capture_output=True
    )
    assert (source / "open_set_seg/kernels/head.so").is_file() == (compiler == "cc")


@pytest.mark.parametrize("compiler", ["cc", "false"])
def test_a_workspace_build_installs_with_and_without_a_compiler(source, compiler):
    # The commands that colcon's ament_python builds run.
    if not shutil.which(compiler):
        pytest.skip("needs a C compiler")
    prefix = source.parent / "install"
    arguments = ["build", "--build-base", "../build", "install", "--prefix", str(prefix)]
    arguments += ["--record", "../record.txt", "--single-version-externally-managed"]
    subprocess.run(
        [sys.executable, "setup.py", "-q", *arguments],
        cwd=source, env={**os.environ, "CC": compiler}, check=True, capture_output=True,
    )  # fmt: skip
    found = sorted(path.parent.name for path in prefix.rglob("head.so"))
    assert found == (["kernels"] if compiler == "cc" else [])
    assert list(prefix.rglob("kernels/cpu_head.py"))

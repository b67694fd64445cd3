"""The import rule: who may import whom, read off the syntax trees."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUNTIME = ROOT / "open_set_seg"
ROS_PACKAGES = {
    "action_msgs",
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "stereo_msgs",
    "vision_msgs",
    "visualization_msgs",
}

# Every module or folder of the runtime with the layer it lies in. An arrow may only point to a
# lower layer, or stay inside the same module's folder.
LAYERS = {
    "resources": 0,
    "files": 0,
    "machine": 0,
    "replaceable": 0,
    "label_spaces": 0,
    "frame": 0,
    "report": 0,
    "video": 1,
    "kernels": 0,
    "components": 0,
    "models": 1,
    "scores": 1,
    "metrics": 1,
    "stereo": 1,
    "messages": 2,
    "ground": 1,
    "free_ground": 1,
    "head": 2,
    "backends": 2,
    "interventions": 2,
    "postprocessing": 2,
    "tracking": 1,
    "obstacles": 2,
    "simulation": 2,
    "captions": 2,
    "drawing": 3,
    "scoring": 3,
    "monitoring": 3,
    "checkpoint": 4,
    "foreign": 5,
    "calibration": 5,
    "opening": 6,
    "segmenter": 7,
    "detector": 8,
    "observer": 9,
    "fitting": 8,
    "certificates": 8,
    "export": 9,
    "bags": 9,
    "benchmark": 9,
    "doctor": 10,
    "ros": 11,
    "demo": 10,
    "processing": 10,
    "cli": 12,
}
# simulation and drawing know the data and the camera geometry, nothing of the network.
RESTRICTED = {
    "simulation": {"label_spaces", "frame", "stereo"},
    "drawing": {"label_spaces", "frame", "stereo", "captions"},
    "captions": {"label_spaces", "frame", "tracking"},
    "metrics": {"label_spaces", "frame"},
}


def runtime_files():
    return sorted(RUNTIME.rglob("*.py"))


def module_of(path: Path) -> str:
    relative = path.relative_to(RUNTIME)
    return relative.parts[0].removesuffix(".py")


def imports(tree: ast.AST, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Absolute dotted names that a module imports, as tuples."""
    found: list[tuple[str, ...]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = (*base, *(node.module.split(".") if node.module else ()))
            found += [(*name, alias.name) for alias in node.names]
    return found


def imports_of(path: Path) -> list[tuple[str, ...]]:
    package = path.relative_to(ROOT).parent.parts
    return imports(ast.parse(path.read_text(encoding="utf-8")), package)


@pytest.mark.parametrize("path", runtime_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_ros_folder_imports_ros_and_nothing_imports_training(path):
    roots = {name[0] for name in imports_of(path)}
    assert "training" not in roots
    if module_of(path) != "ros":
        assert not roots & ROS_PACKAGES


@pytest.mark.parametrize("path", runtime_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_arrows_between_runtime_modules_point_one_way(path):
    module = module_of(path)
    if module == "__init__":
        return
    assert module in LAYERS, f"{module} has no layer: say where it belongs"
    targets = {n[1] for n in imports_of(path) if n[0] == "open_set_seg" and len(n) > 1}
    for target in targets - {module, "__version__"}:
        assert LAYERS[target] < LAYERS[module], f"{module} must not import {target}"
    if module in RESTRICTED:
        assert targets - {module} <= RESTRICTED[module]


def test_ros_is_imported_outside_its_folder_only_inside_functions():
    for path in runtime_files():
        if module_of(path) == "ros":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        top_level = ast.Module(
            [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        for name in imports(top_level, path.relative_to(ROOT).parent.parts):
            assert name[:2] != ("open_set_seg", "ros"), path


def test_training_never_imports_the_ros_side():
    for path in sorted((ROOT / "training").rglob("*.py")):
        for name in imports_of(path):
            assert name[0] not in ROS_PACKAGES, path
            assert name[:2] != ("open_set_seg", "ros"), path


# Modules and folders of the training house, likewise.
TRAINING_LAYERS = {
    "task_pool": -1,
    "randomness": 0,
    "divergences": 0,
    "losses": 0,
    "ranks": 0,
    "datasets": 0,
    "flow": 1,
    "mixed_content": 1,
    "presentation": 1,
    "sources": 1,
    "negatives": 2,
    "recipes": 3,
    "optimisers": 4,
    "prediction": 4,
    "run_state": 4,
    "data": 5,
    "loop": 5,
    "pictures": 5,
    "steps": 6,
    "validation": 6,
    "flow_training": 6,
    "examination": 7,
    "segmentation": 8,
    "train": 9,
    "command_line": 2,
    "compare": 2,
    "paper_tables": 2,
    "evaluation": 5,
    "evaluate": 6,
    "submit": 6,
    "figures": 11,
    "study": 10,
}


def test_arrows_between_training_modules_point_one_way():
    wrong = []
    for path in sorted((ROOT / "training").rglob("*.py")):
        module = path.relative_to(ROOT / "training").parts[0].removesuffix(".py")
        if module == "__init__":
            continue
        assert module in TRAINING_LAYERS, f"{module} has no layer: say where it belongs"
        targets = {n[1] for n in imports_of(path) if n[0] == "training" and len(n) > 1} - {module}
        layer = TRAINING_LAYERS[module]
        wrong += [f"{path}: {each}" for each in targets if TRAINING_LAYERS[each] >= layer]
    assert not wrong


def test_names_that_say_nothing_are_not_used():
    banned = {"utils.py", "helpers.py", "common.py", "base.py", "misc.py"}
    used = {
        p.name for folder in ("open_set_seg", "training") for p in (ROOT / folder).rglob("*.py")
    }
    assert not used & banned


def test_the_pipeline_imports_where_no_ros_is_installed():
    # A finder that refuses ROS packages stands for a machine without them.
    script = (
        "import sys\n"
        f"blocked = {sorted(ROS_PACKAGES)!r}\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "import open_set_seg.detector, open_set_seg.segmenter, open_set_seg.bags\n"
        "import open_set_seg.simulation, open_set_seg.cli, open_set_seg.demo\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr

"""Packaging for pip and for colcon (ament_python).

torch and OpenCV are extras, never hard requirements: a robot's vendor builds must survive
``pip install .``.
"""

import re
from glob import glob
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = "open_set_seg"
HERE = Path(__file__).resolve().parent
VERSION = re.search(
    r'^__version__ = "([^"]+)"$', (HERE / NAME / "__init__.py").read_text(), re.MULTILINE
).group(1)

# -ffast-math would make NaN anything; what it gives otherwise is asked for by name.
KERNEL_FLAGS = [
    "-std=gnu99",
    "-O3",
    "-fno-fast-math",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-pthread",
]


class BuildKernel(build_ext):
    """Builds a plain shared object; where that fails, the installation goes on without it."""

    def get_ext_filename(self, fullname: str) -> str:
        # No Python in it, so no Python's tag in its name.
        return str(Path(*fullname.split("."))) + ".so"

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception as error:
            self.warn(
                f"the C kernel of the open-set head was not built ({error}); it will run in "
                "PyTorch, with the same results but many times slower. A C compiler is missing?"
            )


setup(
    name=NAME,
    version=VERSION,
    description="Open-set segmentation and obstacle detection with distances for ROS 2 robots",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="The open_set_seg developers",
    maintainer="The open_set_seg developers",
    maintainer_email="developers@open-set-seg.invalid",
    keywords=["ROS", "segmentation", "anomaly detection", "open-set", "stereo"],
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: ["py.typed", "checkpoints/*.safetensors", "report/page.*"]},
    ext_modules=[
        Extension(
            f"{NAME}.kernels.head",
            sorted(glob(f"{NAME}/kernels/*.c")),
            depends=sorted(glob(f"{NAME}/kernels/*.h")),
            extra_compile_args=KERNEL_FLAGS,
            extra_link_args=["-pthread"],
            libraries=["m"],
            optional=True,
        )
    ],
    cmdclass={"build_ext": BuildKernel},
    # What share/ and lib/ must hold for ament, `ros2 run` and `ros2 launch`. The scripts under
    # lib/ are listed here because pip puts console scripts into bin/, where ros2 does not look.
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*.yaml") + glob("config/*.xml"))),
        (f"share/{NAME}/config/nav2", sorted(glob("config/nav2/*.yaml"))),
        (f"share/{NAME}/config/rviz", sorted(glob("config/rviz/*.rviz"))),
        (f"share/{NAME}/config/foxglove", sorted(glob("config/foxglove/*.json"))),
        (f"lib/{NAME}", sorted(glob("scripts/*"))),
    ],
    python_requires=">=3.10",
    install_requires=["numpy>=1.24", "PyYAML>=6", "safetensors>=0.4.3", "tqdm>=4.60"],
    extras_require={
        "torch": ["torch>=2.6,<2.14"],
        "opencv": ["opencv-python-headless>=4.6"],
        "ros": [
            "ros-rclpy[fastrtps]>=7.1,<8",
            "ros-sensor-msgs>=5.3",
            "ros-std-msgs>=5.3",
            "ros-std-srvs>=5.3",
            "ros-stereo-msgs>=5.3",
            "ros-diagnostic-msgs>=5.3",
            "ros-visualization-msgs>=5.3",
            "ros-geometry-msgs>=5.3",
        ],
        "bags": ["rosbags>=0.11,<0.12"],
        # `bag process`: tables as Parquet, and recordings on a Dask cluster.
        "parquet": ["pyarrow>=14"],
        "fleet": ["dask>=2024.8", "distributed>=2024.8"],
        "report": ["matplotlib>=3.8", "Jinja2>=3.1"],
        "openvino": ["openvino>=2025.0"],
        "onnx": ["onnxruntime>=1.17"],
        # What `open-set-seg export` needs beyond that.
        "export": ["onnx>=1.16", "onnxscript>=0.5", "onnxruntime>=1.17", "nncf>=2.14"],
        # torch brings it along where it is built for CUDA.
        "triton": ["triton>=3.2; platform_system == 'Linux'"],
        "train": ["tensorboard>=2.14", "h5py>=3.10", "Pillow>=10"],
        "test": [
            "pytest>=8,<9",
            "hypothesis>=6.100",
            "scikit-learn>=1.3",
            "mcap>=1.0",
            "mcap-ros2-support>=0.5",
            "onnx>=1.16",
            "dask>=2024.8",
            "distributed>=2024.8",
            "pyarrow>=14",
        ],
        "lint": ["ruff>=0.8", "mypy>=1.13", "types-PyYAML", "pre-commit>=3.7"],
    },
    entry_points={"console_scripts": ["open-set-seg = open_set_seg.cli:main"]},
    zip_safe=False,
)

"""The YAML file beside a TorchScript or ONNX file: what the network does not say about itself.

    file: deeplab.pt                # relative to the YAML file
    label_space: cityscapes_19      # or {classes: [...], ground: [...], name: ...}
    mean: [0.485, 0.456, 0.406]     # input = (RGB * scale - mean) / std
    std: [0.229, 0.224, 0.225]
    scale: 0.00392156862745098
    channel_order: rgb
    input_size: [512, 1024]         # (h, w), if the network takes no other
    input_multiple: 32              # if both sides must be divisible by it
    score: energy
    temperature: 1.0
    score_map: {location: -12.0, scale: 2.0}    # for unbounded scores, and only for those
    threshold: 0.5

Only ``file`` and ``label_space`` are needed. The rest has the defaults of ``LogitsAdapter``, JSD,
the score's own temperature, and 0.5.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from open_set_seg.label_spaces import LABEL_SPACES, LabelSpace
from open_set_seg.models import AdapterError
from open_set_seg.models.adapter import (
    BYTE_SCALE,
    CHANNEL_ORDERS,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ChannelOrder,
)
from open_set_seg.scores import LogisticMap

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class ModelDescription:
    """What a description says; see the module, ``LogitsAdapter`` and ``CheckpointMetadata``."""

    file: Path
    label_space: LabelSpace
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    scale: float = BYTE_SCALE
    channel_order: ChannelOrder = "rgb"
    input_size: tuple[int, int] | None = None
    input_multiple: int | None = None
    score: str = "jsd"
    temperature: float | None = None
    score_map: LogisticMap | None = None
    threshold: float = 0.5


def is_description(path: Path) -> bool:
    """Whether a file is one by its name: YAML has no mark to know it by."""
    return path.suffix in _SUFFIXES


def read_description(path: Path) -> ModelDescription:
    """The description in a YAML file.

    Raises:
        AdapterError: no such file, a key that is unknown or missing, or a value of another kind;
            one line that names the file and the key.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise AdapterError(
            f"expected the description of a model at {path}, found {error}"
        ) from error
    except yaml.YAMLError as error:
        raise AdapterError(f"{path}: expected YAML, found {_one_line(error)}") from error
    known = [one.name for one in fields(ModelDescription)]
    needed = [one.name for one in fields(ModelDescription) if one.default is MISSING]
    try:
        _check_keys(content, known, needed)
        values = {key: _read(_READERS[key], key, value) for key, value in content.items()}
    except AdapterError as error:
        raise AdapterError(f"{path}: {error}") from None
    file = path.parent / Path(values.pop("file")).expanduser()
    return ModelDescription(file, **values)


def _check_keys(content: Any, known: Iterable[str], needed: Iterable[str]) -> None:
    known = tuple(known)
    _require(isinstance(content, Mapping), f"a mapping with {', '.join(known)}", content)
    for key in content:
        if key not in known:
            raise AdapterError(f"unknown key {key!r}{_nearest(str(key), known)}")
    for key in needed:
        _require(key in content, f"the key {key!r}", "nothing")


def _read(reader: Callable[[Any], Any], key: str, value: Any) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise AdapterError(f"{key}: {error}") from None


def _text(value: Any) -> str:
    _require(isinstance(value, str) and bool(value), "a text", value)
    return str(value)


def _texts(value: Any) -> tuple[str, ...]:
    _require(isinstance(value, list), "a list of names", value)
    return tuple(map(_text, value))


def _number(value: Any) -> float:
    # YAML reads 1e-3 (without a point) as text.
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    _require(math.isfinite(number), "a finite number", value)
    return number


def _numbers(value: Any) -> tuple[float, ...]:
    _require(isinstance(value, list) and len(value) == 3, "three numbers", value)
    return tuple(map(_number, value))


def _count(value: Any) -> int:
    _require(type(value) is int and value > 0, "a positive whole number", value)
    return int(value)


def _size(value: Any) -> tuple[int, int]:
    _require(isinstance(value, list) and len(value) == 2, "[height, width]", value)
    return _count(value[0]), _count(value[1])


def _channel_order(value: Any) -> str:
    _require(value in CHANNEL_ORDERS, " or ".join(CHANNEL_ORDERS), value)
    return str(value)


def _label_space(value: Any) -> LabelSpace:
    if isinstance(value, str):
        if value not in LABEL_SPACES:
            hint = _nearest(value, LABEL_SPACES)
            raise AdapterError(f"unknown label space {value!r}{hint} (or give its classes)")
        return LABEL_SPACES[value]
    _check_keys(value, ("classes", "ground", "name"), ("classes",))
    classes = _read(_texts, "classes", value["classes"])
    ground = _read(_texts, "ground", value.get("ground", []))
    name = _read(_text, "name", value.get("name", f"described_{len(classes)}"))
    return LabelSpace.of_classes(name, classes, ground)


def _score_map(value: Any) -> LogisticMap:
    keys = ("location", "scale")
    _check_keys(value, keys, keys)
    return LogisticMap(**{key: _read(_number, key, value[key]) for key in keys})


_READERS: dict[str, Callable[[Any], Any]] = {
    "file": _text,
    "label_space": _label_space,
    "mean": _numbers,
    "std": _numbers,
    "scale": _number,
    "channel_order": _channel_order,
    "input_size": _size,
    "input_multiple": _count,
    "score": _text,
    "temperature": _number,
    "score_map": _score_map,
    "threshold": _number,
}


def _nearest(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, tuple(known), n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}?" if near else ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _require(holds: bool, expected: str, found: object) -> None:
    if not holds:
        raise AdapterError(f"expected {expected}, found {found!r:.80}")

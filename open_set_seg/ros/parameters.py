"""Parameters as rows of a table, from which declaration, checks and descriptors follow.

Declared with dynamic typing, because rclpy otherwise refuses an integer for a double; types and
ranges are checked here, with messages that name the parameter.
"""

from __future__ import annotations

import array
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

OFF = "off"
_FOREIGN = ("qos_overrides.", "use_sim_time", "start_type_description_service")


class ParameterError(ValueError):
    """A parameter of a wrong type or out of its range; the text names it."""


@dataclass(frozen=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: as in YAML.
        default: decides the type: bool, int, float, str or a tuple of strings.
        text: description, with unit.
        low, high: inclusive range of numbers.
        choices: allowed strings; empty: any.
        live: whether a change takes effect at once; else it is read when the node is configured
            and can only be changed while it is not.
        fixed: read once, when the process starts.
        can_be_off: ``off`` is one of its strings. YAML, hence ROS's command line and files, reads
            the bare word as false, which is then taken for it.
    """

    name: str
    default: Any
    text: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    live: bool = True
    fixed: bool = False
    can_be_off: bool = False

    def convert(self, value: Any) -> Any:
        """``value`` in the parameter's type; an integer is taken for a double.

        Raises:
            ParameterError: wrong type, out of range, or not one of the choices.
        """
        kind = type(self.default)
        if kind is tuple:
            return self._convert_list(value)
        if kind is float and type(value) is int:
            value = float(value)
        if self.can_be_off and value is False:
            value = OFF
        if type(value) is not kind:
            raise ParameterError(f"{self.name} must be of type {_TYPE_NAMES[kind]}, not {value!r}")
        if kind in (int, float) and not self.low <= value <= self.high:
            raise ParameterError(
                f"{self.name} = {value!r} is out of its range [{self.low:g}, {self.high:g}]"
            )
        if self.choices and value not in self.choices:
            raise ParameterError(f"{self.name} = {value!r} is not one of {', '.join(self.choices)}")
        return value

    def _convert_list(self, value: Any) -> tuple[str, ...]:
        # An empty list has no type of its own: rclpy hands it over as an array of bytes.
        is_list = isinstance(value, (list, tuple, bytes, array.array))
        entries = list(value) if is_list else [value]
        if not is_list or not all(isinstance(entry, str) for entry in entries):
            raise ParameterError(f"{self.name} must be a list of strings, not {value!r}")
        return tuple(entry for entry in entries if entry)

    def describe(self) -> ParameterDescriptor:
        """The descriptor that ``ros2 param describe`` shows."""
        constraints = [f"one of {', '.join(self.choices)}"] if self.choices else []
        if self.fixed:
            constraints.append("read when the process starts")
        elif not self.live:
            constraints.append("read when the node is configured")
        descriptor = ParameterDescriptor(
            description=self.text,
            additional_constraints="; ".join(constraints),
            read_only=self.fixed,
            dynamic_typing=True,
        )
        if math.isfinite(self.low) and math.isfinite(self.high):
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
                ]
            elif type(self.default) is int:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
                ]
        return descriptor


_TYPE_NAMES = {bool: "bool", int: "integer", float: "double", str: "string"}


def convert_values(table: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Every named value in its parameter's type.

    Raises:
        ParameterError: see ``Parameter.convert``.
    """
    rows = {row.name: row for row in table}
    return {name: rows[name].convert(value) for name, value in values.items()}


def declare_parameters(
    node: Node, table: Sequence[Parameter]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Declare a table on a node.

    The node must have been made with ``automatically_declare_parameters_from_overrides``: the only
    public way to learn of given parameters that nobody declares.

    Returns:
        values by name, and one sentence for every unknown parameter that was given.

    Raises:
        ParameterError: a given value of a wrong type or out of range.
    """
    given = {
        name: node.get_parameter(name).value
        for name in node.list_parameters([], 0).names
        if not name.startswith(_FOREIGN)
    }
    known = [row.name for row in table]
    unknown = [name for name in given if name not in known]
    for name in given:
        node.undeclare_parameter(name)
    values = {row.name: row.default for row in table}
    values |= convert_values(table, {n: v for n, v in given.items() if n in known})
    for row in table:
        value = values[row.name]
        node.declare_parameter(
            row.name,
            list(value) if isinstance(value, tuple) else value,
            row.describe(),
            ignore_override=True,
        )
    return values, tuple(describe_unknown(name, known) for name in unknown)


def describe_unknown(name: str, known: Sequence[str]) -> str:
    """A sentence about a parameter that does not exist, with the one that was probably meant."""
    leaves = {full.rpartition(".")[2]: full for full in known}
    close = difflib.get_close_matches(name, [*known, *leaves], n=1)
    hint = f"; did you mean {leaves.get(close[0], close[0])!r}?" if close else ""
    return f"there is no parameter {name!r}{hint}"

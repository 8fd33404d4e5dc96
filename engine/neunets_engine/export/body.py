"""The ONNX nodes and constants of a model while it is being written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from neunets.graph import Shape
from neunets.ops import Attributes

__all__ = ["Body", "Site"]


@dataclass(frozen=True, slots=True)
class Site:
    """One node of the IR, and the tensors that it reads."""

    name: str
    attributes: Attributes  # defaults filled in
    inputs: Sequence[str]  # names of tensors
    shapes: Sequence[Shape]  # of the inputs, channels first, without the batch
    weights: Mapping[str, NDArray[np.float32]]  # by the parameter's name

    def integer(self, name: str) -> int:
        return int(self.number(name))

    def number(self, name: str) -> float:
        value = self.attributes[name]
        if not isinstance(value, int | float):
            raise TypeError(f"{name} is {value!r}, not a number")
        return value


class Body:
    """Nodes keep the names of the IR.

    No two tensors meet, whatever the nodes are called: a node's values end in ":0", its intermediate ones in
    ":STEP", a parameter in ".PARAMETER", and the model's own inputs and outputs have neither dot nor colon.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self._constants: dict[str, TensorProto] = {}

    @property
    def constants(self) -> list[TensorProto]:
        return list(self._constants.values())

    def add(self, operator: str, inputs: Sequence[str], name: str, step: str = "", /, **attributes: Any) -> str:
        """Write the ONNX node of the IR node `name`, or a `step` on the way to it. Returns: its tensor."""
        tensor = f"{name}:{step or 0}"
        self.write(operator, inputs, tensor if step else name, tensor, **attributes)
        return tensor

    def write(self, operator: str, inputs: Sequence[str], name: str, tensor: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(operator, inputs, [tensor], name=name, **attributes))

    def constant(self, name: str, value: NDArray[np.float32]) -> str:
        return self.array(name, value)

    def array(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def scalar(self, value: float) -> str:
        return self.constant(f"constant.{value:.9g}", np.array(value, np.float32))

    def integers(self, name: str, values: Sequence[int]) -> str:
        self._constants[name] = numpy_helper.from_array(np.array(values, np.int64), name)
        return name

    def strings(self, name: str, values: Sequence[str]) -> str:
        encoded = [value.encode() for value in values]
        tensor = TensorProto(name=name, data_type=TensorProto.STRING, dims=[len(encoded)], string_data=encoded)
        self._constants[name] = tensor
        return name

    def weights(self, site: Site, *parameters: str) -> list[str]:
        """Those of `parameters` that the node has."""
        return [self.constant(f"{site.name}.{key}", site.weights[key]) for key in parameters if key in site.weights]

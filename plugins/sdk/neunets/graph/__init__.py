"""The network IR: a flat, topologically sorted DAG of named primitive operators."""

from neunets.graph.ir import AttributeValue, DataType, Graph, Input, Node, Shape

__all__ = ["AttributeValue", "DataType", "Graph", "Input", "Node", "Shape"]

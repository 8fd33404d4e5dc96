"""Models side by side: their figures, and the nodes in which their networks differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from neunets.errors import InvalidRequest
from neunets.graph.v1 import graph_pb2
from neunets.messages import MESSAGE_BYTES, RECEIVE_BYTES
from neunets.service.v1 import service_pb2

__all__ = ["compare", "diff"]

COMPARISON_BYTES: Final = RECEIVE_BYTES - MESSAGE_BYTES // 4


def compare(models: Sequence[service_pb2.Model]) -> service_pb2.CompareModelsResponse:
    """Without the models' graphs and lineages where these are too large for one message.

    Raises: InvalidRequest where even the differences are.
    """
    figures = [_figures(model) for model in models]
    names = dict.fromkeys(name for table in figures for name in table)
    rows = [service_pb2.FigureRow(name=name, values=[table.get(name, math.nan) for table in figures]) for name in names]
    diffs = [diff(models[0].graph, model.graph) for model in models[1:]]
    answer = service_pb2.CompareModelsResponse(models=models, figures=rows, diffs=diffs)
    if answer.ByteSize() > COMPARISON_BYTES:
        for model in answer.models:
            model.ClearField("graph")
            model.ClearField("lineage")
    if (size := answer.ByteSize()) > COMPARISON_BYTES:
        text = f"how these {len(models)} models differ takes {size:,} bytes, a message holds {COMPARISON_BYTES:,}"
        raise InvalidRequest("names", f"{text}: compare fewer of them")
    return answer


def diff(before: graph_pb2.Graph, after: graph_pb2.Graph) -> service_pb2.GraphDiff:
    """By the names of the nodes, which a synthesizer keeps from a parent to its child."""
    old, new = ({node.name: node for node in graph.nodes} for graph in (before, after))
    changed = [change for name, node in new.items() if name in old for change in _changes(old[name], node)]
    return service_pb2.GraphDiff(
        added=[name for name in new if name not in old],
        removed=[name for name in old if name not in new],
        changed=changed,
    )


def _figures(model: service_pb2.Model) -> Mapping[str, float]:
    table = {"params": float(model.params), "flops": float(model.flops)}
    if model.HasField("result"):
        table |= {"device_s": model.result.device_s, "peak_bytes": float(model.result.peak_bytes)}
        table |= dict(sorted(model.result.metrics.items()))
    return table | dict(sorted(model.figures.items()))


def _changes(old: graph_pb2.Node, new: graph_pb2.Node) -> Iterator[service_pb2.NodeChange]:
    before, after = _fields(old), _fields(new)
    for field in dict.fromkeys([*before, *after]):
        if before.get(field) != after.get(field):
            yield service_pb2.NodeChange(
                node=new.name, field=field, before=before.get(field, ""), after=after.get(field, "")
            )


def _fields(node: graph_pb2.Node) -> Mapping[str, str]:
    attributes = {name: _text(value) for name, value in sorted(node.attributes.items())}
    return {"operator": node.op, "inputs": ", ".join(node.inputs), **attributes}


def _text(attribute: graph_pb2.Attribute) -> str:
    kind = attribute.WhichOneof("value")
    if kind == "ints":
        return ", ".join(map(str, attribute.ints.values))
    return str(getattr(attribute, kind)) if kind is not None else ""

"""The hash of a network as other languages compute it: from the file that their own tests read."""

from __future__ import annotations

import json
from pathlib import Path

from google.protobuf import json_format

from neunets.canonical import canonical_hash
from neunets.graph import Graph
from neunets.graph.v1 import graph_pb2
from neunets.ops import OPERATORS
from neunets.wire import graph_from_proto

NETWORKS = json.loads((Path(__file__).resolve().parents[2] / "clients/go/plugin/testdata/networks.json").read_text())


def graph_of(network: dict[str, object]) -> Graph:
    return graph_from_proto(json_format.ParseDict(network["graph"], graph_pb2.Graph()))


def test_each_hash_is_the_engines() -> None:
    for network in NETWORKS:
        assert canonical_hash(graph_of(network)) == network["sha256"], network["what"]


def test_each_operator_occurs_and_leaves_out_what_it_may() -> None:
    shortest = {
        node.op
        for network in NETWORKS
        for node in graph_of(network).nodes
        if all(OPERATORS[node.op].attributes[name].default is None for name in node.attributes)
    }
    assert shortest == set(OPERATORS)

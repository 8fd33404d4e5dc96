"""The life of a run is what the table says."""

from __future__ import annotations

import pytest

from neunets.errors import IllegalTransition
from neunets.service.v1 import service_pb2
from neunets_engine.lifecycle import ACTIVE, FINAL, TRANSITIONS, State, check_transition, mermaid


def test_every_wire_state_has_a_row_in_the_table() -> None:
    numbers = set(service_pb2.RunState.values()) - {service_pb2.RUN_STATE_UNSPECIFIED}
    assert {state.value for state in TRANSITIONS} == numbers


def test_every_active_state_reaches_a_final_one() -> None:
    for start in ACTIVE:
        reached, frontier = {start}, [start]
        while frontier:
            for target in TRANSITIONS[frontier.pop()]:
                if target not in reached:
                    reached.add(target)
                    frontier.append(target)
        assert reached & FINAL


@pytest.mark.parametrize("state", sorted(FINAL, key=lambda state: state.value))
def test_nothing_leaves_a_final_state(state: State) -> None:
    for target in State:
        with pytest.raises(IllegalTransition, match=state.name):
            check_transition("runs/r", state, target)


def test_the_diagram_has_an_arrow_for_each_transition() -> None:
    assert mermaid().count("-->") == 1 + sum(map(len, TRANSITIONS.values()))

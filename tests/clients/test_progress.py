"""A synthesis that is called from Python shows how far it is, wherever it runs."""

from __future__ import annotations

import builtins
import io
import warnings

import pytest
from rich.console import Console

from clients.test_view import responses
from neunets.errors import InvalidRequest
from neunets.service.v1 import service_pb2 as pb
from neunets_client.progress import Progress, SynthesisView


class ZMQInteractiveShell:
    """What rich takes a notebook by."""


def show(progress: Progress, console: Console | None = None) -> None:
    with SynthesisView(progress, console) as view:
        view.read(pb.ReadProgress(stage="decoding", done=1, total=2))
        for response in responses(60.0, 4):
            view.take(response)


def shown(progress: Progress, *, terminal: bool) -> str:
    out = io.StringIO()
    show(progress, Console(file=out, force_terminal=terminal, width=120))
    return out.getvalue()


def test_a_terminal_gets_a_bar_with_the_best_so_far() -> None:
    text = shown("auto", terminal=True)
    assert "training · 1 of 4 trials · best 0.7500" in text
    assert "━" in text
    assert "rejected" not in text


@pytest.mark.parametrize("progress", ["auto", "lines", "bar"])
def test_where_nothing_can_be_drawn_lines_tell_what_happens(progress: Progress) -> None:
    lines = shown(progress, terminal=False).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["t1 succeeded", "c2 was rejected", "FAILED"]


def test_a_terminal_may_have_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown("lines", terminal=True).splitlines()[-1].endswith("FAILED: nothing left")


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_is_shown_to_who_wants_nothing(terminal: bool) -> None:
    assert shown("none", terminal=terminal) == ""


@pytest.mark.parametrize("progress", ["auto", "bar", "lines", "none"])
def test_a_notebook_without_widgets_gets_lines_on_stdout_and_no_warning(
    progress: Progress, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")  # as its kernel does
    monkeypatch.setattr("neunets_client.progress.WIDGETS", ("a_package_that_is_not_there",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show(progress)
    said = capsys.readouterr()
    assert said.err == ""
    assert ("c2 was rejected: too large" in said.out) == (progress != "none")
    assert "\x1b" not in said.out


def test_another_way_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match="auto, bar, lines, none"):
        SynthesisView("loud")  # type: ignore[arg-type]

"""The Python interface: what a type checker says of a wrong word, and what Python does."""

from __future__ import annotations

from typing import Any, get_args

import pytest

import analyzer
from analyzer import plots, sources
from analyzer.core import model
from analyzer.core.errors import BadInputError
from analyzer.graph import build as network
from analyzer.graph import containing
from analyzer.sources.request import Request
from tests.build import Machine


def test_a_misspelt_function_is_none_for_a_type_checker_either() -> None:
    # mypy warns of an ignore that is not needed: `make lint` is the other half of this test.
    with pytest.raises(AttributeError, match="chek"):
        analyzer.chek(1)  # type: ignore[attr-defined]


def test_a_wrong_word_is_an_error_for_a_type_checker_and_bad_input_with_the_nearest() -> None:
    made = Machine()
    made.task(100, nspid=1)
    snapshot = made.snapshot(100)
    with pytest.raises(
        BadInputError, match=r"no rules modren \(did you mean modern\?\); there are"
    ):
        analyzer.check(snapshot, rules="modren")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="did you mean linux-cr"):
        containing.closure(snapshot, rules="linuxcr")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="did you mean kernel"):
        analyzer.collect(100, source="kernal")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="did you mean host"):
        analyzer.collect(100, scope="hosts")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="did you mean subtree"):
        analyzer.graph(snapshot, scope="subtre")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match="did you mean dumbbell"):
        analyzer.plot(snapshot, "dumbell")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "known"),
    [
        (model.RulesName, model.Rules),
        (model.SourceName, sources.SOURCES),
        (model.Drawn, network.Scope),
        (model.PlotName, plots.registry()),
    ],
)
def test_the_words_for_type_checkers_are_those_that_there_are(words: Any, known: Any) -> None:  # noqa: ANN401 - a Literal
    assert get_args(words) == tuple(known)


def test_a_request_is_for_a_scope_that_there_is() -> None:
    for scope in get_args(model.Kept):
        assert Request(1, scope).scope == scope

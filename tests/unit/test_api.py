"""The Python interface: what a type checker says of a wrong word, and what Python does."""

from __future__ import annotations

import inspect
import operator
import re
from pathlib import Path
from typing import Any, Final, get_args

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
    with pytest.raises(BadInputError, match="not a process id: 0"):
        analyzer.collect(0)
    with pytest.raises(BadInputError, match="no selector nope:"):
        analyzer.collect("nope:x")
    for ask in (analyzer.check, analyzer.graph):
        with pytest.raises(TypeError, match=r"4711 is no snapshot: .*collect"):
            ask(4711)  # type: ignore[arg-type]
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


# What a release has promised. It grows; what goes from it makes a major version.
PUBLIC: Final = {
    "__version__": "",
    "check": "snapshot pid= *rules= *everything= *subtree= *strict=",
    "collect": "pid *source= *scope= *proc= *freeze= *raw_addresses=",
    "diff": "before after",
    "graph": "snapshot pid= *scope= *rules= *ignore=",
    "load": "path",
    "who": "word snapshot=",
    "plot": "what kind= ax=",
    "Answer": "asked found held holders next notes outcome people pid places silent there unseen "
    "unsure what",
    "Changes": "after all answer before by crossings every exit_code findings growth objects of "
    "remarks seconds",
    "Report": "advisory command crossings exit_code findings gaps groups incomplete leaks_ignored "
    "notes objects options show snapshot status subject summary verdicts",
    "Snapshot": "facts gaps meta objects references relations save tables tasks",
}
MODULES: Final = {
    "questions": "find freed_by holders_of sharing_groups threads who_reaches",
    "containing": "closure",
}


def _spoken(name: str) -> list[str]:
    """A function's parameters (= has a default, * by name only), or what a class has."""
    found = getattr(analyzer, name)
    if inspect.isclass(found):
        names = {*dir(found), *found.__annotations__}
        return sorted(name for name in names if not name.startswith("_"))
    if not callable(found):
        return []
    return [
        f"{'*' * (one.kind is one.KEYWORD_ONLY)}{one.name}{'=' * (one.default is not one.empty)}"
        for one in inspect.signature(found).parameters.values()
    ]


def test_the_public_names_are_those_of_the_list() -> None:
    assert set(analyzer.__all__) == set(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_has_what_it_had(name: str) -> None:
    promised, found = PUBLIC[name].split(), _spoken(name)
    assert set(promised) <= set(found), f"{name} has lost something"
    if inspect.isfunction(getattr(analyzer, name)):
        assert found[: len(promised)] == promised, f"{name}: what is new comes last"
        assert {one[0] + one[-1] for one in found[len(promised) :]} <= {"*="}, "by name, optional"


@pytest.mark.parametrize("name", MODULES)
def test_the_modules_that_are_called_by_short_names_have_what_they_had(name: str) -> None:
    module = getattr(analyzer, name)
    functions = {one for one in MODULES[name].split() if callable(getattr(module, one, None))}
    assert functions == set(MODULES[name].split())


def test_what_the_readme_calls_by_name_is_there() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    names = {*re.findall(r"\banalyzer((?:\.[a-z_]+)+)", text)}
    assert {".collect", ".questions", ".who"} <= names
    for name in names:
        operator.attrgetter(name[1:])(analyzer)

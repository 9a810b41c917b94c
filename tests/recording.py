"""Record what is really asked of the running kernel's BTF: questions with all their alternatives.

Most questions are in the source as literals (tests/questions.py); this finds the computed ones,
and holds that none is forgotten.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import fixtures
from analyzer.memory.bpf import Engine
from analyzer.memory.fields import VMLINUX, Layout
from analyzer.memory.modules import from_folder
from analyzer.memory.reader import Memory
from analyzer.sources.kernel import collect
from analyzer.sources.request import Request
from fixtures._registry import tied
from tests.questions import Question, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.memory.btf import Field
    from analyzer.memory.reader import Path

_TOO_BIG: Final = frozenset({"many"})


class _Layout(Layout):
    def __init__(self) -> None:
        super().__init__(lambda: from_folder(os.path.dirname(VMLINUX)))
        self.asked: set[Question] = set()

    def first(self, struct_name: str, paths: Sequence[str]) -> tuple[str, Field] | None:
        self.asked.add(field(struct_name, tuple(paths), optional=True))
        return super().first(struct_name, paths)

    def field(self, struct_name: str, path: str) -> Field | None:
        self.asked.add(field(struct_name, path, optional=True))
        return super().field(struct_name, path)

    def sizeof(self, struct_name: str) -> int | None:
        self.asked.add(Question((f"sizeof:{struct_name}",)))
        return super().sizeof(struct_name)

    def enumerator(self, enum_name: str, constant: str) -> int | None:
        self.asked.add(Question((f"enum:{enum_name}:{constant}",)))
        return super().enumerator(enum_name, constant)


class _Memory(Memory):
    """Tells apart what is required from what is only asked for."""

    layout: _Layout

    def _required(self, struct_name: str, path: Path) -> Field:
        wanted = path if isinstance(path, str) else tuple(path)
        self.layout.asked.add(field(struct_name, wanted))
        return super()._required(struct_name, path)


def recorded(scenes: Iterable[str] = ()) -> set[Question]:
    """Read the whole machine while these fixtures run, and return what was asked."""
    layout = _Layout()
    with ExitStack() as stack:
        for name in scenes:
            stack.enter_context(fixtures.start(name))
        with _Memory(Engine(), layout) as memory:
            collect(memory, Request(None, scope="host"))
    return _without_repeats(layout.asked)


def every_scene() -> list[str]:
    """Return the names of the fixtures that can run here."""
    root = os.geteuid() == 0
    return [
        name
        for name, factory in {**fixtures.FACTORIES, "ties": tied()["ties"]}.items()
        if name not in _TOO_BIG and (root or not factory.needs_root)
    ]


def _without_repeats(asked: set[Question]) -> set[Question]:
    """Drop what another question covers: it is required there, or one of the alternatives."""
    required = {key for question in asked if not question.optional for key in question.keys}
    grouped = {key for q in asked if len(q.keys) > 1 for key in q.keys}
    return {
        question
        for question in asked
        if not (question.optional and required.issuperset(question.keys))
        and not (question.optional and len(question.keys) == 1 and question.keys[0] in grouped)
    }

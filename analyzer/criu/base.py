"""What a rule of the CRIU pre-flight is: what it looks at, and what CRIU does with it.

A rule is data: where it applies (`find`), the outcome, the message that CRIU gives and where from,
and which option allows it, with places for its argument ("--external unix[{ino}]"). Those about
relations and leaks say which (`about`), so that nothing crosses a border of which it is not said
what CRIU makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from analyzer.core.values import NamedTuple, dataclass, field

if TYPE_CHECKING:
    from analyzer.check.crossings import Crossing
    from analyzer.criu.view import View

VERSION: Final = "4.2"
"""The version of CRIU that the rules hold for, where a rule says nothing else."""


class Outcome(StrEnum):
    """What becomes of something, worst first."""

    REFUSES = "refuses"  # criu dump fails, and says why
    FAILS = "restore fails"  # the dump is made, and the restore fails or hangs
    UNKNOWN = "unknown"  # nothing is known of it: look before you rely on it
    SILENT = "silent"  # the dump is made, and something is not the same afterwards
    RUNTIME = "runtime"  # a container's runtime does what it takes

    @property
    def stops(self) -> bool:
        """Tell whether nothing is restored without options."""
        return self in {Outcome.REFUSES, Outcome.FAILS}


class Hit(NamedTuple):
    """Where a rule applies: a task or an object (`kind`, and its row in its table).

    `values` are what the options of the rule take, `detail` is what else is to be said.
    """

    kind: str
    row: int
    detail: str = ""
    values: Mapping[str, str] = {}
    crossing: Crossing | None = None


Find = Callable[["View"], Iterable[Hit]]
Test = Callable[[int | str | None], bool]


@dataclass(frozen=True)
class Rule:
    """One thing that CRIU does.

    `at` says in words what it is about, `message` what CRIU says (with what stands in it left out),
    `where` in which of its functions. `option` allows it at the dump, `restore` is what the restore
    needs then; one without an option cannot be dumped: `remove` says how it goes away. `then` is
    what is so afterwards. A runtime sees to what is `by_runtime` for the containers that it made.
    """

    name: str
    at: str
    outcome: Outcome
    find: Find = field(repr=False)
    message: str = ""
    where: str = ""
    option: str = ""
    restore: str = ""
    then: str = ""
    remove: str = ""
    by_runtime: bool = False
    about: str = ""
    versions: str = VERSION


@dataclass(frozen=True)
class Having:
    """Finds what is of a kind, or a task, and has facts that pass tests.

    A file has the facts of what it is open on too. A fact that is not known is None.
    """

    kind: str
    facts: Mapping[str, Test]
    said: str = ""
    values: tuple[tuple[str, str], ...] = ()

    def __call__(self, view: View) -> Iterator[Hit]:
        """Yield what passes all of the tests."""
        for row in view.rows(self.kind):
            known = view.facts(self.kind, row)
            if all(test(known.get(name)) for name, test in self.facts.items()):
                detail = " ".join(str(known[name]) for name in self.said.split() if name in known)
                values = {key: str(known.get(name, "")) for key, name in self.values}
                yield Hit(self.kind, row, detail, values)


@dataclass(frozen=True)
class Crosses:
    """Finds the crossings of a relation that pass a test."""

    relation: str
    when: Callable[[Crossing], bool] = lambda _: True

    def __call__(self, view: View) -> Iterator[Hit]:
        """Yield the first inside end of each: all of it is in the crossing."""
        for one in view.crossings:
            if one.relation == self.relation and self.when(one):
                yield view.inside_end(one)


@dataclass(frozen=True)
class Leaked:
    """Finds what is of a kind and, by the check, held from outside too."""

    kind: str

    def __call__(self, view: View) -> Iterator[Hit]:
        """Yield each of them."""
        yield from (Hit(self.kind, row) for row in view.leaks(self.kind))


def one_of(*words: str) -> Test:
    """Return a test for one of these words."""
    return lambda value: value in words


def other_than(*words: str) -> Test:
    """Return a test for a word that is known, and none of these."""
    return lambda value: value is not None and value not in words


def over(least: int) -> Test:
    """Return a test for a number above another."""
    return lambda value: isinstance(value, int) and value > least


def said(value: int | str | None) -> bool:
    """Test for what is known."""
    return value is not None

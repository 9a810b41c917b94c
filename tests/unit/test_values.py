"""`analyzer.core.values`: its dataclasses are those of `dataclasses`, to whoever uses them."""

from __future__ import annotations

import copy
import dataclasses
import typing
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import pytest

from analyzer.core import values

if TYPE_CHECKING:
    from collections.abc import Mapping

MANY: Final = 150  # so many values that what makes them has been compiled


@dataclasses.dataclass(frozen=True)
class Theirs:
    """As the library makes it."""

    a: int
    b: str = "b"
    c: list[int] = dataclasses.field(default_factory=list)


@values.dataclass(frozen=True)
class Ours:
    """The same, as we do."""

    a: int
    b: str = "b"
    c: list[int] = values.field(default_factory=list)


@values.dataclass(frozen=True, slots=True)
class Slotted:
    """The same, without a dictionary."""

    a: int
    b: str = "b"
    c: list[int] = values.field(default_factory=list)


@values.dataclass(frozen=True)
class Pair:
    """With others inside, and more than fields."""

    one: Ours
    two: tuple[Ours, ...] = ()

    def __post_init__(self) -> None:
        """Change one, as is done with a frozen one."""
        if not self.two:
            object.__setattr__(self, "two", (self.one,))

    @property
    def both(self) -> int:
        """Return a sum."""
        return self.one.a + self.two[0].a


@values.dataclass(frozen=True)
class Worded:
    """With a mapping that nobody can change, which cannot be hashed before Python 3.12."""

    words: Mapping[str, str] = MappingProxyType({"a": "b"})


class TheirTuple(typing.NamedTuple):
    """As the library makes it."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()

    @property
    def twice(self) -> int:
        """Return a product."""
        return 2 * self.a


class OurTuple(values.NamedTuple):
    """The same, as we do."""

    a: int
    b: str = "b"
    c: tuple[int, ...] = ()

    @property
    def twice(self) -> int:
        """Return a product."""
        return 2 * self.a


@pytest.mark.parametrize("kind", [Ours, Slotted])
def test_made_alike(kind: Any) -> None:  # noqa: ANN401 - one of several classes
    for given, named in ((1,), {}), ((1, "x"), {}), ((), {"a": 1, "c": [2]}), ((1,), {"b": "y"}):
        mine, theirs = kind(*given, **named), Theirs(*given, **named)
        assert dataclasses.asdict(mine) == dataclasses.asdict(theirs)
        assert repr(mine) == repr(theirs).replace("Theirs", kind.__name__)
        assert mine == kind(*given, **named) != kind(9)
        for replace in (values.replace, dataclasses.replace):
            changed = replace(mine, b="z")
            assert (changed.a, changed.b, changed.c) == (mine.a, "z", mine.c)
        assert copy.deepcopy(mine) == copy.copy(mine) == mine
    assert kind(1).c is not kind(1).c
    assert [f.name for f in dataclasses.fields(kind)] == ["a", "b", "c"]
    assert dataclasses.astuple(kind(1)) == (1, "b", [])
    assert kind(1) != Theirs(1)
    assert dataclasses.is_dataclass(kind)


@pytest.mark.parametrize("kind", [Theirs, Ours, Slotted])
def test_refused_alike(kind: Any) -> None:  # noqa: ANN401 - one of several classes
    for given, named in ((), {}), ((1, "b", [], 4), {}), ((1,), {"a": 1}), ((1,), {"d": 1}):
        with pytest.raises(TypeError):
            kind(*given, **named)
    with pytest.raises(TypeError):
        kind(b="not an a", d="in its place")
    made = kind(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.a = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.a
    assert made.a == 1
    with pytest.raises(TypeError):
        hash(made)  # there is a list in it


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((1,), {}),
        ((1, "x"), {"c": [2]}),
        ((), {"a": 1}),
        ((1,), {"a": 1}),
        ((), {}),
        ((1,) * 4, {}),
    ],
)
def test_the_first_values_of_a_class_are_made_as_the_others(given: Any, named: Any) -> None:  # noqa: ANN401
    @values.dataclass(frozen=True)
    class Fresh:
        a: int
        b: str = "b"
        c: list[int] = values.field(default_factory=list)

    def made() -> str:
        try:
            return repr(Fresh(*given, **named))
        except TypeError as error:
            return str(error)

    assert len({made() for _ in range(MANY)}) == 1


def test_what_is_inside_and_what_a_class_brings() -> None:
    pair = Pair(Ours(2))
    assert pair.both == 4
    assert dataclasses.asdict(pair)["two"] == ({"a": 2, "b": "b", "c": []},)
    assert hash(Pair(one=1, two=(2,))) == hash(Pair(1, (2,)))  # type: ignore[arg-type]
    assert "__dict__" not in dir(Slotted(1))
    assert Slotted.__doc__ == "The same, without a dictionary."


def test_a_default_may_be_a_mapping_that_is_read_only() -> None:
    for replace in (values.replace, dataclasses.replace):
        assert replace(Worded()).words == {"a": "b"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ((1,), {}),
        ((1, "x", (2,)), {}),
        ((1, "x"), {"c": (2,)}),
        ((), {"b": "y", "a": 1}),
        ((1,), {"a": 1}),
        ((1,), {"d": 1}),
        ((), {}),
        ((1,) * 4, {}),
    ],
)
def test_tuples_are_made_and_refused_alike(given: Any, named: Any) -> None:  # noqa: ANN401
    def made(kind: Any) -> str:  # noqa: ANN401 - one of two classes
        try:
            one = kind(*given, **named)
        except TypeError:
            return "refused"
        assert type(one) is kind
        return repr(one)

    theirs = made(TheirTuple).replace("TheirTuple", "OurTuple")
    assert {made(OurTuple) for _ in range(MANY)} == {theirs}


def test_a_tuple_is_what_the_library_has() -> None:
    mine, theirs = OurTuple(1, c=(2,)), TheirTuple(1, c=(2,))
    assert isinstance(mine, tuple)
    assert tuple(mine) == tuple(theirs) == (1, "b", (2,))
    assert hash(mine) == hash(theirs)
    assert (mine.a, mine.twice, mine[2]) == (1, 2, (2,))
    assert mine._fields == theirs._fields == OurTuple.__match_args__
    assert mine._asdict() == theirs._asdict()
    assert mine._replace(b="z") == OurTuple._make([1, "z", (2,)])
    assert copy.deepcopy(mine) == copy.copy(mine) == mine
    assert OurTuple.__doc__ == "The same, as we do."
    assert not hasattr(mine, "__dict__")
    with pytest.raises((TypeError, ValueError)):
        mine._replace(d=1)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        mine.a = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        OurTuple._make([])

"""Frozen dataclasses and named tuples that cost little to define.

`dataclasses.dataclass` writes and compiles six functions for every class, half a millisecond each
time, and `typing.NamedTuple` one: with the hundred and fifty classes that a check imports, a tenth
of all that a small one takes. Here a class gets the methods that are written in this file, and what
makes its values is compiled only once there are many of them: of most classes there are few. For
who uses the classes, and for type checkers, there is no difference; `fields`, `asdict` and so on of
`dataclasses` take them too. That module, and `inspect` with it, is imported where it is needed.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from dataclasses import Field, dataclass, field, replace
    from typing import NamedTuple
else:

    def field(**said: Any) -> _Said:  # noqa: ANN401
        """Say more of a field, as `dataclasses.field` does; all are shown and compared here."""
        return _Said(said)

    def dataclass(
        *,
        frozen: bool,
        eq: bool = True,
        repr: bool = True,  # noqa: A002 - as it is called there
        slots: bool = False,
    ) -> Callable[[type], type]:
        """Make a class one of frozen values, as `dataclasses.dataclass` does."""
        assert frozen  # noqa: S101 - what changes is written with that one
        return lambda cls: _frozen(cls, eq=eq, shown=repr, slots=slots)

    def replace(value: Any, /, **changes: Any) -> Any:  # noqa: ANN401
        """Return the value with other fields, as `dataclasses.replace` does."""
        return type(value)(**{**fields(value), **changes})

    class _Named(type):
        """Makes of a class of `NamedTuple` a plain one of tuples."""

        def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
            return _named(name, body) if bases else super().__new__(cls, name, bases, body)

    class NamedTuple(metaclass=_Named):
        """A tuple whose places have names, as `typing.NamedTuple` is."""


_LIBRARY: Any = collections  # what a type checker would know too little of


def fields(value: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the fields of a value by name, each as it is."""
    return {name: getattr(value, name) for name in value.__match_args__}


class _Said:
    """What `field` says of a field."""

    def __init__(self, words: dict[str, Any]) -> None:
        self.words = words


def _frozen(cls: Any, *, eq: bool, shown: bool, slots: bool) -> Any:  # noqa: ANN401 - any class
    names = tuple(cls.__annotations__)
    given = {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    if slots:
        body = {name: cls.__dict__[name] for name in cls.__dict__.keys() - given - _OF_ANY_CLASS}
        cls = type(cls)(cls.__name__, cls.__bases__, {**body, "__slots__": names})
    said = {n: v.words if isinstance(v, _Said) else {"default": v} for n, v in given.items()}
    made = {
        "__match_args__": names,
        "_names": frozenset(names),
        "__dataclass_fields__": _Fields(),
        "__init__": _first,
        "__setattr__": _set,
        "__delattr__": _delete,
        "_factories": _of(said, "default_factory"),
        "_defaults": _of(said, "default"),
        "_few": iter(range(_FEW)),
    }
    if slots:
        made["__reduce__"] = _reduce  # for `copy`, which else would set what is frozen
    for name, value in made.items():
        setattr(cls, name, value)
    if eq:
        cls.__eq__, cls.__hash__ = _equal, _hash
    if shown and "__repr__" not in cls.__dict__:
        cls.__repr__ = _repr
    return cls


_FEW = 100  # the values of a class that are made faster than what makes them is compiled
_OF_ANY_CLASS = frozenset({"__dict__", "__weakref__"})


def _of(said: dict[str, dict[str, Any]], word: str) -> dict[str, Any]:
    return {name: words[word] for name, words in said.items() if word in words}


class _Fields:
    """`__dataclass_fields__`, made for who asks."""

    def __get__(self, _: object, cls: Any) -> dict[str, Field[Any]]:  # noqa: ANN401
        import dataclasses

        made: Any = dataclasses.make_dataclass(
            cls.__name__,
            [(name, said, _field(cls, name)) for name, said in cls.__annotations__.items()],
        )
        cls.__dataclass_fields__ = made.__dataclass_fields__
        return dict(made.__dataclass_fields__)


def _field(cls: Any, name: str) -> Any:  # noqa: ANN401
    from dataclasses import MISSING, field

    if name in cls._factories:
        return field(default_factory=cls._factories[name])
    default = cls._defaults.get(name, MISSING)
    if type(default).__hash__ is None:  # a read-only mapping, which has none before Python 3.12
        return field(default_factory=lambda: default)
    return field(default=default)


def _first(self: Any, /, *given: Any, **named: Any) -> None:  # noqa: ANN401
    """Make one of the first values of a class."""
    cls: Any = type(self)
    values = _given(cls, given, named)
    if values is None:
        cls.__init__ = _compiled(cls)
        self.__init__(*given, **named)
        return
    for name in cls.__match_args__:
        object.__setattr__(self, name, values[name])
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _given(cls: Any, given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:  # noqa: ANN401
    """Return the fields of a new value by name; None where a compiled function is to make it.

    That is so once there are many, and for a wrong one: of that it says what is wrong.
    """
    said = dict(zip(cls.__match_args__, given, strict=False), **named)
    values = {**cls._defaults, **said}
    for name, make in cls._factories.items():
        if name not in said:
            values[name] = make()
    fits = len(said) == len(given) + len(named) and values.keys() == cls._names
    return values if fits and next(cls._few, None) is not None else None


def _compiled(cls: Any) -> Callable[..., None]:  # noqa: ANN401
    takes, does = ["self"], []
    for name in cls.__match_args__:
        value = name
        if name in cls._factories:
            takes.append(f"{name}=_absent")
            value = f"_make[{name!r}]() if {name} is _absent else {name}"
        else:
            takes.append(f"{name}=_default[{name!r}]" if name in cls._defaults else name)
        does.append(f"_put(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        does.append("self.__post_init__()")
    known = {
        "_put": object.__setattr__,
        "_default": cls._defaults,
        "_make": cls._factories,
        "_absent": object(),
    }
    exec(f"def __init__({', '.join(takes)}):\n " + "\n ".join(does), known)  # noqa: S102 - of names in our source
    made: Callable[..., None] = known["__init__"]
    return made


def _values(self: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple([getattr(self, name) for name in self.__match_args__])


def _equal(self: object, other: object) -> bool:
    return _values(self) == _values(other) if type(self) is type(other) else NotImplemented


def _hash(self: object) -> int:
    return hash(_values(self))


def _repr(self: Any) -> str:  # noqa: ANN401
    said = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
    return f"{type(self).__qualname__}({said})"


def _reduce(self: object) -> tuple[type, tuple[Any, ...]]:
    return type(self), _values(self)


def _set(self: object, name: str, value: object) -> None:
    from dataclasses import FrozenInstanceError

    del value
    raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}")


def _delete(self: object, name: str) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot delete field {name!r} of {type(self).__name__}")


def _named(name: str, body: dict[str, Any]) -> type:
    names = tuple(body.get("__annotations__", ()))
    made = {
        "__slots__": (),
        "__match_args__": names,
        "_names": frozenset(names),
        "__new__": _first_tuple,
        "__getnewargs__": _values,
        "_fields": names,
        "_factories": {},
        "_defaults": {name: body[name] for name in names if name in body},
        "_few": iter(range(_FEW)),
        "_make": classmethod(_of_values),
        "_replace": _replaced,
        "_asdict": _as_dict,
    }
    place = _LIBRARY._tuplegetter  # noqa: SLF001 - what the library's have for a field
    places = {name: place(at, None) for at, name in enumerate(names)}
    return type(name, (tuple,), {"__repr__": _repr, **body, **made, **places})


def _first_tuple(cls: Any, /, *given: Any, **named: Any) -> Any:  # noqa: ANN401
    """Make one of the first tuples of a class."""
    if len(given) == len(cls._fields) and not named:
        return tuple.__new__(cls, given)
    values = _given(cls, given, named)
    if values is None:
        theirs = _LIBRARY.namedtuple(cls.__name__, cls._fields, defaults=cls._defaults.values())
        cls.__new__ = theirs.__new__
        return cls(*given, **named)
    return tuple.__new__(cls, map(values.__getitem__, cls._fields))


def _of_values(cls: Any, values: Iterable[Any]) -> Any:  # noqa: ANN401
    return cls(*values)


def _replaced(self: Any, /, **changes: Any) -> Any:  # noqa: ANN401
    return type(self)(**{**self._asdict(), **changes})


def _as_dict(self: Any) -> dict[str, Any]:  # noqa: ANN401
    return dict(zip(self._fields, self, strict=True))


__all__ = ["NamedTuple", "dataclass", "field", "fields", "replace"]

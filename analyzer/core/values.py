"""Frozen dataclasses that cost little to define: a class gets the methods that are written here.

`dataclasses.dataclass` writes and compiles six functions for every class, half a millisecond each
time: with the hundred classes that a check imports, a tenth of all that a small one takes. Here
only `__init__` is compiled, when a second value is made: of half the classes there is one. For who
uses the classes, and for type checkers, there is no difference; `fields`, `asdict` and so on of
`dataclasses` take them too. That module, and `inspect` with it, is imported where it is needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field, dataclass, field, replace
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
        "__dataclass_fields__": _Fields(),
        "__init__": _first,
        "__setattr__": _set,
        "__delattr__": _delete,
        "_factories": _of(said, "default_factory"),
        "_defaults": _of(said, "default"),
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
    """Make the first value of a class."""
    cls: Any = type(self)
    cls.__init__ = _second
    names = cls.__match_args__
    placed = dict(zip(names, given, strict=False))
    values = {**cls._defaults, **placed, **named}
    values |= {name: make() for name, make in cls._factories.items() if name not in values}
    if len(placed) < len(given) or placed.keys() & named or values.keys() != set(names):
        self.__init__(*given, **named)  # which says what is wrong
    for name in names:
        object.__setattr__(self, name, values[name])
    if hasattr(cls, "__post_init__"):
        self.__post_init__()


def _second(self: Any, /, *given: Any, **named: Any) -> None:  # noqa: ANN401
    """Make the second value of a class: now is compiled what makes them."""
    cls: Any = type(self)
    cls.__init__ = _compiled(cls)
    cls.__init__(self, *given, **named)


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


__all__ = ["dataclass", "field", "fields", "replace"]

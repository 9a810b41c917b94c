r"""The filter language of `-Q`: which rows of a report are listed.

An expression compares columns of the report (`analyzer.report.columns`) with values::

    KIND == "FILE" and (OUTSIDE > 0 or UNNAMED > 0)
    NAME =~ "^/var/log/.*\.log$" and not DELETED
    SIDE == "outside" && COMMAND != "systemd"

It is lsfd's language: ``==`` ``!=`` ``<`` ``<=`` ``>`` ``>=`` (or ``eq ne lt le gt ge``), ``=~``
and ``!~`` for regular expressions, ``and or not`` (or ``&& || !``), parentheses, numbers (decimal,
``0x``, 1.5; 4K and 4KiB are 4096, 4KB is 4000, and so M, G and T), strings in either quotes,
``true`` and ``false``, and a column by itself: it holds where it is true, not 0, and not empty or
missing. ``not`` binds closer than ``and``, ``and`` closer than ``or``, and a comparison closer than
all of them. In a string, a backslash before a quote or a backslash takes it literally, any other
stays.

Both sides of a comparison are of one type, and only numbers have an order; that is checked when the
expression is read. A number in quotes is one where a number is compared (``FD == "10"``). What is
missing in a row equals nothing, has no order and matches nothing, and ``!=`` and ``!~`` are the
opposite of ``==`` and ``=~``: so ``not REFCOUNT >= 0`` finds what has no known refcount. A regular
expression is RE2's, which takes time in proportion to the text, whatever the names are; it is
searched for anywhere in the value. A byte of a name that is no UTF-8 is the four characters
``\xNN`` to it. Nothing is ever evaluated as code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from analyzer.core import extras
from analyzer.core.errors import BadInputError, instead
from analyzer.core.text import SIZES, valid
from analyzer.core.values import NamedTuple
from analyzer.report.columns import by_name
from analyzer.report.expression import (
    EQUAL,
    ORDERED,
    And,
    Compare,
    Constant,
    Match,
    Name,
    Node,
    Not,
    Or,
    type_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from analyzer.report.expression import Type

MAX_LENGTH: Final = 4096
MAX_NESTING: Final = 50

_WORDS: Final = {
    "and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""(?P<op>&&|\|\||=~|!~|==|!=|<=|>=|[<>!()])
    |(?P<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?(?:[KMGT](?:i?B)?)?)(?![0-9A-Za-z_.]))
    |(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<name>[A-Za-z_][A-Za-z0-9_.:%-]*)""",
    re.VERBOSE | re.DOTALL,
)
_QUOTED: Final = re.compile(r"""\\(["'\\])""")
_NEAR: Final = 24
_WRONG: Final = {**dict.fromkeys("\"'", "the string has no end"), "=": "equal is written =="}


class FilterError(BadInputError):
    """A filter that cannot be read; the message says where."""


class _Token(NamedTuple):
    kind: str  # op, number, string, name or end
    text: str
    at: int


def parse(text: str, columns: Mapping[str, Type] | None = None) -> Node:
    """Return the filter that `text` says; FilterError, with the place, when it says none.

    `columns` are the types of other columns than a report's, by name.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"the filter is longer than {MAX_LENGTH} characters")
    known = dict.fromkeys(by_name()) if columns is None else columns
    return _Parser(_tokens(text), known).whole()


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise _error(
                _Token("", text[at:], at), _WRONG.get(text[at], "this is no part of a filter")
            )
        kind, word = str(found.lastgroup), found.group()
        if kind == "name" and word.lower() in _WORDS:
            kind, word = "op", _WORDS[word.lower()]
        yield _Token(kind, word, at)
        at = found.end()
    yield _Token("end", "", at)


def _error(token: _Token, why: str) -> FilterError:
    if token.kind == "end":
        return FilterError(f"-Q: at the end of the filter: {why}")
    near = token.text if len(token.text) <= _NEAR else f"{token.text[: _NEAR - 3]}..."
    return FilterError(f"-Q: at character {token.at + 1}, near {near}: {why}")


class _Parser:
    """Reads tokens by recursive descent; each method returns a node that is typed right."""

    def __init__(self, tokens: Iterator[_Token], columns: Mapping[str, Type | None]) -> None:
        self._tokens = tokens
        self._columns = columns
        self._next = next(tokens)
        self._depth = 0

    def whole(self) -> Node:
        node = self._boolean(self._or)
        if self._next.kind != "end":
            raise _error(self._next, "expected and, or, or the end")
        return node

    def _pop(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._next = next(self._tokens)
        return token

    def _take(self, *ops: str) -> _Token | None:
        return self._pop() if self._next.kind == "op" and self._next.text in ops else None

    def _boolean(self, read: Callable[[], Node]) -> Node:
        start = self._next
        node = read()
        if type_of(node) != "boolean" and not isinstance(node, Name):
            raise _error(start, f"a {type_of(node)} alone is neither true nor false: compare it")
        return node

    def _or(self) -> Node:
        return self._chain("||", self._and, Or)

    def _and(self) -> Node:
        return self._chain("&&", self._not, And)

    def _chain(
        self, op: str, read: Callable[[], Node], make: Callable[[tuple[Node, ...]], Node]
    ) -> Node:
        start = self._next
        parts = [read()]
        while self._take(op):
            alone = type_of(parts[0]) == "boolean" or isinstance(parts[0], Name)
            if len(parts) == 1 and not alone:
                raise _error(start, f"a {type_of(parts[0])} is neither true nor false: compare it")
            parts.append(self._boolean(read))
        return parts[0] if len(parts) == 1 else make(tuple(parts))

    def _not(self) -> Node:
        token = self._take("!")
        if token is None:
            return self._comparison()
        return self._nested(token, lambda: Not(self._boolean(self._not)))

    def _nested(self, token: _Token, read: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise _error(token, f"nested deeper than {MAX_NESTING}")
        node = read()
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._operand()
        token = self._take("=~", "!~", *EQUAL, *ORDERED)
        if token is None:
            return left
        start = self._next
        right = self._operand()
        if token.text in {"=~", "!~"}:
            return _match(token, left, start, right)
        return Compare(token.text, *_same(token, left, right))

    def _operand(self) -> Node:
        token = self._pop()
        if token.kind == "op" and token.text == "(":
            return self._nested(token, self._parenthesis)
        if token.kind == "number":
            return Constant(_number(token.text))
        if token.kind == "string":
            return Constant(_QUOTED.sub(r"\1", token.text[1:-1]))
        if token.kind == "name":
            return _named(token, self._columns)
        raise _error(token, "expected a column, a number, a string or (")

    def _parenthesis(self) -> Node:
        node = self._or()
        if self._take(")") is None:
            raise _error(self._next, "expected )")
        return node


def _named(token: _Token, columns: Mapping[str, Type | None]) -> Node:
    if token.text.lower() in {"true", "false"}:
        return Constant(token.text.lower() == "true")
    name = token.text.upper()
    if name not in columns:
        raise _error(
            token,
            f"text is in quotes, and there is no such column{instead(name, columns)}",
        )
    return Name(name, columns[name])


def _match(token: _Token, left: Node, start: _Token, right: Node) -> Node:
    if type_of(left) != "string":
        raise _error(token, f"needs text on its left, not a {type_of(left)}")
    if not isinstance(right, Constant) or not isinstance(right.value, str):
        raise _error(start, "a regular expression is written in quotes")
    why = _why_not(right.value)
    if why:
        raise _error(start, why)
    return Match(left, right.value, token.text == "!~")


def _why_not(pattern: str) -> str:
    if valid(pattern) != pattern:
        return "a regular expression must be valid UTF-8"
    extras.need("-Q with a regular expression (=~, !~)", "pyarrow")
    from pyarrow import ArrowInvalid, compute

    from analyzer.snapshot import arrow

    try:
        compute.match_substring_regex(arrow.strings([""]), pattern)
    except ArrowInvalid as error:
        return f"no regular expression: {str(error).partition(': ')[2]}"
    return ""


def _number(text: str) -> int | float:
    if "x" in text.lower():
        return int(text, 16)
    digits = text.rstrip("KMGTiB")
    unit = SIZES.get(text[len(digits) :], 1)
    return float(digits) * unit if "." in digits else int(digits) * unit


def _as_number(node: Node, other: Node) -> Node:
    """Return a number in quotes as one, beside a number."""
    if isinstance(node, Constant) and isinstance(node.value, str) and type_of(other) == "number":
        found = _TOKEN.fullmatch(node.value)
        if found is not None and found.lastgroup == "number":
            return Constant(_number(node.value))
    return node


def _same(token: _Token, one: Node, other: Node) -> tuple[Node, Node]:
    left, right = _as_number(one, other), _as_number(other, one)
    types = type_of(left), type_of(right)
    if types[0] != types[1]:
        raise _error(token, f"compares a {types[0]} with a {types[1]}")
    if token.text in ORDERED and types[0] != "number":
        raise _error(token, f"needs numbers: a {types[0]} has no order")
    return left, right

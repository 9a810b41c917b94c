"""The filter language: what it means, what it refuses and where, and that it cannot be abused."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.core.text import valid
from analyzer.report.columns import COLUMNS, by_name
from analyzer.report.expression import (
    And,
    Compare,
    Constant,
    Match,
    Name,
    Node,
    Not,
    Or,
    columns_of,
    matches,
    to_text,
    type_of,
)
from analyzer.report.filters import MAX_LENGTH, MAX_NESTING, FilterError, parse
from analyzer.report.listing import listing
from tests.build import Machine
from tests.unit.test_report_terminal import NASTY, leaking, reported

if TYPE_CHECKING:
    from analyzer.report.listing import Row


def varied() -> Machine:
    """A machine with values of every sort, and some that are missing."""
    made = leaking()
    fds = made.object("FILE_TABLE", 1, holders=[(88, "files")])
    made.object("FILE", 2, name=f"/srv/{NASTY}", ino=2**64 - 1, dev=2049, mode=0o100644,
                flags=0o102001, pos=7, mnt_id=24, deleted=True,
                holders=[(fds, "fd", 9), (100, "syscall", 9)])  # fmt: skip
    made.object("FILE", None, name="", mode=0o20600, deleted=False, holders=[(100, "poll")])
    return made


ROWS = listing(reported(varied(), all=True), COLUMNS).rows


# --- meaning


def held(row: Row, node: Node) -> Any:  # noqa: ANN401, PLR0911 - whatever a node gives
    """Return what a node is of one row, worked out the slow and obvious way."""
    match node:
        case Name(name):
            value = by_name()[name].get(row)
            return bool(value) if by_name()[name].type == "boolean" and value is None else value
        case Constant(value):
            return value
        case Not(part):
            return not held(row, part)
        case And(parts):
            return all(held(row, part) for part in parts)
        case Or(parts):
            return any(held(row, part) for part in parts)
        case Match(left, pattern, negated):
            text = held(row, left)
            return bool(text is not None and re.search(pattern, valid(text))) != negated
        case Compare(op, left, right):
            return compared(op, row, left, right)


def compared(op: str, row: Row, left: Node, right: Node) -> bool:
    # A boolean that is missing is no value to compare with, though by itself it is false.
    a, b = (
        by_name()[n.name].get(row) if isinstance(n, Name) else held(row, n) for n in (left, right)
    )
    if a is None or b is None:
        return op == "!="
    return bool(eval(f"a {op} b", {}, {"a": a, "b": b}))  # noqa: S307 - Python is the oracle


def named(kind: str) -> st.SearchStrategy[Node]:
    return st.sampled_from([Name(column.name) for column in COLUMNS if column.type == kind])


KNOWN = {
    column.name: [v for v in (column.get(row) for row in ROWS) if v is not None]
    for column in COLUMNS
}
NUMBERS = st.integers(-2, 8) | st.sampled_from(
    [v for vs in KNOWN.values() for v in vs if type(v) is int]
)
TEXTS = st.sampled_from([v for vs in KNOWN.values() for v in vs if isinstance(v, str)]) | st.text()
PATTERNS = st.sampled_from(["", "^/srv", "so.1$", r"\.", "[0-9]+", "a|b", r"\\x", '"', "fd 5"])
NUMBER = named("number") | NUMBERS.map(Constant)
TEXT = named("string") | TEXTS.map(Constant)


def boolean(parts: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return (
        parts.map(Not)
        | several.map(And)
        | several.map(Or)
        | st.builds(Compare, st.sampled_from(["==", "!="]), parts, parts)
    )


LEAVES = (
    named("boolean")
    | st.booleans().map(Constant)
    | st.builds(Compare, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), NUMBER, NUMBER)
    | st.builds(Compare, st.sampled_from(["==", "!="]), TEXT, TEXT)
    | st.builds(Match, TEXT, PATTERNS, st.booleans())
)
FILTERS = st.recursive(LEAVES, boolean, max_leaves=6)


@given(FILTERS)
def test_a_filter_holds_where_it_should(node: Node) -> None:
    found = matches(node, ROWS).tolist()
    assert found == [bool(held(row, node)) for row in ROWS]


@given(FILTERS)
def test_what_is_written_reads_as_the_same(node: Node) -> None:
    assert parse(to_text(node)) == node


def listed(text: str) -> set[str | None]:
    return {
        row.entry.name for row, hit in zip(ROWS, matches(parse(text), ROWS), strict=True) if hit
    }


def test_filters_say_what_people_mean() -> None:
    (log,) = listed("PID == 88 and FD == 7")
    assert str(log).endswith("/application.log")
    assert listed("SIDE == 'outside' && COMMAND == 'bash' && FD >= 0") == {"/dev/pts/0"}
    assert listed(r'NAME =~ "^/usr/lib/.*[12]\.so"') == {
        "/usr/lib/lib1.so.1",
        "/usr/lib/lib2.so.1",
    }
    assert listed("DELETED") == {f"/srv/{NASTY}"} == listed(r"NAME =~ '\\\\xff'")
    assert listed("INODE == 0xffffffffffffffff") == {f"/srv/{NASTY}"}
    assert listed("VERDICT == 'unstable'") == {"pipe:[7]"}
    assert listed("true") == {row.entry.name for row in ROWS}
    assert listed("not true") == set()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("POS < 1K", "POS < 1024"),
        ("POS < 2M", "POS < 2097152"),
        ("POS <= 1.5K", "POS <= 1536.0"),
        ("POS == 1KiB or POS == 3GiB", "POS == 1024 or POS == 3221225472"),
        ("POS == 2KB or POS >= 1.5TB", "POS == 2000 or POS >= 1500000000000.0"),
        ("POS == '1MiB'", "POS == 1048576"),
        ('FD == "10"', "FD == 10"),
        ("'0x10' <= FD", "0x10 <= FD"),
    ],
)
def test_numbers_are_written_as_lsfd_takes_them(text: str, same: str) -> None:
    assert parse(text) == parse(same)


def test_a_column_by_itself_is_whether_there_is_something_in_it() -> None:
    assert listed("FD") == listed("FD > 0")
    assert listed("REFCOUNT") == listed("REFCOUNT > 0")
    assert "" in listed("not NAME")
    assert listed("NAME") == {row.entry.name for row in ROWS if row.entry.name}


def test_what_is_missing_equals_nothing() -> None:
    unknown = {row.entry.name for row in ROWS if row.entry.refcount is None}
    assert unknown
    assert listed("not REFCOUNT >= 0") == unknown
    known = {row.entry.name for row in ROWS if row.entry.refcount is not None}
    assert listed("REFCOUNT < 5 or REFCOUNT >= 5 or REFCOUNT == REFCOUNT") == known
    assert listed("not DELETED") > listed("DELETED == false")


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("PID==1", "( (pid eq 0x1) )"),
        ("PID != 1 or DELETED and not GATES", "PID ne 1 || (DELETED && !GATES)"),
        ("not PID < 1 == true", None),
        ("!PID == 1", "not (PID == 1)"),
        ("FD lt 1 AND FD LE 2 And FD gt 3 and FD ge 4", "FD<1 and FD<=2 and FD>3 and FD>=4"),
        (r"""NAME == 'it\'s "x" \\ \.'""", r'''NAME == "it's \"x\" \\ \\."'''),
        ("UNNAMED == -1", "UNNAMED == -0x1"),
    ],
)
def test_one_thing_can_be_said_in_several_ways(text: str, same: str | None) -> None:
    if same is None:
        with pytest.raises(FilterError):
            parse(text)
    else:
        assert parse(text) == parse(same)


def test_a_filter_tells_its_columns() -> None:
    found = columns_of(parse("FD == 1 or not (NAME =~ 'x' and FD < SLOT)"))
    assert [column.name for column in found] == ["FD", "NAME", "SLOT"]


# --- refusals


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "at the end of the filter: expected a column"),
        ("PID == 1 and NAMEE == 'x'", "at character 14, near NAMEE: text is in quotes"),
        (
            "KIND == FILE",
            "near FILE: text is in quotes, and there is no such column (did you mean TITLE?)",
        ),
        ("7", "at character 1, near 7: a number alone is neither true nor false"),
        ("DELETED and 'x'", "at character 13, near 'x': a string alone"),
        ("'x' and DELETED", "at character 1, near 'x': a string is neither"),
        ("not 7", "at character 5, near 7"),
        ("PID == 'x'", "at character 5, near ==: compares a number with a string"),
        ("NAME < 'x'", "near <: needs numbers: a string has no order"),
        ("DELETED > false", "near >: needs numbers: a boolean has no order"),
        ("PID =~ '1'", "near =~: needs text on its left, not a number"),
        ("NAME =~ COMMAND", "near COMMAND: a regular expression is written in quotes"),
        ("NAME =~ '('", "near '(': no regular expression: missing )"),
        (r"NAME =~ '(a)\1'", "no regular expression: invalid escape sequence"),
        ("NAME =~ '\udcff'", "must be valid UTF-8"),
        ("PID = 1", "at character 5, near = 1: equal is written =="),
        ("NAME == 'x", "near 'x: the string has no end"),
        ("(PID == 1", "at the end of the filter: expected )"),
        ("PID == 1)", "near ): expected and, or, or the end"),
        ("1 < 2 < 3", "at character 7, near <: expected and, or"),
        ("PID == 12abc", "near 12abc: this is no part"),
        ("PID == 1.5.2", "near 1.5.2: this is no part"),
        ("PID == 0x1K", "near 0x1K: this is no part"),
        ("PID == 12B", "near 12B: this is no part"),
        ("PID == 1Ki", "near 1Ki: this is no part"),
        ("PID == '1Q'", "compares a number with a string"),
        (
            "__import__('os').system('id')",
            "near __import__: text is in quotes, and there is no such column; there are: VERDICT, ",
        ),
    ],
)
def test_a_refusal_says_where_and_why(text: str, why: str) -> None:
    with pytest.raises(FilterError) as refused:
        parse(text)
    assert why in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("opened", ["(", "not ", "! (", "not not ("])
def test_nesting_is_bounded(opened: str) -> None:
    with pytest.raises(FilterError, match="nested deeper than"):
        parse(opened * (MAX_NESTING + 1) + "DELETED")
    with pytest.raises(FilterError, match="longer than"):
        parse(opened.ljust(MAX_LENGTH + 1))
    assert parse("(" * MAX_NESTING + "DELETED" + ")" * MAX_NESTING) == Name("DELETED")


def test_a_long_chain_is_no_nesting() -> None:
    node = parse(" or ".join(f"FD == {slot}" for slot in range(300)))
    assert isinstance(node, Or)
    assert matches(node, ROWS).sum() == matches(parse("FD >= 0"), ROWS).sum()


WORDS = st.sampled_from(
    [
        *"()!<>=&|'\"\\ .-",
        "and",
        "or",
        "not",
        "==",
        "=~",
        "PID",
        "NAME",
        "DELETED",
        "1",
        "0x",
        "'a'",
    ]
)


@given(st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=20))
def test_whatever_is_written_is_a_filter_or_one_clear_refusal(text: str) -> None:
    try:
        node = parse(text)
    except FilterError:
        return
    assert type_of(node) == "boolean" or isinstance(node, Name)  # alone it asks whether it is set
    assert len(matches(node, ROWS)) == len(ROWS)


def test_no_name_makes_a_pattern_slow() -> None:
    made = Machine()
    made.task(100, 1)
    fds = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    for number in range(20):
        made.object("FILE", 2, name="a" * 4095 + str(number), holders=[(fds, "fd", number)])
    rows = listing(reported(made), ()).rows
    start = time.monotonic()
    assert not matches(parse(r"NAME =~ '^(a+)+$'"), rows).any()
    assert time.monotonic() - start < 60  # a pattern that is tried in every way takes for ever

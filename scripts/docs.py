# ruff: noqa: INP001, T201 - a script: no package, and its output is what it wrote
"""Write docs/ from the code: the commands, the columns, the kinds, the JSON, and the man page.

    python -m scripts.docs        # or: make docs

What is said of a command is its own docstring and the help of its options, of a column its meaning
in the schema, of a kind its module's docstring and its associations. tests/unit/test_docs.py fails
when docs/ is not what this would write. Only attributes that the parameter objects of every
supported typer have are looked at.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args, get_type_hints

import typer

from analyzer import kinds
from analyzer.cli.app import app
from analyzer.core import errors, program, settings
from analyzer.core.model import SCHEMAS, TASK, Basis, ColumnSpec, Rules, Side, Status, Verdict
from analyzer.core.version import __version__
from analyzer.kinds.base import Association, Judged, Kind
from analyzer.report import columns as listing
from analyzer.report import filters
from analyzer.writers import export
from scripts import rooms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parents[1]
NOTE: Final = "<!-- written by `make docs` from the code: change it there -->"

EXIT_CODES: Final = {
    errors.EXIT_OK: "done; `check`: the subtree is contained",
    errors.EXIT_LEAK: "`check` (or `report --check`) found a leak (EBUSY, as the system call of "
    "2009 returned)",
    errors.EXIT_UNDECIDED: "`check` could not decide: something is unknown, unstable, or could "
    "not be read; `who`: not found, but not all could be read",
    1: "`who`: there is no such object",
    errors.EXIT_USAGE: "usage, or bad input",
    errors.EXIT_PERMISSION: "not permitted",
    errors.EXIT_VANISHED: "the process vanished before it was read",
    errors.EXIT_INTERNAL: "an internal error: please report it",
    130: "interrupted",
    141: "the reader of the output went away",
}
ENVIRONMENT: Final = {
    "NO_COLOR, FORCE_COLOR": "No colours; colours even when the output is no terminal.",
    "COLUMNS": "How wide a report for people is, at most 120.",
    "XDG_CONFIG_HOME": "Where cranalyze.toml is looked for (~/.config without it).",
    "CRANALYZE_DEBUG": "1 shows where an internal error is from.",
}


# --- commands


class Parameter(NamedTuple):
    """An option or argument: how it is written, what it means, what it is without being given."""

    written: str
    meaning: str
    default: str


class Command(NamedTuple):
    """A command by its path ("cranalyze check"); `about` are paragraphs."""

    path: str
    about: tuple[str, ...]
    arguments: tuple[Parameter, ...]
    options: tuple[Parameter, ...]
    examples: tuple[str, ...]

    @property
    def usage(self) -> str:
        """The command as it is typed."""
        options = ["[OPTIONS]"] if self.options else []
        return " ".join([self.path, *options, *(argument.written for argument in self.arguments)])


def commands() -> list[Command]:
    """Return the program itself and then its commands, in the order of its help."""
    top: Any = typer.main.get_command(app)
    return [_command("cranalyze", top), *_below("cranalyze", top)]


def _below(path: str, group: Any) -> Iterator[Command]:  # noqa: ANN401 - click's, wherever it is
    for name, found in group.commands.items():
        yield _command(f"{path} {name}", found)
        if hasattr(found, "commands"):
            yield from _below(f"{path} {name}", found)


def _command(path: str, found: Any) -> Command:  # noqa: ANN401 - as above
    module = importlib.import_module(found.callback.__module__)
    hints = get_type_hints(found.callback)
    said = [(p.param_type_name, _parameter(p, hints.get(p.name)))
            for p in found.params if not getattr(p, "hidden", False)]  # fmt: skip
    return Command(
        path,
        tuple(" ".join(part.split()) for part in (found.help or "").split("\n\n")),
        tuple(made for kind, made in said if kind == "argument"),
        tuple(made for kind, made in said if kind == "option"),
        tuple(map(program.anywhere, getattr(module, "EXAMPLES", ()))),
    )


def _parameter(found: Any, hint: Any) -> Parameter:  # noqa: ANN401 - as above
    choices = _choices(hint)
    value = found.metavar or ("|".join(choices) if choices else "N" if hint is int else "TEXT")
    if found.param_type_name == "argument":
        written = value if found.required else f"[{value}]"
        written += "..." if found.nargs < 0 else ""
    else:
        names = ", ".join(found.opts) + "".join(f"/{name}" for name in found.secondary_opts)
        written = names if found.is_flag else f"{names} {value}"
    default = found.default.value if isinstance(found.default, Enum) else found.default
    shown = isinstance(default, str | int | float) and not isinstance(default, bool)
    return Parameter(written, found.help or "", str(default) if shown else "")


def _choices(hint: Any) -> list[str]:  # noqa: ANN401 - a type hint
    for one in (hint, *get_args(hint)):
        if inspect.isclass(one) and issubclass(one, Enum):
            return [str(member.value) for member in one]
    return []


def commands_page() -> str:
    """Return docs/commands.md."""
    parts = [NOTE, "# Commands", _table(("code", "the program exits with it when"),
             [(str(code), said) for code, said in EXIT_CODES.items()])]  # fmt: skip
    for command in commands():
        parts += [f"## {command.path}", _block("sh", [command.usage]), *command.about]
        rows = [(f"`{_cell(p.written)}`", _cell(p.meaning), f"`{p.default}`" if p.default else "")
                for p in (*command.arguments, *command.options)]  # fmt: skip
        if rows:
            parts.append(_table(("", "meaning", "default"), rows))
        if command.examples:
            parts += ["Examples:", _block("sh", command.examples)]
    parts += ["# Settings", _markdown(settings.__doc__)]
    parts += ["# Environment", _table(("variable", "meaning"), [
        (f"`{name}`", _cell(meaning)) for name, meaning in ENVIRONMENT.items()])]  # fmt: skip
    return _page(parts)


# --- the man page


def man_page() -> str:
    """Return docs/man/cranalyze.1."""
    top, *rest = commands()
    lines = [
        '.\\" written by make docs from the code: change it there',
        f'.TH CRANALYZE 1 "" "cranalyze {__version__}" "User Commands"',
        ".SH NAME",
        f"cranalyze \\- {_roff(_lower(top.about[0].rstrip('.')))}",
        ".SH SYNOPSIS",
        *_between(".br", [f"\\fB{_roff(c.path)}\\fR{_roff(c.usage[len(c.path) :])}" for c in rest]),
        ".SH DESCRIPTION",
        _roff(_without_code(" ".join((kinds_intro(), *top.about[1:])))),
        *_tagged(top.options),
        ".SH COMMANDS",
    ]
    for command in rest:
        lines.append(f".SS {_roff(command.usage)}")
        lines += _between(".PP", [_roff(part) for part in command.about])
        lines += _tagged((*command.arguments, *command.options))
    lines += [".SH COLUMNS", *_terms({c.name: c.meaning for c in listing.COLUMNS})]
    lines += [".SH FILTERS", *_between(".PP", _in_roff(filters.__doc__))]
    lines += [".SH FILES", *_between(".PP", _in_roff(settings.__doc__))]
    lines += [".SH EXIT STATUS", *_terms({str(k): _without_code(v) for k, v in EXIT_CODES.items()})]
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT), ".SH EXAMPLES", ".nf"]
    lines += [_roff(example) for command in rest for example in command.examples]
    lines += [".fi", ".SH SEE ALSO", _roff("kcmp(2), namespaces(7), proc(5), lsfd(1), lsof(8)")]
    return "\n".join(lines) + "\n"


def _in_roff(text: str | None) -> Iterator[str]:
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if part.startswith(" "):
            yield "\n".join([".nf", *map(_roff, textwrap.dedent(part).splitlines()), ".fi"])
        else:
            yield _roff(_without_code(re.sub(r"::$", ":", part)))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def kinds_intro() -> str:
    """Return what the check compares, in one sentence."""
    return (
        "For each kernel object that a subtree of processes holds, the references held from inside "
        "(users) are compared with the object's own count (refcount): a difference is a leak."
    )


def _tagged(parameters: Sequence[Parameter]) -> list[str]:
    return _terms({p.written: f"{p.meaning} [default: {p.default}]" if p.default else p.meaning
                   for p in parameters})  # fmt: skip


def _terms(said: Mapping[str, str]) -> list[str]:
    found = []
    for term, meaning in said.items():
        found += [".TP", f"\\fB{_roff(term)}\\fR", _roff(meaning)]
    return found


def _roff(text: str) -> str:
    r"""Escape text for roff: backslashes, hyphens, and a line that would be a request."""
    said = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha")
    lines = textwrap.wrap(said, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"\\&{line}" if line[0] in {".", "'"} else line for line in lines)


def _between(separator: str, lines: Iterable[str]) -> list[str]:
    found: list[str] = []
    for line in lines:
        found += [separator, line] if found else [line]
    return found


def _without_code(text: str) -> str:
    return text.replace("`", "")


# --- columns


_FRAME: Final = {
    "i64": ("int64", "Int64"), "u64": ("uint64", "UInt64"), "bool": ("bool", "boolean"),
    "category": ("category", "category"), "text": ("object (str)", "object (str)"),
}  # fmt: skip
_EXPORTED: Final = {
    "i64": "int64", "u64": "uint64", "bool": "bool", "category": "string", "text": "string",
}  # fmt: skip

RECIPES: Final = """\
## DuckDB

```sql
-- cranalyze export *.crz --parquet fleet
CREATE VIEW verdicts AS
  SELECT * FROM read_parquet('fleet/verdicts/**/*.parquet', hive_partitioning = true);

-- what leaks where, without what every host has
SELECT host, kind, name, count(*) AS times, any_value(held_outside) AS held_by
FROM verdicts
WHERE verdict = 'usage_leak' AND bundle NOT IN ('host', 'code', 'stdio')
GROUP BY ALL ORDER BY times DESC;

-- which checks could not be decided, and what could not be read
SELECT c.host, c.pid, c.comm, g."where", g.effect
FROM read_parquet('fleet/checks/**/*.parquet', hive_partitioning = true) c
JOIN read_parquet('fleet/gaps/**/*.parquet') g USING (snapshot)
WHERE c.status = 'undecided';

-- who holds object 7 of one snapshot
SELECT r.* FROM read_parquet('fleet/references/**/*.parquet') r
WHERE r.snapshot = '20260101T120000Z-4711-0a1b2c3d' AND r.target = 7;
```

CSV is read the same way: `read_csv('tables/verdicts/**/*.csv', hive_partitioning = true)`. A host
whose name looks like a number is read as one, unless `hive_types = {'host': VARCHAR}` is given.

## pandas, Spark

```python
import pandas as pd

verdicts = pd.read_parquet("fleet/verdicts", dtype_backend="pyarrow")
```

```python
verdicts = spark.read.parquet("fleet/verdicts")  # date and host are columns
```
"""


_TABLES: Final = (
    "The four tables of a snapshot: `Snapshot.tasks`, `.objects`, `.references` and `.gaps` in "
    "Python, `NAME.parquet` in a `*.crz`, and what `cranalyze export` writes. What is not known is "
    "missing, never 0."
)


def columns_page() -> str:
    """Return docs/columns.md."""
    parts = [
        NOTE,
        "# Columns",
        _TABLES,
        _table(
            ("type", "in a frame", "where values may be missing", "exported"),
            [(name, *dtypes, _EXPORTED[name]) for name, dtypes in _FRAME.items()],
        ),
    ]
    for schema in SCHEMAS.values():
        parts += [f"## {schema.name}", _columns(schema.columns)]
    parts += ["# Words", *(_words(name, words) for name, words in _WORDS.items())]
    return _page(parts)


_WORDS: Final = {
    "side": [side.value for side in Side],
    "verdict": [verdict.value for verdict in Verdict],
    "basis": [basis.value for basis in Basis],
    "rules": [rules.value for rules in Rules],
    "status": [status.value for status in Status],
}


def _words(name: str, words: Iterable[str]) -> str:
    return f"- {name}: {', '.join(f'`{word}`' for word in words)}"


def _columns(columns: Iterable[ColumnSpec]) -> str:
    rows = [(f"`{c.name}`", c.type, "yes" if c.nullable else "",
             _cell(c.meaning + (f" ({c.unit})" if c.unit else ""))) for c in columns]  # fmt: skip
    return _table(("column", "type", "may be missing", "meaning"), rows)


def export_page() -> str:
    """Return docs/export.md."""
    parts = [NOTE, "# Exported tables", _prose(export.__doc__)]
    parts += ["## every table starts with", _columns(export.KEYS)]
    for schema in (export.SNAPSHOTS, export.CHECKS, export.VERDICTS):
        parts += [f"## {schema.name}", _columns(schema.columns)]
    parts += ["The other tables are in [columns.md](columns.md).", RECIPES.rstrip()]
    return _page(parts)


# --- columns and filters of a report


def report_columns_page() -> str:
    """Return docs/report-columns.md."""
    rows = [(f"`{c.name}`", c.type, c.of, _cell(c.meaning)) for c in listing.COLUMNS]
    parts = [NOTE, "# Columns of a report (`-o`)", _markdown(listing.__doc__)]
    parts += [f"The default: `{','.join(listing.DEFAULT)}`. With `-o +COL,...` these come first."]
    parts += [_table(("column", "type", "of", "meaning"), rows)]
    parts += ["# Filters (`-Q`)", _markdown(filters.__doc__)]
    return _page(parts)


def _markdown(text: str | None) -> str:
    """Return a docstring as Markdown: its code blocks and its table, besides what `_prose` does."""
    found, code = [], False
    for part in inspect.cleandoc(text or "").split("\n\n"):
        if code:
            found.append(_block("text", textwrap.dedent(part).splitlines()))
        elif part.startswith("==="):
            rows = [
                re.split(r" {2,}| (?=one)", line, maxsplit=1) for line in part.splitlines()[1:-1]
            ]
            found.append(_table(("of", "a row"), rows))
        else:
            found.append(_prose(re.sub(r":?:$", ":", part)))
        code = part.endswith("::")
    return "\n\n".join(found)


# --- JSON


JSON_KEYS: Final = {
    "cranalyze": "version of this format: keys may be added within one",
    "command": "the command that wrote it",
    "status": "the answer: contained, leaks, undecided, or error",
    "exit_code": "what the program exits with",
    "advisory": "leaks do not count (--subtree)",
    "incomplete": "a part of the subtree could not be read",
    "subject.pid": "root of the subtree, as the initial pid namespace numbers it (or the dump)",
    "subject.local_pid": "as it was asked for: cranalyze may be in another pid namespace; null when"
    " not known",
    "subject.comm": "what the root calls itself",
    "subject.tasks": "threads in the subtree",
    "subject.container_init": "the root is pid 1 of a pid namespace; null when not known",
    "subject.host": "host name",
    "subject.boot_id": "the boot, as random(4) has it",
    "subject.kernel": "kernel release",
    "subject.collected_at": "when it was read, RFC 3339",
    "subject.source": "kernel, procfs or replay",
    "subject.rules": "modern, linux-cr or seed",
    "subject.frozen": "the subtree was held still",
    "subject.frozen_seconds": "for how long",
    "summary.objects": "objects collected",
    "summary.checked": "of these judged under the rules",
    "summary.contained": "judged contained",
    "summary.usage_leak": "refcount above the users",
    "summary.overcount": "refcount below the users",
    "summary.unstable": "changed while it was read",
    "summary.unknown": "could not be decided",
    "summary.references": "counted references held from inside",
    "summary.unnamed": "counts that no holder was found for",
    "objects[].objref": "number of the object, stable for equal input",
    "objects[].kind": "FILE, MM, UTS_NS, ... (see kinds.md)",
    "objects[].address": "kernel address or its salted hash, hex; null when the source sees none",
    "objects[].name": "what people call it, or null",
    "objects[].ino": "inode number, or null",
    "objects[].dev": "major:minor, or null",
    "objects[].initial": "an initial namespace: the host's",
    "objects[].verdict": "usage_leak, overcount, unstable, unknown, contained",
    "objects[].basis": "proven, witnessed, structural",
    "objects[].users": "counts held from inside",
    "objects[].refcount": "the object's own count, null when not known",
    "objects[].observer": "counts held by cranalyze itself",
    "objects[].outside": "counts held from outside, by name",
    "objects[].unnamed": "refcount less users, observer and outside",
    "objects[].shared": "the part of users whose holders are led to from outside as well",
    "objects[].passes": "of a set of namespaces: its own that the outside is in by having it too",
    "objects[].uncounted": "holders that the rules do not count, as in holders",
    "objects[].gates": "a leak of this kind decides the answer (--fail-on, --ignore)",
    "objects[].message": "the kernel's message, or null",
    "objects[].holders_listed": "false where they are left out: the host's own, without --all",
    "objects[].holders[].side": "inside, outside, observer",
    "objects[].holders[].shared": "it is inside, and led to from outside as well",
    "objects[].holders[].things": "what keeps it, or is open: a path, a bind mount and its place",
    "objects[].holders[].association": "the place: fd, exe, vma, nsproxy.uts, ... (see kinds.md)",
    "objects[].holders[].slot": "fd number, start of the mapping, ..., or null",
    "objects[].holders[].weight": "how many counts it accounts for",
    "objects[].holders[].holder.kind": "TASK, or the kind of the holding object",
    "objects[].holders[].holder.objref": "the holding object, null for a task",
    "objects[].holders[].holder.tid": "the holding task, null for an object",
    "objects[].holders[].tasks[].tid": "one of the first eight threads of its side that lead to it",
    "objects[].holders[].tasks[].tgid": "its process",
    "objects[].holders[].tasks[].comm": "its name",
    "objects[].holders[].tasks[].side": "its side",
    "objects[].holders[].task_set": "all that lead to it: a number of `task_sets`",
    "objects[].holders[].detail": "the reference in words: fd 5 (cloexec)",
    "objects[].holders[].via": "the descriptors that lead to it, if nothing else does: fd 4",
    "findings[].finding": "what else speaks against the subtree: container_init, nested_ns",
    "findings[].message": "the kernel's message",
    "findings[].detail": "the same in words",
    "findings[].gates": "it decides the answer",
    "gaps[].where": "what could not be read",
    "gaps[].syscall": "the call that failed",
    "gaps[].errno": "its error number, or null",
    "gaps[].effect": "what that does to the result",
    "tasks[].tid": "thread that leads to some holder, each once",
    "tasks[].tgid": "its process",
    "tasks[].comm": "its name",
    "tasks[].side": "its side",
    "task_sets": "sets of tasks, each a list of numbers of rows of `tasks`, from 0",
    "notes": "what the source says of itself",
    "errors[].message": "why there is no result",
    "errors[].exit_code": "what the program exits with",
}
"""The keys of `check --json` and `report --json`, in order, as paths."""


def paths(value: Any, at: str = "") -> Iterator[str]:  # noqa: ANN401 - any JSON
    """Yield the path of every value in a JSON document, such as ``objects[].kind``."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from paths(item, f"{at}.{key}" if at else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from paths(item, f"{at}[]")
    else:
        yield at


def json_page() -> str:
    """Return docs/json.md."""
    module = importlib.import_module("analyzer.writers.json")
    rows = [(f"`{key}`", _cell(meaning)) for key, meaning in JSON_KEYS.items()]
    return _page([NOTE, "# JSON", _prose(module.__doc__), _table(("key", "meaning"), rows)])


# --- kinds


_NOT_PLAIN: Final = {
    "cred.ucounts": ("UCOUNTS",),
    "f_path.mnt": ("MOUNT",),
    "ns.ucounts": ("UCOUNTS",),
    "nsfs": tuple(kind.name for kind in kinds.namespace_kinds().values()),
    "overlay.upper": ("FILE",),
    "peer": ("SOCKET",),
    "fs.pwd.pid": ("PID",),
    "fs.root.pid": ("PID",),
    "peer.closed": ("SOCKET",),
    "pidfd": ("PID",),
    "pipe.both": ("PIPE",),
    "pipe.reader": ("PIPE",),
    "pipe.writer": ("PIPE",),
    "poll": ("FILE",),
    "proc.pid": ("PID",),
    "pwd.mnt": ("MOUNT",),
    "root.mnt": ("MOUNT",),
    "sock": ("SOCKET", "NET_SOCKET"),
    "syscall": ("FILE",),
}
"""What these associations hold, where the code of a walk does not name it in one place."""


def targets() -> dict[str, tuple[str, ...]]:
    """Return the kinds that each association holds, from the pointers and the code of the walks."""
    found: dict[str, set[str]] = {name: set(held) for name, held in _NOT_PLAIN.items()}
    for kind in kinds.registry().values():
        for pointer in kind.pointers:
            found.setdefault(pointer.association.name, set()).add(pointer.target)
    for path in sorted(Path(kinds.__path__[0]).glob("*.py")):
        for association, target in _edges(path):
            found.setdefault(association, set()).add(target)
    order = list(kinds.registry())
    return {name: tuple(sorted(held, key=order.index)) for name, held in found.items()}


def _edges(path: Path) -> Iterator[tuple[str, str]]:
    module = importlib.import_module(f"analyzer.kinds.{path.stem}")
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Edges"):
            continue
        first, second, *_ = node.args
        association = getattr(module, getattr(first, "id", ""), None)
        if isinstance(association, Association) and isinstance(second, ast.Constant):
            yield association.name, str(second.value)


def places() -> dict[str, list[tuple[str, Association]]]:
    """Return for each kind what can hold one: pairs of the holder's kind and the association."""
    held = targets()
    found: dict[str, list[tuple[str, Association]]] = {name: [] for name in kinds.registry()}
    for kind in kinds.registry().values():
        for association in dict.fromkeys(kind.associations):
            for target in held[association.name]:
                found[target].append((kind.name, association))
    for file_type in kinds.file_types():
        for association in file_type.associations:
            for target in held[association.name]:
                if ("FILE", association) not in found[target]:
                    found[target].append(("FILE", association))
    return found


_JUDGED: Final = (
    f"A kind is judged by {Judged.ARITHMETIC.value} (arithmetic) or by "
    f"{Judged.STRUCTURAL.value} (structural), or not at all: then it only holds other objects."
)


def kinds_page() -> str:
    """Return docs/kinds.md."""
    parts = [
        NOTE,
        "# Kinds of objects",
        kinds_intro(),
        _JUDGED,
        _table(("kind", "what it is", "judged", "rules"), [
            (f"[{kind.name}](#{kind.name.lower()})", kind.title, kind.judged.name.lower(),
             _rules(kind.rules) if kind.judged is not Judged.NOT else "")
            for kind in kinds.registry().values()
        ]),
    ]  # fmt: skip
    held = places()
    for kind in kinds.registry().values():
        parts += [f"## {kind.name}", *_kind(kind, held[kind.name])]
    return _page(parts)


def _kind(kind: Kind, held: Sequence[tuple[str, Association]]) -> Iterator[str]:
    module = importlib.import_module(f"analyzer.kinds.{kind.name.lower()}")
    yield _prose(module.__doc__)
    counters = [f"`{c.path}`{f' + {c.bias}' if c.bias else ''}" for c in kind.counters]
    facts = [f"- struct: `{kind.struct}`"]
    if counters:
        facts.append(f"- counted in (newest kernel first): {', '.join(counters)}")
    if kind.judged is not Judged.NOT:
        facts.append(f"- judged by {kind.judged.value}; in the rules {_rules(kind.rules)}")
    if kind.unseen:
        facts.append(f"- can be held unnamed by: {kind.unseen}")
    yield "\n".join(facts)
    if held:
        yield "What holds one:"
        yield _table(("holder", "association", "in words", "rules", ""), [
            (_link(holder), f"`{a.name}`", _cell(a.words), _rules(a.rules),
             "" if a.collects else "does not collect")
            for holder, a in held
        ])  # fmt: skip


def _link(kind: str) -> str:
    return f"[{kind}](#{kind.lower()})" if kind != TASK else "[task](#task)"


def _rules(rules: Iterable[Rules]) -> str:
    known = set(rules)
    return ", ".join(rule.value for rule in Rules if rule in known)


# --- Markdown


def _page(parts: Iterable[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part for part in parts if part)) + "\n"


def _prose(text: str | None) -> str:
    return (text or "").strip().replace("``", "`")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _block(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def contributing_page() -> str:
    """Return CONTRIBUTING.md with the picture of the rooms as they are."""
    before, rest = (ROOT / "CONTRIBUTING.md").read_text().split(_ROOMS_BEGIN)
    after = rest.split(_ROOMS_END)[1]
    return f"{before}{_ROOMS_BEGIN}\n{_block('', [rooms.picture()])}\n{_ROOMS_END}{after}"


_ROOMS_BEGIN: Final = "<!-- rooms: written by `make docs` -->"
_ROOMS_END: Final = "<!-- end of rooms -->"

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "CONTRIBUTING.md": contributing_page,
    "docs/commands.md": commands_page,
    "docs/columns.md": columns_page,
    "docs/report-columns.md": report_columns_page,
    "docs/export.md": export_page,
    "docs/json.md": json_page,
    "docs/kinds.md": kinds_page,
    "docs/man/cranalyze.1": man_page,
}
"""What is written, by its path in the repository."""


def main() -> None:
    """Write every page that is not as it should be."""
    for name, made in PAGES.items():
        path, text = ROOT / name, made()
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(name)


if __name__ == "__main__":
    main()

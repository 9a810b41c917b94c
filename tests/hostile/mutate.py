"""Mutate everything that cranalyze reads, and see that nothing but its own errors comes of it.

    python -m tests.hostile.mutate --count 100000 --seed 7 [--only snapshot,dump]

Mutations are structured (a value of a table, a line of a file of /proc, a word of a filter), and
what is mutated is packed anew with right hashes and sizes, so that they reach what lies behind the
checks. An input is wrong that makes any other exception than cranalyze's own errors, that takes
longer than LONGEST seconds, that writes a raw control character, or that takes a gigabyte. Equal
seeds make equal inputs: a failure prints the number with which it is made again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.errors import CranalyzeError
from analyzer.sources.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

LONGEST: Final = 10  # seconds
MOST_MEMORY: Final = 1 << 30  # bytes, beyond what the driver itself takes
_DUMPS: Final = Path(__file__).parents[2] / "fixtures" / "dumps"
# What may never be written raw: control characters but newline and tab, and what hides text.
_RAW: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

NUMBERS: Final = (
    0, 1, -1, 2, -4, 3, 7, 127, 255, 4095, 4096, 65535, 65536, 1 << 31, -(1 << 31), (1 << 31) - 1,
    1 << 32, (1 << 32) - 1, 1 << 40, 1 << 53, 1 << 62, (1 << 63) - 1, -(1 << 63), (1 << 64) - 1,
)  # fmt: skip
TEXTS: Final = (
    b"", b"\x1b[2J", b"a\nb", b"\xff\xfe", b"\xe2\x80\xaex", b"../..", b"'\"<script>&", b"x" * 5000,
    b"=1+1", b"|`$(id)`", b"net:[4026531840]", b"/ (deleted)", b"%s%n", b"\x00", b"\xed\xa0\x80",
    b"\r", b"\xc2\x9b1m", b"{slot}",
)  # fmt: skip
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, "", "x", "\x1b[1m", "\ud800", "\u202e", [], {}, [1], {"pid": 1}, 1.5, -0.0,
    1e308, float("nan"), float("inf"), 10**30, *NUMBERS,
)  # fmt: skip


class TooLongError(Exception):
    """An input took longer than LONGEST seconds."""


@dataclass
class Outcome:
    """What a run found: how many inputs of each target were taken and refused, what was wrong."""

    taken: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


Target = "Callable[[random.Random, Path], Iterator[str]]"


def look_at(text: str) -> None:
    """Raise AssertionError for a raw control character."""
    found = _RAW.search(text)
    if found:
        start = max(found.start() - 30, 0)
        raise AssertionError(f"raw {found[0]!a} in {text[start : found.end() + 30]!a}")


def outputs(snapshot: Any, rng: random.Random) -> Iterator[str]:  # noqa: ANN401 - a Snapshot
    """Yield what one of the ways to write a report makes of a snapshot."""
    from analyzer.check.leaks import check
    from analyzer.cli.selection import chosen_selection, narrowed, table
    from analyzer.core.model import Rules
    from analyzer.report.make import checked_pid, make
    from analyzer.report.value import ReportOptions
    from analyzer.writers import json as as_json
    from analyzer.writers import junit, markdown, page, terminal, tree

    pids = snapshot.tables["tasks"]["tgid"].tolist()
    asked = rng.choice(pids) if pids and rng.random() < 0.3 else None
    root = checked_pid(snapshot, asked)
    everything = rng.random() < 0.5
    options = ReportOptions("report", all=everything)
    report = make(snapshot, check(snapshot, root, rng.choice(list(Rules))), options)
    match rng.randrange(7):
        case 0:
            yield as_json.render(report)
        case 1:
            yield markdown.render(report, everything=everything)
        case 2:
            yield junit.render(report, everything=everything)
        case 3:
            yield terminal.to_text(tree.render(report, 80, everything=everything), colour=False)
        case 4:
            yield page.render(report)
        case 5:
            names = rng.sample(["KIND", "NAME", "HOLDER", "INO", "MODE", "DEV", "FLAGS"], 3)
            view = chosen_selection(",".join(names), None, noheadings=False, whole=False)
            yield table(report, view, json=rng.random() < 0.5, stdout=True)
            yield as_json.render(narrowed(report, view))
        case _:
            yield terminal.to_text(terminal.render(report, 80, everything=everything), colour=False)


# --- snapshots


def _snapshots() -> list[dict[str, bytes]]:
    from analyzer.snapshot import crz
    from tests.unit.test_snapshot_file import machine

    notebooks = Path(__file__).parents[2] / "notebooks" / "data"
    packed = [crz.pack(machine().snapshot(100))]
    packed += [path.read_bytes() for path in sorted(notebooks.glob("*.crz"))[:2]]
    found = []
    for data in packed:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found.append({name: archive.read(name) for name in archive.namelist()})
    return found


_BASES: list[dict[str, bytes]] = []


def snapshot(rng: random.Random, __: Path) -> Iterator[str]:
    """Mutate one to four values of a snapshot, and report on it."""
    from analyzer.snapshot import crz

    if not _BASES:
        _BASES.extend(_snapshots())
    members = dict(rng.choice(_BASES))
    manifest = json.loads(members["manifest.json"])
    for _ in range(rng.randint(1, 4)):
        if rng.random() < 0.3:
            _mutate_json(rng, manifest["meta"])
        else:
            _mutate_table(rng, members, manifest)
    if rng.random() < 0.05:
        _mutate_json(rng, manifest)
    members["manifest.json"] = json.dumps(manifest).encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    data = out.getvalue()
    if rng.random() < 0.05:
        data = _damaged(rng, data[: -rng.randint(0, 40) or None], 3, protect=data.find(b"PAR1"))
    yield from outputs(crz.unpack(data, "x.crz"), rng)


def _damaged(rng: random.Random, data: bytes, most: int, protect: int = -1) -> bytes:
    """Change some bytes, with `protect` only those before: pyarrow may end the process."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        if out:
            out[rng.randrange(protect if 0 < protect < len(out) else len(out))] = rng.randrange(256)
    return bytes(out)


def _mutate_json(rng: random.Random, value: Any) -> None:  # noqa: ANN401 - JSON
    """Change one value somewhere in an object or a list."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(value[key], dict | list) and rng.random() < 0.7:
        _mutate_json(rng, value[key])
    elif isinstance(value, dict) and rng.random() < 0.2:
        del value[key]
    else:
        value[key] = rng.choice(VALUES)


def _mutate_table(rng: random.Random, members: dict[str, bytes], manifest: Any) -> None:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = ["tasks", "objects", "references", "references", "gaps", "relations", "facts"]
    name = rng.choice([name for name in tables if f"{name}.parquet" in members])
    table = pq.read_table(io.BytesIO(members[f"{name}.parquet"]))
    at = rng.randrange(table.num_columns)
    kind = table.schema.types[at]
    values = table.column(at).to_pylist()
    for _ in range(rng.randint(1, 3) if values else 0):
        values[rng.randrange(len(values))] = _value(rng, kind, values)
    if rng.random() < 0.1:
        table = table.take(pa.array([rng.randrange(len(values)) for _ in values], pa.int64()))
    else:
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        try:
            column = pa.array(values, plain)
        except (pa.ArrowException, OverflowError):
            return
        column = column.dictionary_encode() if pa.types.is_dictionary(kind) else column
        table = table.set_column(at, pa.field(table.column_names[at], column.type), column)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    members[f"{name}.parquet"] = out.getvalue()
    entry = manifest["members"][f"{name}.parquet"]
    if isinstance(entry, dict):
        digest = hashlib.sha256(out.getvalue()).hexdigest()
        entry |= {"sha256": digest, "bytes": len(out.getvalue()), "rows": table.num_rows}


def _value(rng: random.Random, kind: Any, values: Sequence[Any]) -> Any:  # noqa: ANN401 - of Arrow
    import pyarrow as pa

    if rng.random() < 0.1:
        return None
    if rng.random() < 0.4:
        return rng.choice(values)
    if pa.types.is_boolean(kind):
        return rng.random() < 0.5
    if pa.types.is_dictionary(kind):
        words = [value for value in values if value is not None]
        return rng.choice([*words, "\x1b[1m", "MM", "fd", "TASK", "x" * 3000, "\u202e"])
    if pa.types.is_binary(kind):
        return rng.choice(TEXTS)
    least, most = (0, 1 << 64) if kind == pa.uint64() else (-(1 << 63), 1 << 63)
    return rng.choice([number for number in NUMBERS if least <= number < most])


# --- dumps


_ENTRIES: list[dict[str, bytes | str]] = []


def dump(rng: random.Random, folder: Path) -> Iterator[str]:
    """Mutate some files of a dump, in one of its forms, and replay it."""
    from analyzer.procfs import tarball, textdump
    from analyzer.sources import replay

    if not _ENTRIES:
        paths = sorted(_DUMPS.glob("*.txt"))
        _ENTRIES.extend(textdump.unpack(path.read_bytes(), str(path)) for path in paths)
    entries = dict(rng.choice(_ENTRIES))
    for _ in range(rng.randint(1, 4)):
        _mutate_entry(rng, entries)
    form = rng.randrange(8)
    path = folder / "dump"
    if form == 0:
        _as_folder(entries, path)
    elif form <= 3:
        packed = io.BytesIO()
        tarball.write(entries, packed)
        data = _compressed(packed.getvalue(), form)
        path.write_bytes(_damaged(rng, data, 4) if rng.random() < 0.2 else data)
    else:
        data = textdump.pack(entries)
        path.write_bytes(_damaged(rng, data, 4) if rng.random() < 0.2 else data)
    pids = [int(name.split("/")[0]) for name in entries if name.split("/")[0].isdecimal()]
    pid = rng.choice([None, *pids])
    scope = rng.choice(["border", "host"])
    yield from outputs(replay.collect(path, Request(pid, scope)), rng)


def _compressed(data: bytes, form: int) -> bytes:
    """Return an archive plain, as gzip or as zstd."""
    if form == 1:
        return data
    if form == 2:
        return gzip.compress(data, 1, mtime=0)
    import pyarrow as pa

    packed: bytes = pa.Codec("zstd").compress(data, asbytes=True)
    return packed


def _mutate_entry(rng: random.Random, entries: dict[str, bytes | str]) -> None:
    name = rng.choice(list(entries))
    entry = entries[name]
    match rng.randrange(8):
        case 0:
            del entries[name]
            entries[name + rng.choice(["x", "/y", "0", "_for_children"])] = entry
        case 1:
            entries[rng.choice(list(entries))] = entry
        case 2:
            entries[name] = rng.choice(TEXTS) if isinstance(entry, bytes) else entry[:-1]
        case 3 if isinstance(entry, bytes):
            entries[name] = _damaged(rng, entry, 3)
        case 4 if isinstance(entry, bytes):
            entries[name] = entry[: rng.randrange(len(entry) + 1)]
        case 5 if isinstance(entry, bytes):
            lines = entry.split(b"\n")
            lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            entries[name] = b"\n".join(lines)
        case _:
            _mutate_word(rng, entries, name)


def _mutate_word(rng: random.Random, entries: dict[str, bytes | str], name: str) -> None:
    entry = entries[name]
    data = entry if isinstance(entry, bytes) else os.fsencode(entry)
    words = re.split(rb"(\s+|[:,\[\]()-])", data)
    number = str(rng.choice([*NUMBERS, 10**20, 10**30])).encode()
    words[rng.randrange(len(words))] = rng.choice([number, number, rng.choice(TEXTS)])
    joined = b"".join(words)
    entries[name] = joined if isinstance(entry, bytes) else os.fsdecode(joined)


def _as_folder(entries: dict[str, bytes | str], path: Path) -> None:
    for name, entry in entries.items():
        with contextlib.suppress(OSError, ValueError):  # what no folder can hold
            if ".." in name.split("/") or name.startswith("/"):
                continue
            target = path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(entry, bytes):
                target.write_bytes(entry)
            else:
                target.symlink_to(entry)


# --- configurations, filters, BTF, the cache of layouts


def config(rng: random.Random, folder: Path) -> Iterator[str]:
    """Mutate a configuration."""
    from analyzer.core import settings

    words = [
        "[policy]", "\n", "subtree_allowed", "=", "true", "false", "9" * 5000, "0x" + "f" * 5000,
        "[" * 3000, "a." * 3000, '"\\u202e"', "'\x1b'", "{", "}", "]", "1979-05-27", "nan", "#",
        "policy", ".", '"""', "-1e999", "\x00", "[[policy]]", "ü", "inf",
    ]  # fmt: skip
    made = "".join(rng.choices(words, k=rng.randint(1, 8)))
    if rng.random() < 0.5:
        made = f"[policy]\nsubtree_allowed = {made}"
    path = folder / "a.toml"
    path.write_bytes(_damaged(rng, made.encode(), 2) if rng.random() < 0.2 else made.encode())
    yield repr(settings.load(str(path)))


def filter_(rng: random.Random, _: Path) -> Iterator[str]:
    """Put words of the filter language together, and filter by them."""
    from analyzer.check.leaks import check
    from analyzer.cli.selection import chosen_selection, narrowed
    from analyzer.core.model import Rules
    from analyzer.report.make import make
    from analyzer.report.value import ReportOptions
    from analyzer.writers import terminal
    from tests.unit.test_snapshot_file import machine

    words = [
        "KIND", "NAME", "INO", "USERS", "==", "!=", "<", ">=", "=~", "!~", "&&", "||", "!", "(",
        ")", '"FILE"', '"a\x1b"', "'", "1", "-1", "0x10", "9" * 5000, "1.5", "and", "or", "not",
        '"(a+)+$"', '"["', "(" * 500, "!" * 500, "true", "nil", ",", "in", "\x00", "ü",
    ]  # fmt: skip
    if rng.random() < 0.3:
        text = rng.choice(["", " "]).join(rng.choices(words, k=rng.randint(1, 12)))
    else:
        text = _expression(rng, rng.choice([1, 2, 4, 40]))
    view = chosen_selection(None, text, noheadings=False, whole=False)
    taken = machine().snapshot(100)
    report = make(taken, check(taken, 100, Rules.MODERN), ReportOptions("report", all=True))
    shown = narrowed(report, view)
    yield terminal.to_text(terminal.render(shown, 80, everything=True), colour=False)


def _expression(rng: random.Random, deep: int) -> str:
    """Return an expression that is right, or nearly so."""
    if deep > 1 and rng.random() < 0.8:
        left, right = _expression(rng, deep - 1), _expression(rng, rng.randint(1, 2))
        how = rng.choice([f"({left}) and {right}", f"{left} or ({right})", f"not ({left})"])
        return how if len(how) < 20_000 else right
    number = rng.choice([*map(str, NUMBERS), "0x10", "USERS", "INO"])
    text = rng.choice(['"FILE"', '"(a|a)*$"', '"\\\\x1b"', "'['", '"a{1,900}"', "NAME", '"\\xff"'])
    column = rng.choice(["USERS", "INO", "REFCOUNT", "MODE"])
    named = rng.choice(["KIND", "NAME", "COMMAND"])
    return rng.choice([
        f"{column} {rng.choice(['<', '==', '>='])} {number}",
        f"{named} {rng.choice(['==', '=~', '!~'])} {text}",
        "DELETED", "not DELETED", number,
    ])  # fmt: skip


def btf(rng: random.Random, _: Path) -> Iterator[str]:
    """Mutate words of BTF, and look everything up."""
    from analyzer.memory.btf import Btf, BtfError
    from tests.unit import test_btf

    maker = test_btf.Maker()
    for made in (test_btf.nested_aliases, test_btf.nested_structs, test_btf.nested_arrays):
        if rng.random() < 0.3:
            made(maker)
    for number in range(rng.randint(1, 12)):
        kind = rng.choice([4, 5, 8, 10, 3, 2, 1])
        some = [
            rng.choice([1, rng.randrange(1, 30), rng.choice(NUMBERS)]) & 0xFFFFFFFF
            for _ in range(9)
        ]
        name = rng.choice(["thing", "", f"t{number}"])
        body = {4: 9, 5: 9, 3: 3, 1: 1}.get(kind, 0)
        count = 3 if kind in {4, 5} else 0
        maker.add(kind, name, some[0], struct.pack(f"<{body}I", *some[:body]), count)
    blob = maker.blob()
    blob = _damaged(rng, blob, 6) if rng.random() < 0.7 else blob
    try:
        found = Btf(blob)
    except BtfError as error:
        yield f"{error}"
        return
    for name in ("thing", "endless", "t1", "t2"):
        for path in ("x", "a.b", "x[1].y"):
            with contextlib.suppress(BtfError):
                yield f"{found.field(name, path)}"
        with contextlib.suppress(BtfError):
            yield f"{found.sizeof(name)} {found.enumerator(name, 'X')}"


def cache(rng: random.Random, folder: Path) -> Iterator[str]:
    """Mutate the cache of layouts, its hash made right."""
    from analyzer.memory.btf import Btf, BtfError
    from analyzer.memory.fields import Layout

    def refuse() -> Btf:
        raise BtfError("no BTF")

    content: Any = {
        "format": 2,
        "answers": {"file:f_op": [0, 8, 0, 1, 0, 0, 0], "sizeof:file": 184, "enum:a:B": None},
    }
    for _ in range(rng.randint(0, 3)):
        _mutate_json(rng, content)
    text = json.dumps(content).encode()
    text = _damaged(rng, text, 3) if rng.random() < 0.3 else text
    path = folder / "layout.json"
    path.write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    path.chmod(0o600)
    layout = Layout(refuse, str(path))
    for ask in (
        lambda: layout.field("file", "f_op"),
        lambda: layout.sizeof("file"),
        lambda: layout.enumerator("a", "B"),
    ):
        with contextlib.suppress(BtfError):
            yield f"{ask()}"


TARGETS: Final[dict[str, tuple[Callable[[random.Random, Path], Iterator[str]], int]]] = {
    "snapshot": (snapshot, 8),
    "dump": (dump, 8),
    "config": (config, 2),
    "filter": (filter_, 4),
    "btf": (btf, 4),
    "cache": (cache, 1),
}
"""What is mutated, and how often of all."""


def one(name: str, seed: str, folder: Path) -> bool:
    """Make one input and read it; tell whether it was taken (else it was refused)."""
    target, _ = TARGETS[name]
    try:
        for text in target(random.Random(seed), folder):  # noqa: S311 - not for secrets
            look_at(text)
    except CranalyzeError as error:
        from analyzer.core.text import printable

        look_at(printable(str(error)))
        return False
    return True


def run(count: int, seed: int, only: Sequence[str] = tuple(TARGETS)) -> Outcome:
    """Make `count` inputs; the n-th is `seed`.n of a target."""
    outcome = Outcome()
    names = [name for name in only for _ in range(TARGETS[name][1])]
    for alarm in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(alarm, _too_long)
    base = Path(tempfile.mkdtemp(prefix="hostile-"))
    try:
        for number in range(count):
            name, at = names[number % len(names)], f"{seed}.{number}"
            folder = base / "one"
            folder.mkdir()
            _guarded(name, at, folder, outcome)
            shutil.rmtree(folder)
            if number % 500 == 0:
                gc.collect()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return outcome


def _guarded(name: str, at: str, folder: Path, outcome: Outcome) -> None:
    before, start = _peak(), time.process_time()
    # Our own time, for the machine may be busy; and some more of the clock's, for what waits.
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    signal.alarm(10 * LONGEST)
    try:
        if one(name, at, folder):
            outcome.taken[name] += 1
        else:
            outcome.refused[name] += 1
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
        outcome.wrong.append(f"{name} {at}: {ascii(said)[:400]}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
    if _peak() - before > MOST_MEMORY:
        outcome.wrong.append(f"{name} {at}: took {_peak() - before >> 20} MiB")
    if time.process_time() - start > LONGEST:
        outcome.wrong.append(f"{name} {at}: took {time.process_time() - start:.0f} s")


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _too_long(_: int, __: FrameType | None) -> None:
    raise TooLongError


def main() -> int:
    """Run by hand."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.mutate")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(TARGETS))
    parser.add_argument("--one", metavar="SEED.N", help="make this one input again, of --only")
    given = parser.parse_args()
    if given.one:
        with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
            sys.stdout.write(
                f"{'taken' if one(given.only, given.one, Path(folder)) else 'refused'}\n"
            )
        return 0
    outcome = run(given.count, given.seed, given.only.split(","))
    for name in given.only.split(","):
        told = f"{outcome.taken[name]} taken, {outcome.refused[name]} refused"
        sys.stdout.write(f"{name}: {told}\n")
    sys.stdout.writelines(f"{line}\n" for line in outcome.wrong)
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())

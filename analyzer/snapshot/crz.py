"""The snapshot file, `*.crz`: a ZIP of zstd-compressed Parquet tables and a manifest.

The members are stored, so that `unzip` and any Parquet reader can open a table in place:
`tasks.parquet`, `objects.parquet`, `references.parquet`, `gaps.parquet`, `relations.parquet`,
`facts.parquet` (the last two since schema 2), and `manifest.json` with
the meta, the schema version, what the words of the tables mean (`vocabulary`: see that module), and
the SHA-256, the size and the number of rows of each table. A text
column (names that processes and files give themselves) is Parquet binary, byte for byte; a category
column is a dictionary of strings.

A file may come from anybody. Sizes are checked against limits, hashes, types and references against
the schema before anything is used; what does not fit is refused with one line. Every older schema
version is accepted, a newer one is not. A column this version does not know is ignored, a kind, an
association or a relation is shown as unknown and not judged.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import sys
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

from analyzer.core.errors import BadInputError
from analyzer.core.files import (
    printable_path,
    refuse_target,
    why_not_written,
    write_all,
    write_file,
)
from analyzer.core.model import SCHEMAS, SINCE, SNAPSHOT_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

MANIFEST: Final = "manifest.json"
MAX_FILE: Final = 2 << 30
MAX_MANIFEST: Final = 16 << 20
MAX_MEMBERS: Final = 64
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # the oldest a ZIP can say: equal snapshots, equal files
_ENCRYPTED: Final = 0x1
_PART: Final = 1 << 20


def save(snapshot: Snapshot, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a snapshot to `path`, or to stdout for "-".

    Complete or not at all: a temporary file in the same folder is synced and then renamed. An
    existing file is replaced only with `force`. Under sudo the file belongs to who called sudo.
    Raises BadInputError when it cannot be written.
    """
    target = os.fspath(path)
    if target == "-":
        to_stdout(pack(snapshot), "a snapshot")
        return
    refuse_target(target, force=force)
    write_file(target, pack(snapshot), force=force)


def load(path: str | os.PathLike[str], opened: IO[bytes] | None = None) -> Snapshot:
    """Read a snapshot from `path`, or from stdin for "-"; raises BadInputError if it is not one.

    `opened` is what `open_input` made of `path`, where that was done before.
    """
    source = os.fspath(path)
    file = open_input(source) if opened is None else opened
    name = _named(source)
    with contextlib.nullcontext() if source == "-" else file:
        data = _read(file, name)
    return unpack(data, name)


def open_input(source: str) -> IO[bytes]:
    """Open a file for `load`, or stdin for "-"; raises BadInputError."""
    try:
        if source != "-":
            return open(source, "rb")
    except OSError as error:
        raise _unreadable(_named(source), error) from error
    except ValueError as error:  # a NUL in the name
        raise BadInputError(f"cannot read {printable_path(_named(source))}: {error}") from error
    if sys.stdin is None or sys.stdin.isatty():
        raise BadInputError("no snapshot on stdin: pipe one in, or name a file")
    return sys.stdin.buffer


def _named(source: str) -> str:
    if source == "-":
        return "stdin"
    return os.fsencode(source).decode("utf-8", "backslashreplace")


def _unreadable(name: str, error: OSError) -> BadInputError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return BadInputError(f"cannot read {printable_path(name)}: {reason}")


def pack(snapshot: Snapshot) -> bytes:
    """Return the bytes of the snapshot file."""
    from analyzer.core import extras

    extras.need("a snapshot file", "pyarrow")
    from analyzer.snapshot.columnar import to_parquet
    from analyzer.snapshot.tables import only_used
    from analyzer.snapshot.vocabulary import spoken

    tables = {name: only_used(snapshot.tables[name]) for name in SCHEMAS}
    members = {f"{name}.parquet": to_parquet(table) for name, table in tables.items()}
    manifest = {**_manifest(snapshot, members), "vocabulary": spoken(tables)}
    text = json.dumps(manifest, indent=1, default=_refuse_type)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {MANIFEST: text.encode(), **members}.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return out.getvalue()


def unpack(data: bytes, name: str = "snapshot") -> Snapshot:
    """Return the snapshot in the bytes of a file; BadInputError, which names it, for none."""
    from analyzer.core import extras

    extras.need("a snapshot file", "pyarrow")
    from analyzer.snapshot.columnar import from_parquet
    from analyzer.snapshot.integrity import (
        check_ends,
        check_meta,
        check_ranges,
        check_references,
    )
    from analyzer.snapshot.value import Snapshot as Made
    from analyzer.snapshot.vocabulary import understand

    if not data:
        raise BadInputError(f"{name} is empty: whatever wrote it did not finish; collect again")
    with _explained(name), zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = _members(archive, name)
        manifest = _read_manifest(archive, infos, name)
        tables: dict[str, Table] = {}
        for schema in SCHEMAS.values():
            if manifest["schema"] < SINCE.get(schema.name, 1):
                continue
            content, rows = _table_bytes(archive, infos, manifest, f"{schema.name}.parquet", name)
            tables[schema.name] = from_parquet(content, schema, rows, f"{name}: {schema.name}")
    meta = manifest["meta"]
    check_meta(meta, name)
    check_ranges(tables, name)
    understand(manifest.get("vocabulary"), tables, name)
    check_references(tables, name)
    made = Made(meta, tables)
    check_ends(made.tables, name)
    return made


def refuse_stdout(what: str) -> None:
    """Raise BadInputError when `what` ("a picture") cannot go to stdout: closed, or a terminal."""
    if sys.stdout is None:
        raise BadInputError("stdout is closed: name a file with -o")
    if sys.stdout.isatty():
        raise BadInputError(f"{what} is binary: redirect stdout, or name a file with -o")


def to_stdout(data: bytes, what: str) -> None:
    """Write bytes to stdout. BrokenPipeError passes; BadInputError as `refuse_stdout`, or full."""
    refuse_stdout(what)
    try:
        sys.stdout.flush()
        write_all(sys.stdout.fileno(), data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BadInputError(why_not_written("stdout", error)) from error


def _refuse_type(value: object) -> str:
    raise TypeError(f"meta holds a {type(value).__name__}, which JSON cannot")


def _manifest(snapshot: Snapshot, members: Mapping[str, bytes]) -> dict[str, Any]:
    rows = {name: len(snapshot.tables[name]) for name in SCHEMAS}
    return {
        "cranalyze": "snapshot",
        "schema": SNAPSHOT_FORMAT,
        "meta": {**snapshot.meta, "rows": rows},
        "members": {
            name: {
                "sha256": hashlib.sha256(data).hexdigest(),
                "bytes": len(data),
                "rows": rows[name.removesuffix(".parquet")],
            }
            for name, data in members.items()
        },
    }


def _read(file: IO[bytes], name: str) -> bytes:
    try:
        data = _content(file)
    except OSError as error:
        raise _unreadable(name, error) from error
    if len(data) > MAX_FILE:
        raise BadInputError(f"{printable_path(name)} is larger than {MAX_FILE >> 30} GiB: refused")
    return data


def _content(file: IO[bytes]) -> bytes:
    """Return what is in a file, up to a little more than MAX_FILE bytes.

    By parts: read(2) of so much at once asks for so much memory, whatever the file has.
    """
    parts: list[bytes] = []
    left = MAX_FILE + 1
    while left > 0 and (part := file.read(min(left, _PART))):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn whatever a damaged archive makes zipfile raise into one line."""
    try:
        yield
    except BadInputError:
        raise
    except (MemoryError, RecursionError) as error:
        raise BadInputError(f"{name} does not fit into memory: refused") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError,
            OSError, OverflowError, IndexError, KeyError) as error:  # fmt: skip
        raise BadInputError(
            f"{name} is no snapshot, or is cut short (not a whole zip): collect it again"
        ) from error


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > MAX_MEMBERS:
        raise BadInputError(
            f"{name}: {len(infos)} members; a snapshot has {len(SCHEMAS) + 1}: refused"
        )
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        if reason := _unfit(info, found):
            shown = printable_path(info.filename)
            raise BadInputError(f"{name}: member {shown} {reason}: refused")
        found[info.filename] = info
    return found


def _unfit(info: zipfile.ZipInfo, found: Mapping[str, zipfile.ZipInfo]) -> str:
    if "/" in info.filename or "\\" in info.filename or info.filename in {"", ".", ".."}:
        return "is a path, not a table"
    if info.filename in found:
        return "is there twice"
    if info.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if info.compress_type != zipfile.ZIP_STORED:
        return "is compressed, where snapshots store"
    return "lies about its size" if info.file_size != info.compress_size else ""


def _read_manifest(
    archive: zipfile.ZipFile, infos: Mapping[str, zipfile.ZipInfo], name: str
) -> dict[str, Any]:
    if MANIFEST not in infos:
        raise BadInputError(f"{name}: no {MANIFEST} in it: not a snapshot of cranalyze")
    if infos[MANIFEST].file_size > MAX_MANIFEST:
        raise BadInputError(f"{name}: {MANIFEST} is larger than {MAX_MANIFEST >> 20} MiB: refused")
    content = archive.read(infos[MANIFEST])
    try:
        manifest = json.loads(content, parse_constant=_finite, parse_float=_finite)
        os.fsencode(json.dumps(manifest, ensure_ascii=False))  # half a pair is no text
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name}: {MANIFEST} is not JSON: damaged, collect again") from error
    version = manifest.get("schema") if isinstance(manifest, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise BadInputError(f"{name}: {MANIFEST} names no schema version: not a snapshot")
    if version > SNAPSHOT_FORMAT:
        raise BadInputError(
            f"{name} has schema version {version}, this cranalyze reads up to {SNAPSHOT_FORMAT}: "
            "upgrade cranalyze"
        )
    if not isinstance(manifest.get("meta"), dict) or not isinstance(manifest.get("members"), dict):
        raise BadInputError(f"{name}: {MANIFEST} lacks meta or members: damaged, collect again")
    return dict(manifest)


def _finite(word: str) -> float:
    """Return a number of JSON; ValueError for NaN and what is too large for a float."""
    value = float(word)
    if not math.isfinite(value):
        raise ValueError(word)
    return value


def _table_bytes(
    archive: zipfile.ZipFile,
    infos: Mapping[str, zipfile.ZipInfo],
    manifest: Mapping[str, Any],
    member: str,
    name: str,
) -> tuple[bytes, int]:
    stated = manifest["members"].get(member)
    if member not in infos or not isinstance(stated, dict):
        raise BadInputError(f"{name}: the table {member} is missing: damaged, collect again")
    rows = stated.get("rows")
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
        raise BadInputError(f"{name}: {MANIFEST} does not state the rows of {member}")
    content = archive.read(infos[member])
    if hashlib.sha256(content).hexdigest() != stated.get("sha256"):
        raise BadInputError(
            f"{name}: {member} does not match its SHA-256: changed or damaged, collect again"
        )
    return content, rows

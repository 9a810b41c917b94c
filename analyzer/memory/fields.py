"""Where the running kernel keeps its fields: BTF answers, remembered on disk by build id.

Parsing vmlinux's BTF takes some 100 ms, and one run asks for a hundred fields of it. The answers
(offset, size, ...) are kept in `$XDG_CACHE_HOME/cranalyze/layout-BUILDID.json`, behind the SHA-256
of them. Where the file or a folder on the way to it is another user's, or a link, it is neither
read nor written (`files.open_own`); one that is damaged is an empty one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from analyzer.core.digest import blake2b
from analyzer.core.files import open_own, own_folder, whole_in
from analyzer.memory import modules
from analyzer.memory.btf import BtfError, Field, sane

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from analyzer.memory.btf import Btf

VMLINUX: Final = "/sys/kernel/btf/vmlinux"
_NOTES: Final = "/sys/kernel/notes"
_BUILD_ID_NOTE: Final = 3  # NT_GNU_BUILD_ID
_CACHE_FORMAT: Final = 2
_MAX_CACHE: Final = 1 << 20

Answer = list[int] | int | None


class Layout:
    """Field, size and enumerator look-ups on one kernel.

    `load` is called for the BTF only when the cache cannot answer; `cache` may be None.
    """

    def __init__(self, load: Callable[[], Btf], cache: str | None = None) -> None:
        """Read the cache; a missing or damaged one is an empty one."""
        self._load = load
        self._cache = cache
        self._answers: dict[str, Answer] = _read_cache(cache) if cache else {}
        self._known = len(self._answers)
        self._fields: dict[str, Field | None] = {}

    @cached_property
    def _btf(self) -> Btf:
        return self._load()

    def field(self, struct_name: str, path: str) -> Field | None:
        """Return where `path` is in `struct_name`, None when this kernel has no such field."""
        key = f"{struct_name}:{path}"
        if key not in self._fields:
            self._fields[key] = self._field(key, struct_name, path)
        return self._fields[key]

    def _field(self, key: str, struct_name: str, path: str) -> Field | None:
        if key not in self._answers:
            found = self._btf.field(struct_name, path)
            self._answers[key] = None if found is None else [*map(int, found)]
        answer = self._answers[key]
        if not isinstance(answer, list):
            return None
        offset, size, signed, pointer, elements, shift, bits = answer
        return Field(offset, size, bool(signed), bool(pointer), elements, shift, bits)

    def first(self, struct_name: str, paths: Sequence[str]) -> tuple[str, Field] | None:
        """Return the first of `paths` (newest kernel first) that exists, with its field."""
        for path in paths:
            found = self.field(struct_name, path)
            if found is not None:
                return path, found
        return None

    def sizeof(self, struct_name: str) -> int | None:
        """Return the size of a struct in bytes, None when this kernel has none of that name."""
        return self._number(f"sizeof:{struct_name}", lambda: self._btf.sizeof(struct_name))

    def enumerator(self, enum_name: str, constant: str) -> int | None:
        """Return the value of a constant of `enum enum_name`, None when there is none."""
        key = f"enum:{enum_name}:{constant}"
        return self._number(key, lambda: self._btf.enumerator(enum_name, constant))

    def _number(self, key: str, ask: Callable[[], int | None]) -> int | None:
        if key not in self._answers:
            self._answers[key] = ask()
        answer = self._answers[key]
        return answer if isinstance(answer, int) else None

    def save(self) -> None:
        """Write the cache if there is something new in it; failure to do so is harmless."""
        if self._cache is None or len(self._answers) == self._known:
            return
        with contextlib.suppress(OSError):
            parent, name = os.path.split(self._cache)
            folder = own_folder(parent, make=True)
            try:
                with whole_in(folder, name, force=True) as file:
                    file.write(_packed(self._answers))
            finally:
                os.close(folder)
            self._known = len(self._answers)


def running_kernel() -> Layout:
    """Return the layout of the running kernel. Raises OSError or BtfError when it has no BTF."""
    if not os.path.exists(VMLINUX):
        raise FileNotFoundError(2, os.strerror(2), VMLINUX)
    folder, build = os.path.dirname(VMLINUX), build_id()
    # With another set of modules there are other answers.
    build = "-".join((build, *modules.loaded(folder))) if build else ""
    return Layout(lambda: modules.from_folder(folder), _cache_path(build) if build else None)


def build_id(notes: str = _NOTES) -> str:
    """Return the kernel's build id in hex, "" when it tells none.

    Taken from the ELF notes in /sys/kernel/notes (elf(5), NT_GNU_BUILD_ID); the version string is
    mixed in, for kernels whose build ids were made equal by a reproducible build.
    """
    try:
        with open(notes, "rb") as file:
            data = file.read()
    except OSError:
        return ""
    at = 0
    while at + 12 <= len(data):
        name_size, size, kind = struct.unpack_from("<3I", data, at)
        start = at + 12 + (name_size + 3 & ~3)
        if kind == _BUILD_ID_NOTE and data[at + 12 : at + 15] == b"GNU":
            version = " ".join(os.uname()[2:4]).encode()
            return blake2b(data[start : start + size] + version, digest_size=16).hexdigest()
        at = start + (size + 3 & ~3)
    return ""


def _cache_path(build: str) -> str | None:
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not base.startswith("/"):  # the XDG specification: relative paths are to be ignored
        home = os.environ.get("HOME", "")
        if not home.startswith("/"):
            return None
        base = f"{home}/.cache"
    return f"{base}/cranalyze/layout-{build}.json"


def _packed(answers: dict[str, Answer]) -> bytes:
    text = json.dumps({"format": _CACHE_FORMAT, "answers": answers}).encode()
    return _digest(text) + b"\n" + text


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=32).hexdigest().encode()


def _read_cache(path: str) -> dict[str, Answer]:
    try:
        fd = open_own(path)
    except OSError:
        return {}
    with os.fdopen(fd, "rb") as file:
        data = file.read(_MAX_CACHE + 1)
    digest, _, text = data.partition(b"\n")
    if len(data) > _MAX_CACHE or _digest(text) != digest:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("format") != _CACHE_FORMAT:
        return {}
    answers = content.get("answers")
    return answers if isinstance(answers, dict) and _sound([*answers.values()]) else {}


def _sound(answers: list[Any]) -> bool:
    fields = [answer for answer in answers if isinstance(answer, list)]
    numbers = [answer for answer in answers if answer is not None and not isinstance(answer, list)]
    parts = list(chain.from_iterable(fields))
    return (
        {*map(len, fields)} <= {len(Field.__match_args__)}
        and {*map(type, parts), *map(type, numbers)} <= {int}
        and sane(min(parts, default=0), max(parts, default=0))
        and all(0 <= number < 1 << 32 for number in numbers)
    )


__all__ = ["BtfError", "Layout", "build_id", "running_kernel"]

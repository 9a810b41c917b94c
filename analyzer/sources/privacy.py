"""What a snapshot tells of others, and how to give one away: fewer tasks, and hashes for names.

`only_relevant` leaves out of a border the tasks that have no part in it, and names none that only
shares what is the host's. `Redaction` puts keyed hashes in the place of what people chose: names of
processes, hosts and files (each part of a path by itself, so that a folder stays one), and cgroups;
in a dump of where mappings are, too. Equal words have equal hashes under one key, so that tables
still join; without the key nobody can try words. By default that is the key of a boot of one host;
hosts that have the same one in a file (--redact-key) join with each other. What the kernel itself
calls things (``pipe:[1234]``, ``[eventfd]``), numbers and times stay as they are.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.check.subtree import INSIDE, other_roots, task_sides
from analyzer.core.digest import blake2b
from analyzer.core.errors import BadInputError
from analyzer.core.model import TASK
from analyzer.core.text import printable
from analyzer.core.values import replace
from analyzer.kinds import facts
from analyzer.snapshot import tables
from analyzer.snapshot.addresses import boot_key, key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from analyzer.snapshot.tables import Table
    from analyzer.snapshot.value import Snapshot

    Mask = npt.NDArray[np.bool_]
    I64 = npt.NDArray[np.int64]

UNNAMED: Final = "?"
_KERNELS: Final = re.compile(
    r"(?:anon_inode:)?\[[\w:.-]*\]|anon_inode:[\w:-]*|/?"
    r"|(?:pipe|socket|net|uts|ipc|mnt|pid|user|cgroup|time|\w+_for_children):\[\d+\]"
)
# How paths begin that nobody chose: what they are open on says who may hold what.
_GIVEN: Final = re.compile(
    r"/(?:SYSV[0-9a-f]{8}|\[aio\]|dev/(?:null|zero|full|u?random|tty|ptmx|pts(?:/\d+)?)"
    r"|proc(?:/\d+(?:/task/\d+)?(?:/net)?(?:/\w+)?)?|sys/fs/cgroup)(?=/|$)"
)
_SHORTEST_KEY: Final = 16  # bytes
_LONGEST_KEY: Final = 4096
_OTHERS: Final = 0o077
_FIGURES: Final = re.compile(r"[0-9., -]*(?:bytes|pages)?")
_DELETED: Final = " (deleted)"
_PATH: Final = re.compile(r"/[^\s,;:'\")]+")
_COMM: Final = re.compile(r"(\bpid \d+ )\([^)]*\)")
_PLAIN: Final = re.compile(r"[\d ]+|host|self|--all-containers")
_STAT: Final = re.compile(rb"\A(\d+ \()(.*)(\) )", re.DOTALL)
_STATUS: Final = re.compile(rb"\A(Name:\t)(.*)$", re.MULTILINE)
_SPAN: Final = re.compile(rb"^[0-9a-f]+-[0-9a-f]+(?= )", re.MULTILINE)
_MAPPED: Final = re.compile(rb"^(\S+ \S{4} \S+ \S+ \d+ +)(.+)$", re.MULTILINE)
# The paths in lines of other files, and of what is registered with an io_uring.
_LINES: Final = {
    "cgroup": re.compile(rb"^(\d+:[^:\n]*:)(.*)$", re.MULTILINE),
    "peers": re.compile(rb"^(\d+ \d+ \S+ )(.+)$", re.MULTILINE),
    "unix": re.compile(rb"^([0-9a-f]+: (?:\S+ +){5}\d+ )(.+)$", re.MULTILINE),
    "backing_file": re.compile(rb"^()(.+)$", re.MULTILINE),
    "fdinfo": re.compile(rb"^( *\d+: )(.+)$", re.MULTILINE),
}


def only_relevant(snapshot: Snapshot) -> Snapshot:
    """Return a border with only the tasks that have a part in it.

    Those are the subtree's, and those that hold something, with all that they descend from.
    Whoever holds nothing but what is the host's (its namespaces, and what leads to them) is counted
    there and not named: no name and no cgroup is kept of it.
    """
    table, references = snapshot.tables["tasks"], snapshot.tables["references"]
    by_task = _held_by_tasks(references)
    root = snapshot.meta["subject"]["pid"]
    inside = task_sides(table, root, other_roots(snapshot, root)) == INSIDE
    theirs = _leads(snapshot, table["tid"][inside], by_task)
    holders = references["holder"]
    named = inside | table["observer"]
    named |= np.isin(table["tid"], holders[by_task & theirs[references["target"]]])
    named |= np.isin(table["tid"], _ends(snapshot, of_tasks=True))
    named = _with_ancestors(table, named)
    kept = _with_ancestors(table, named | np.isin(table["tid"], holders[by_task]))
    nameless = {name: table[name].copy() for name in ("comm", "cgroup", "exe")}
    nameless["comm"][~named] = UNNAMED
    nameless["cgroup"][~named] = nameless["exe"][~named] = None
    nameless["uid"] = np.where(named, table["uid"], 0)
    masks = {name: ~table.known(name) | ~named for name in ("cgroup", "exe", "uid")}
    told = tables.with_columns(table, nameless, masks).take(kept)
    known = snapshot.tables["facts"]
    lost = (known["kind"] == known.code("kind", TASK)) & ~np.isin(known["ref"], table["tid"][named])
    return replace(snapshot, tables={**snapshot.tables, "tasks": told, "facts": known.take(~lost)})


def _held_by_tasks(references: Table) -> Mask:
    kinds = references.vocabulary["holder_kind"]
    held: Mask = references["holder_kind"] == (kinds.index(TASK) if TASK in kinds else -1)
    return held


def _leads(snapshot: Snapshot, inside: I64, by_task: Mask) -> Mask:
    """Mark, by objref, what the subtree holds and is not the host's, and all that leads to it."""
    objects, references = snapshot.tables["objects"], snapshot.tables["references"]
    holder, target = references["holder"], references["target"]
    hosts = np.zeros(int(objects["objref"].max(initial=0)) + 1, np.bool_)
    hosts[objects["objref"][objects["initial"]]] = True
    between = np.flatnonzero(~by_task)
    found = np.zeros(len(hosts), np.bool_)
    found[target[by_task & np.isin(holder, inside)]] = True
    crossing = np.zeros(len(hosts), np.bool_)  # what leads to the ends of relations does too
    crossing[_ends(snapshot, of_tasks=False)] = True
    for start, end in ((holder, target), (target, holder)):
        found = (found | (crossing & (start is target))) & ~hosts
        while True:
            more = found.copy()
            more[end[between[found[start[between]]]]] = True
            more &= ~hosts
            if (more == found).all():
                break
            found = more
    return found


def _ends(snapshot: Snapshot, *, of_tasks: bool) -> I64:
    """Return the ends of relations: tids, or objrefs."""
    table = snapshot.tables["relations"]
    found = []
    for end in ("left", "right"):
        by_task = table[f"{end}_kind"] == table.code(f"{end}_kind", TASK)
        found.append(table[end][by_task == of_tasks])
    return np.concatenate(found)


def _with_ancestors(table: Table, kept: Mask) -> Mask:
    """Add the first threads of processes, and all that started them."""
    while True:
        more = kept | np.isin(table["tid"], table["tgid"][kept])
        more |= np.isin(table["tid"], table["ppid"][kept])
        if (more == kept).all():
            return kept
        kept = more


class Redaction:
    """Hashes under one key: `of` a machine's boot where its secret can be had, else a new one.

    `meta["options"]["redact_key"]` tells keys apart without telling them.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def under(cls, path: str) -> Redaction:
        """Return the one under the key in a file, for all machines that have it.

        Raises BadInputError if it is shorter than 16 bytes, or others than its owner can read it.
        """
        return cls(blake2b(_secret(path), digest_size=16, person=b"cranalyze redact").digest())

    @classmethod
    def of(cls, boot_id: str) -> Redaction:
        """Return the one under which what is redacted in this boot joins, or one of its own."""
        return cls(boot_key(boot_id) or os.urandom(16))

    def word(self, text: str) -> str:
        """Return twelve hex digits for a name."""
        data = text.encode("utf-8", "surrogateescape")
        return blake2b(data, digest_size=6, key=self._key, person=b"cranalyze words").hexdigest()

    def name(self, text: str) -> str:
        """Return what stands for a path, part by part, or for another name.

        What the kernel calls so stays.
        """
        if _KERNELS.fullmatch(text):
            return text
        path = text.removesuffix(_DELETED)
        given = _GIVEN.match(path)
        begins = "" if given is None else given[0]
        hashed = "/".join(part and self.word(part) for part in path[len(begins) :].split("/"))
        return begins + hashed + (_DELETED if text.endswith(_DELETED) else "")

    def detail(self, text: str) -> str:
        """Return what stands for a detail or a fact: figures stay, a path is told part by part."""
        return text if _FIGURES.fullmatch(text) else self.name(text)

    def prose(self, text: str) -> str:
        """Return a sentence of ours without the paths and the names of processes in it."""
        told = _COMM.sub(lambda found: f"{found[1]}({self.word(found[0])})", text)
        return _PATH.sub(lambda found: self.name(found[0]), told)

    def snapshot(self, snapshot: Snapshot) -> Snapshot:
        """Return the snapshot without names."""
        say = {"tasks": {"comm": self.word, "cgroup": self.name, "exe": self.name},
               "objects": {"name": self.name},
               "gaps": {"where": self.prose, "effect": self.prose},
               "relations": {"detail": self.detail}, "facts": {"text": self.detail}}  # fmt: skip
        changed = {name: _mapped(snapshot.tables[name], columns) for name, columns in say.items()}
        changed["facts"] = _with_plain(snapshot.tables["facts"], changed["facts"])
        meta, source = snapshot.meta, snapshot.meta["source"]
        notes = [self.prose(note) for note in source.get("notes", ())]
        more = {"host": self.word(meta["host"]), "source": {**source, "notes": notes}}
        more["subject"] = self._subject(meta["subject"])
        if "images" in meta:
            more["images"] = {pid: self.name(image) for pid, image in meta["images"].items()}
        more["options"] = {**meta["options"], "redacted": True, "redact_key": key_id(self._key)}
        return replace(snapshot, meta={**meta, **more}, tables={**snapshot.tables, **changed})

    def _subject(self, subject: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is kept of a subject: how it was named may name it, pids do not."""
        told = dict(subject)
        for key in ("name", "container", "selector"):
            said = told.get(key)
            if isinstance(said, str) and said and not _PLAIN.fullmatch(said):
                told[key] = self.word(said)
        return told

    def entry(self, path: str, content: bytes | str) -> bytes | str:
        """Return the entry `path` of a dump of /proc (a link is str) without names."""
        if isinstance(content, str):
            return self.name(content)
        match name := path.rpartition("/")[2]:
            case "stat":
                told = _STAT.sub(lambda m: m[1] + self._bytes(m[2]) + m[3], content)
            case "status":
                told = _STATUS.sub(lambda m: m[1] + self._bytes(m[2]), content)
            case "maps":
                told = _SPAN.sub(lambda m: self._span(m[0]), content)
                told = _MAPPED.sub(lambda m: m[1] + self._path(m[2]), told)
            case "mountinfo":
                told = b"".join(map(self._mount, content.splitlines(keepends=True)))
            case _:
                lines = _LINES.get("fdinfo" if name.isdecimal() else name)
                told = content
                if lines is not None:
                    told = lines.sub(lambda m: m[1] + self._path(m[2]), content)
        return told

    def _mount(self, line: bytes) -> bytes:
        words = line.split(b" ")
        dash = words.index(b"-") if b"-" in words else len(words)
        named = [3, 4]
        if dash + 2 < len(words) and words[dash + 2] != words[dash + 1]:
            named.append(dash + 2)  # the source; where there is none, it is called as its type
        for at in named:
            if at < len(words):
                words[at] = self._path(words[at])
        for at in range(dash + 3, len(words)):
            end = b"\n" if words[at].endswith(b"\n") else b""
            told = words[at].removesuffix(b"\n").split(b",")
            words[at] = b",".join(self._option(option) for option in told) + end
        return b" ".join(words)

    def _option(self, option: bytes) -> bytes:
        name, equals, value = option.partition(b"=")
        if b"/" in value:
            return name + equals + b":".join(map(self._path, value.split(b":")))
        return self._path(option) if b"/" in option else option

    def _span(self, span: bytes) -> bytes:
        """Return hashes for where a mapping starts and ends: where they are is ASLR's secret."""
        return b"-".join(map(self._bytes, span.split(b"-")))

    def _bytes(self, data: bytes) -> bytes:
        return self.word(data.decode("utf-8", "surrogateescape")).encode()

    def _path(self, data: bytes) -> bytes:
        told = self.name(data.decode("utf-8", "surrogateescape"))
        return told.encode("utf-8", "surrogateescape")


def _secret(path: str) -> bytes:
    """Return what is in a file that nobody else can read, but for the end of its line."""
    shown = printable(path)
    try:
        with open(path, "rb", opener=_never_waits) as file:
            status = os.fstat(file.fileno())
            data = file.read(_LONGEST_KEY + 1).rstrip(b"\r\n")
    except OSError as error:
        raise BadInputError(f"cannot read the key {shown}: {error.strerror}") from error
    if status.st_mode & _OTHERS or status.st_uid not in {0, os.geteuid()}:
        raise BadInputError(f"the key {shown} is not yours alone: chmod 600 it")
    if not _SHORTEST_KEY <= len(data) <= _LONGEST_KEY:
        raise BadInputError(
            f"the key {shown} has not {_SHORTEST_KEY} to {_LONGEST_KEY} bytes: make one with "
            "openssl rand -hex 32"
        )
    return data


def _never_waits(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _with_plain(before: Table, hashed: Table) -> Table:
    """Return facts with the words that nobody chose as they were."""
    codes = [before.code("fact", name) for name, fact in facts().items() if fact.plain]
    text = np.where(np.isin(before["fact"], codes), before["text"], hashed["text"])
    return tables.with_columns(hashed, {"text": text}, dict(hashed.missing))


def _mapped(table: Table, columns: Mapping[str, Callable[[str], str]]) -> Table:
    changed = {}
    for name, say in columns.items():
        told = {text: say(text) for text in set(table[name].tolist()) if text is not None}
        column = np.empty(len(table), object)
        column[:] = [told.get(text) for text in table[name].tolist()]
        changed[name] = column
    masks = {name: table.missing[name] for name in changed if name in table.missing}
    return tables.with_columns(table, changed, masks)

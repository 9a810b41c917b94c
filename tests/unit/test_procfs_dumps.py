"""Dumps as folders, archives and texts: one tree each time, and no harm from a hostile one."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import os
import re
import shutil
import socket
import stat
import subprocess
import tarfile
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.core.errors import BadInputError
from analyzer.procfs import archive, refusals, status, streamed, tarball, tasks, textdump
from analyzer.procfs import fs as proc
from analyzer.procfs.archive import open_dump
from analyzer.procfs.contents import Tree
from analyzer.procfs.fs import MemoryFs, ProcFs
from analyzer.procfs.gaps import GapLog
from analyzer.procfs.record import Recorder
from analyzer.relations.shown import Looked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Entries = dict[str, bytes | str]

LONG = "/" + "/".join(["n" * 200] * 4)
ENTRIES: Entries = {
    "7/stat": b"7 (a) b\n) S 1\n",
    "7/fdinfo/3": b"",
    "7/fd/3": "/a\n\x1b[31m\udcff\udcfe",
    "7/fd/4": LONG,
    "7/ns/net": "net:[1]",
    "7/task/7" + LONG + "/stat": b"x" * 5000,
    "cranalyze/facts": b"format 1\n### not a section\n",
}
names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=150)
paths = st.lists(names.filter(lambda n: n not in {".", ".."}), min_size=1, max_size=4).map("/".join)
links = st.binary(min_size=1, max_size=150).filter(lambda b: b"\0" not in b).map(os.fsdecode)
trees = st.dictionaries(paths, st.binary(max_size=1200) | links, max_size=8)


def as_folder(entries: Mapping[str, bytes | str], root: Path) -> Path:
    for name, entry in entries.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, str):
            path.symlink_to(os.fsencode(entry).decode("utf-8", "surrogateescape"))
        else:
            path.write_bytes(entry)
    return root


def by_python(entries: Mapping[str, bytes | str], file: IO[bytes], layout: int) -> None:
    with tarfile.open(fileobj=file, mode="w", format=layout, errors="surrogateescape") as tar:
        for name, entry in entries.items():
            header = tarfile.TarInfo("./" + name)
            if isinstance(entry, str):
                header.type, header.linkname = tarfile.SYMTYPE, entry
            else:
                header.size = len(entry)
            tar.addfile(header, io.BytesIO(entry if isinstance(entry, bytes) else b""))


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for header, data in members:
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(header, key, value)
    return header


def everything(fs: ProcFs) -> Entries:
    found: Entries = {}
    for name, entry in ENTRIES.items():
        found[name] = fs.link(name) if isinstance(entry, str) else fs.read(name)
    return found


@pytest.mark.parametrize("layout", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_archives_of_python_are_read(layout: int) -> None:
    out = io.BytesIO()
    by_python(ENTRIES, out, layout)
    out.seek(0)
    assert dict(tarball.read(out, "x")) == ENTRIES


@given(trees)
def test_what_is_written_is_read_again(entries: Entries) -> None:
    out = io.BytesIO()
    tarball.write(entries, out)
    out.seek(0)
    assert dict(tarball.read(out, "x")) == entries
    out.seek(0)
    with tarfile.open(fileobj=out, errors="surrogateescape") as tar:
        assert tar.getnames() == [name.rstrip("/") for name in entries]


@given(trees)
def test_a_tree_is_a_mapping_and_knows_its_folders(entries: Entries) -> None:
    tree = Tree(entries)
    assert dict(tree) == entries
    assert len(tree) == len(entries)
    assert {name.rpartition("/")[0] for name in entries} <= tree.folders().keys()
    assert dict(Tree({f"x/{name}": entry for name, entry in entries.items()}).below("x")) == entries


def test_more_processes_than_any_machine_has_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly empty folders take little in an archive, and 5 KiB each here."""
    monkeypatch.setattr(tasks, "MOST", 9)
    with pytest.raises(BadInputError, match="more than 9 processes and threads: refused"):
        tasks.read(MemoryFs({f"{pid}/fd/0": "/" for pid in range(1, 11)}, tmp_path), GapLog())
    threads = b"7 (x) S 1 " + b"0 " * 15 + b"12 " + b"0 " * 40
    several = {f"7/task/{tid}/stat": b"%d" % tid + threads[1:] for tid in range(7, 19)}
    with pytest.raises(BadInputError, match="more than 9 processes and threads: refused"):
        tasks.read(MemoryFs({"7/stat": threads, **several}, tmp_path), GapLog())


def test_a_name_in_too_many_folders_is_passed_over() -> None:
    """Each folder of it would be one here: 64 KiB of them would take a gigabyte."""
    deep = member("a/" * 30_000 + "stat"), member("7/stat", size=4)
    found = dict(tarball.read(io.BytesIO(tar_of((deep[0], b""), (deep[1], b"7 ()"))), "x"))
    assert found == {"7/stat": b"7 ()"}


@given(trees)
def test_texts_round_trip_and_are_printable(entries: Entries) -> None:
    text = textdump.pack(entries)
    assert set(text) <= {*range(32, 127), 9, 10}
    assert textdump.unpack(text, "x") == entries


def test_a_text_without_its_first_section_names_the_line() -> None:
    with pytest.raises(BadInputError, match="x: line 3: content that belongs to no file"):
        textdump.unpack(textdump.MAGIC + b"\nstray\n", "x")


def gnu_tar(path: Path, folder: Path) -> None:
    subprocess.run(["tar", "-cf", path, "-C", folder, "."], check=True)


def packed_by(tool: str) -> Callable[[Path, Path], None]:
    def pack(path: Path, folder: Path) -> None:
        plain = path.with_suffix(".plain")
        gnu_tar(plain, folder)
        with plain.open("rb") as data, path.open("wb") as out:
            subprocess.run([tool, "-c"], stdin=data, stdout=out, check=True)

    return pack


def as_text(path: Path, folder: Path) -> None:
    del folder
    path.write_bytes(textdump.pack(ENTRIES))


def bundled(path: Path, folder: Path) -> None:
    subprocess.run(
        ["tar", "-cf", path, "-C", folder.parent, "--transform", "s,^,sos-report/,S", folder.name],
        check=True,
    )


def copied(path: Path, folder: Path) -> None:
    shutil.copytree(folder, path / "proc", symlinks=True)


def deeper(path: Path, folder: Path) -> None:
    (path / ".git").mkdir(parents=True)
    shutil.copytree(folder, path / "host.example" / "proc", symlinks=True)


def zipped(path: Path, folder: Path) -> None:
    del folder
    with zipfile.ZipFile(path, "w") as archive:
        for name, entry in ENTRIES.items():
            info = zipfile.ZipInfo(f"case/proc/{name}")
            info.external_attr = (0o120777 if isinstance(entry, str) else 0o100600) << 16
            archive.writestr(info, os.fsencode(entry) if isinstance(entry, str) else entry)


def as_ttar(path: Path, folder: Path) -> None:
    del folder
    lines = [b"# Archive created by ttar -c -f x.ttar fixtures", b"Directory: fixtures/proc"]
    for name, entry in ENTRIES.items():
        lines.append(b"Path: fixtures/proc/" + name.encode())
        if isinstance(entry, str):
            lines.append(b"SymlinkTo: " + os.fsencode(entry).replace(b"\n", b"\\n"))
            continue
        body = entry if entry.endswith(b"\n") or not entry else entry + b"EOF\n"
        lines += [b"Lines: %d" % body.count(b"\n"), *body.split(b"\n")[:-1], b"Mode: 644"]
        lines.append(b"# ttar - - - - - - -")
    path.write_bytes(b"\n".join([*lines, b""]))


def as_stream(path: Path, folder: Path) -> None:
    del folder
    path.write_bytes(stream_of(ENTRIES))


def stream_of(entries: Mapping[str, bytes | str]) -> bytes:
    """Write what procdump.sh does: links by a tar, files by lines."""
    links = io.BytesIO()
    tarball.write({n: e for n, e in entries.items() if isinstance(e, str)}, links)
    out = [streamed.MAGIC, b"### facts\nformat 1\n"]
    for name, entry in entries.items():
        if isinstance(entry, bytes) and not name.startswith("cranalyze/"):
            lines = entry.split(b"\n")
            lines = lines[:-1] if len(lines) > 1 and not lines[-1] else lines
            out.append(b"### files \n")
            out += [b"%s:%s\n" % (name.encode(), line) for line in lines]
    out += [b"### links\n", links.getvalue(), bytes(10240), b"### end\nended_at x\n"]
    return b"".join(out)


@pytest.mark.parametrize(
    "pack",
    [
        gnu_tar, packed_by("gzip"), packed_by("zstd"), packed_by("xz"), packed_by("bzip2"), zipped,
        as_text, as_ttar, as_stream, bundled, copied, deeper,
    ],
    ids=[
        "tar", "gzip", "zstd", "xz", "bzip2", "zip",
        "text", "ttar", "stream", "bundle", "folder", "deeper",
    ],
)  # fmt: skip
def test_every_form_of_a_dump_shows_one_tree(
    pack: Callable[[Path, Path], None], tmp_path: Path, require: Callable[..., None]
) -> None:
    require("tool:tar", "tool:zstd", "tool:gzip", "tool:xz", "tool:bzip2")
    folder = as_folder(ENTRIES, tmp_path / "proc")
    pack(tmp_path / "dump", folder)
    fs = open_dump(tmp_path / "dump")
    assert not fs.is_live()
    found = everything(fs)
    if pack is as_stream:  # lines are whole, an empty file leaves one, and the facts are its own
        found |= {name: ENTRIES[name] for name in ("7/fdinfo/3", "cranalyze/facts")}
        found = {name: e[:5000] if isinstance(e, bytes) else e for name, e in found.items()}
    if pack is as_ttar:  # it has no way to write a newline in a link
        found["7/fd/3"] = ENTRIES["7/fd/3"]
    assert found == ENTRIES
    assert not fs.cut
    assert sorted(fs.listdir("")) == ["7", "cranalyze"]
    assert set(fs.links("7/fd").names) == {"3", "4"}
    assert fs.heads("7/fdinfo", ["3", "9"])[1] is None
    for gone in (fs.read, fs.link, fs.listdir, fs.links):
        with pytest.raises(FileNotFoundError):
            gone("8/stat")


HOSTILE = {
    "parent": tar_of((member("1/stat"), b""), (member("../../etc/passwd"), b"")),
    "inner parent": tar_of((member("1/../../x"), b"")),
    "absolute": tar_of((member("/etc/passwd"), b"")),
    "hard link": tar_of((member("1/stat", type=tarfile.LNKTYPE, linkname="x"), b"")),
    "device": tar_of((member("1/stat", type=tarfile.CHRTYPE, devmajor=1), b"")),
    "fifo": tar_of((member("1/stat", type=tarfile.FIFOTYPE), b"")),
    "sparse": tar_of((member("1/stat", type=tarfile.GNUTYPE_SPARSE), b"")),
    "no process": tar_of((member("x/stat"), b""), (member("1/status"), b"")),
    "empty": b"",
    "zeros": bytes(10240),
    "text": b"hello world\n" * 100,
    "cut": tar_of((member("1/stat", size=600), b"x" * 600))[:1100],
    "cut gzip": gzip.compress(os.urandom(5000))[:3000],
    "bad gzip": b"\x1f\x8b" + b"\xff" * 100,
    "gzip of text": gzip.compress(b"hello"),
    "bad zstd": b"\x28\xb5\x2f\xfd" + b"\xff" * 100,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_dump_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(BadInputError) as caught:
        open_dump(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["d.tar"]


class Unpacked:
    """A stream that is damaged at its start, and would go on after that, as pyarrow's does."""

    def __init__(self) -> None:
        self.rest = io.BytesIO(tar_of((member("1/stat", size=3), b"abc")))
        self.asked = 0

    def read(self, size: int) -> bytes:
        self.asked += 1
        if self.asked == 1:
            raise OSError("damaged")
        return self.rest.read(size)


def test_nothing_is_read_after_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(HOSTILE["bad gzip"])
    monkeypatch.setattr(archive, "_UNPACKERS", {b"\x1f\x8b": lambda _: nullcontext(Unpacked())})
    with pytest.raises(BadInputError, match="no process"):
        open_dump(path)


WITH_MORE = tar_of(
    (member("x/1/stat", size=3), b"abc"),
    (member("x/1/hard", type=tarfile.LNKTYPE, linkname="x/1/stat"), b""),
    (member("x/1/fifo", type=tarfile.FIFOTYPE), b""),
    (member("x/1/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), b""),
    (member("x/../../etc/passwd", size=4), b"root"),
    (member("x/1/contiguous", type=tarfile.CONTTYPE, size=2), b"ab"),
    (member("x/1/status", size=2), b"de"),
)


def test_what_is_of_no_use_is_passed_over_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(WITH_MORE)
    fs = open_dump(path)
    assert fs.read("1/stat") == b"abc"
    assert fs.read("1/status") == b"de"
    assert fs.read("1/contiguous") == b"ab"
    assert dict(fs.skipped) == {
        "hard link": 1, "FIFO": 1, "device": 1, "name that leads out of it": 1
    }  # fmt: skip
    assert set(fs.skipped) <= set(tarball.SEVERAL)
    assert os.listdir(tmp_path) == ["d.tar"]


def test_a_file_of_any_size_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tarball, "MAX_CONTENT", 1000)
    path = tmp_path / "d.tar.gz"
    big = (member("1/pagemap", size=1 << 20), bytes(1 << 20))
    path.write_bytes(gzip.compress(tar_of(big, (member("1/stat", size=1), b"x"))))
    fs = open_dump(path)
    assert fs.read("1/stat") == b"x"
    assert sum(fs.skipped.values()) == 1


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
def test_what_is_cut_short_is_read_as_far_as_it_goes(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    inner = tar_of(*((member(f"{n}/stat", size=9000), os.urandom(9000)) for n in range(1, 9)))
    whole = compress(inner)
    path = tmp_path / "d.tar"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    fs = open_dump(path)
    processes = sorted(fs.listdir(""))
    assert processes
    assert len(processes) < 8
    assert "cut short" in fs.cut
    assert "after" in fs.cut
    assert {len(fs.read(f"{pid}/stat")) for pid in processes} == {9000}


def test_a_stream_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = stream_of({f"{n}/{name}": b"a\nb\n" for n in range(1, 9) for name in ("stat", "maps")})
    path = tmp_path / "d"
    path.write_bytes(whole)
    assert not open_dump(path).cut
    seen = set()
    for size in range(len(streamed.MAGIC), len(whole) - 30, 7):
        path.write_bytes(whole[:size])
        try:
            fs = open_dump(path)
        except BadInputError as error:
            assert "it has no process" in str(error)  # noqa: PT017 - one or the other
            continue
        assert "cut short" in fs.cut
        names = {f"{pid}/{name}" for pid in fs.listdir("") if pid != "cranalyze"
                 for name in fs.listdir(pid)}  # fmt: skip
        assert {fs.read(name) for name in names} == {b"a\nb\n"}
        seen.add(len(names))
    assert max(seen) == 16
    path.write_bytes(whole[: whole.index(b"### links") + 100])
    assert f"the stream is cut short or damaged after {path.stat().st_size:,} bytes" in (
        open_dump(path).cut
    )


def test_two_dumps_in_one_are_told_apart(tmp_path: Path) -> None:
    two = tar_of((member("a/1/stat"), b""), (member("b/1/stat"), b""), (member("b/2/stat"), b""))
    (tmp_path / "d.tar").write_bytes(two)
    with pytest.raises(BadInputError, match=r"2 dumps in one \(a, b\): name one of them"):
        open_dump(tmp_path / "d.tar")
    for name in ("a", "b"):
        as_folder(ENTRIES, tmp_path / "d" / name)
    with pytest.raises(BadInputError, match=r"2 dumps in one \(a, b\)"):
        open_dump(tmp_path / "d")
    assert everything(open_dump(tmp_path / "d/a")) == ENTRIES


def test_a_dump_that_is_deeper_than_the_one_that_is_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(tar_of((member("a/1/stat", size=1), b"1"), (member("b/proc/1/stat"), b"")))
    assert open_dump(path).notes == ["passed over: other dumps that are deeper in it (b/proc)"]
    nested = tar_of((member("1/stat", size=1), b"1"), (member("cranalyze/again/1/stat"), b""))
    path.write_bytes(nested)
    assert not open_dump(path).notes


@pytest.mark.parametrize("pack", ["tar", "zip", "folder"])
def test_archives_in_one_are_told_with_how_to_take_one(pack: str, tmp_path: Path) -> None:
    inner = ["collect/sosreport-a.tar.xz", "collect/sosreport-b.tar.xz"]
    path = tmp_path / f"x.{pack}"
    if pack == "zip":
        with zipfile.ZipFile(path, "w") as made:
            for name in inner:
                made.writestr(name, b"not looked into")
    elif pack == "tar":
        path.write_bytes(tar_of(*((member(name), b"nor here") for name in inner)))
    else:
        as_folder(dict.fromkeys(inner, b""), path)
    with pytest.raises(BadInputError) as caught:
        open_dump(path)
    command = {"tar": "tar xOf", "zip": "unzip -p"}
    how = f"{command[pack]} {path} {inner[0]} |" if pack in command else f"--proc {path}/{inner[0]}"
    assert f"it has 2 archives ({', '.join(inner)}): take one: {how}" in str(caught.value)


def test_what_comes_after_a_stream_is_no_part_of_it(tmp_path: Path) -> None:
    whole = stream_of({"7/stat": b"a\n"})
    path = tmp_path / "d"
    path.write_bytes(whole + b"pod default/node-debugger terminated\n")
    fs = open_dump(path)
    assert not fs.cut
    assert b"debugger" not in fs.read("cranalyze/facts")
    path.write_bytes(whole + whole)
    with pytest.raises(BadInputError, match="two dumps in one"):
        open_dump(path)


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "it is empty"), (b"hello\n", "cut short after 6 bytes")]
)
def test_what_is_nothing_is_called_that(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=said):
        open_dump(path)


def test_a_tar_of_proc_itself_is_empty_and_that_is_said(
    tmp_path: Path, require: Callable[..., None]
) -> None:
    require("tool:tar")
    path, pid = tmp_path / "x.tar", os.getpid()
    command = ["tar", "-cf", str(path), "-C", "/", f"proc/{pid}/stat", f"proc/{pid}/status"]
    subprocess.run(command, check=True)
    for dump in (path, as_folder({"7/stat": b"", "7/fd/3": "/x"}, tmp_path / "unpacked")):
        with pytest.raises(BadInputError, match=r"every file 0 bytes long.*procdump --script"):
            open_dump(dump)


def test_files_where_links_ought_to_be_are_told(tmp_path: Path) -> None:
    entries: Entries = {"7/stat": b"7", "7/fd/3": b"followed", "7/fd/4": "/x"}
    for fs in (MemoryFs(entries, tmp_path), open_dump(as_folder(entries, tmp_path / "d"))):
        links = fs.links("7/fd")
        assert (links.names, links.targets, links.others) == (["4"], ["/x"], 1)


def test_the_messages_of_tools_are_what_was_refused(tmp_path: Path) -> None:
    said = (
        b"tar: 7/fd/3: Cannot readlink: Permission denied\n"
        b"tar: 8/exe: cannot read link: No such file or directory\n"
        b"grep: 9/maps: Permission denied\n"
        b"tar: 9/fd: Permission denied\n"
        b"tar: 7/fd/5: Cannot readlink: File name too long\n"
        b"tar: Exiting with failure status due to previous errors\n"
    )
    path = tmp_path / "d"
    part = b"### files \n7/stat:x\n### said\n" + said
    path.write_bytes(streamed.MAGIC + b"### facts\nformat 1\n" + part + b"### end\nended_at x\n")
    fs = refusals.restored(open_dump(path))
    assert refusals.parse(fs.read(refusals.PATH), "x") == {
        ("link", "7/fd"): 13, ("open", "8/exe"): 2, ("open", "9/maps"): 13, ("open", "9/fd"): 13
    }  # fmt: skip
    assert fs.links("7/fd") == proc.Links(["5"], [""], 13)
    with pytest.raises(FileNotFoundError) as caught:
        fs.link("8/exe")
    assert proc.vanished(caught.value)
    with pytest.raises(PermissionError):
        fs.links("9/fd")


def test_what_stat_says_of_links_is_what_a_dump_keeps(tmp_path: Path) -> None:
    path = tmp_path / "d"
    told = b"### looked\n7/fd/0:2190 88 1 0 29\n7/cwd:41ed 0 0 4096 65024\n7/fd/1:21\n\n"
    files = b"### files \n7/stat:x\n"
    path.write_bytes(streamed.MAGIC + b"### facts\n" + files + told + b"### end\nended_at x\n")
    fs = open_dump(path)
    assert not fs.cut
    assert fs.look(["7/fd/0", "7/cwd", "7/fd/1"]) == [
        Looked(stat.S_IFCHR, os.makedev(0x88, 1), 0, 29, None),
        Looked(stat.S_IFDIR, 0, 4096, 65024, None),
        None,
    ]


LSOF = rb"""p41
g41
R1
csh
u4
Lsys
f0
ar
tFIFO
i7
npipe
p42
g41
R41
cx\ty
u4
Lsys
fcwd
tDIR
n/srv
ftxt
tREG
n/usr/bin/x
fmem
tREG
n/lib/libc.so
f1
tunix
d0x0000000034a5a64e
i134864348
ntype=STREAM
f2
tIPv4
d134864350
PTCP
nlocalhost:58775
f3
ta_inode
i1039
n[eventpoll]
f4
ta_inode
n[pidfd:6329]
f5
tREG
i4026531833
nnet
f6
tREG
n/srv/new\nline (deleted)
p43
R41
cother
u0
fcwd
tunknown
n/proc/43/cwd (readlink: Permission denied)
fNOFD
n/proc/43/fd (opendir: Permission denied)
""".replace(rb"\ty", b"\ty")


@pytest.mark.parametrize("nul", [False, True])
def test_what_lsof_printed_is_read_as_far_as_it_goes(nul: object, tmp_path: Path) -> None:
    path = tmp_path / "lsof.txt"
    ended = re.sub(rb"\n(?=[pf])|\n$", b"\0\n", LSOF)
    path.write_bytes(re.sub(rb"(?<!\0)\n", b"\0", ended) if nul else LSOF)
    fs = refusals.restored(open_dump(path))
    assert sorted(fs.listdir("")) == ["41", "42", "43", "cranalyze"]
    told = status.parse(fs.read("42/status"), "x")
    assert (told.tgid, told.ppid, told.uid) == (42, 41, 4)
    links = fs.links("42/fd")
    assert dict(zip(links.names, links.targets, strict=True)) == {
        "1": "socket:[134864348]",
        "2": "socket:[134864350]",
        "3": "anon_inode:[eventpoll]",
        "4": "anon_inode:[pidfd]",
        "5": "net:[4026531833]",
        "6": "/srv/new\nline (deleted)",
    }
    assert list(fs.links("41/fd").targets) == ["pipe:[7]"]
    assert (fs.link("42/exe"), fs.link("42/cwd")) == ("/usr/bin/x", "/srv")
    assert (len(fs.links("43/fd").names), fs.links("43/fd").refused) == (0, errno.EACCES)
    with pytest.raises(proc.NotCopiedError):
        fs.link("43/cwd")


def test_lsof_of_a_real_process_shows_what_proc_shows(
    tmp_path: Path, require: Callable[..., None]
) -> None:
    require("tool:lsof")
    (tmp_path / "odd\nname").write_bytes(b"")
    with (tmp_path / "odd\nname").open("rb") as file, socket.socket() as sock:
        reader, writer = os.pipe()
        wanted = (file.fileno(), sock.fileno(), reader, writer)
        live = {str(fd): os.readlink(f"/proc/self/fd/{fd}") for fd in wanted}
        ran = subprocess.run(
            ["lsof", "-n", "-P", "-F", "-p", str(os.getpid())], capture_output=True, check=False
        )
        os.close(reader)
        os.close(writer)
    (tmp_path / "lsof.txt").write_bytes(ran.stdout)
    fs = open_dump(tmp_path / "lsof.txt")
    links = fs.links(f"{os.getpid()}/fd")
    found = dict(zip(links.names, links.targets, strict=True))
    assert {fd: found.get(fd) for fd in live} == live


def _claim(size: bytes) -> bytes:
    header = bytearray(tar_of((member("1/stat"), b""))[:512])
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


@pytest.mark.parametrize(
    "size", [b"77777777777\0", b"\x80" + bytes(3) + b"\xff" * 8, b"zzzzzzzzzzz\0"]
)
def test_a_claimed_size_is_not_believed(size: bytes, tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(_claim(size))
    with pytest.raises(BadInputError, match="not a dump of /proc"):
        open_dump(path)


def test_an_archive_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, "MAX_TOTAL", 1 << 20)
    path = tmp_path / "d.tar.gz"
    content = tar_of(*((member(f"{n}/stat", size=9000), bytes(9000)) for n in range(1, 200)))
    path.write_bytes(gzip.compress(content))
    with pytest.raises(BadInputError, match="unpacks to more"):
        open_dump(path)


def test_what_an_archive_unpacks_to_follows_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tarball, "_LEAST_TOTAL", 1 << 20)
    path = tmp_path / "d.tar.gz"
    size = 4 << 20
    path.write_bytes(gzip.compress(tar_of((member("1/stat", size=size), bytes(size)))))
    with pytest.raises(BadInputError, match=r"unpacks to more than \d MiB, the limit for it"):
        open_dump(path)


@pytest.mark.parametrize("make", [os.mkfifo, lambda p: p.symlink_to("/dev/zero")])
def test_a_special_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "d")
    with pytest.raises(BadInputError, match="neither a file nor a folder"):
        open_dump(tmp_path / "d")
    with pytest.raises(BadInputError, match="No such file"):
        open_dump(tmp_path / "missing")
    (tmp_path / "e").mkdir()
    with pytest.raises(BadInputError, match="no process"):
        open_dump(tmp_path / "e")


def test_in_a_folder_no_link_is_followed_and_no_fifo_waited_for(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "7/status")
    fs = open_dump(tmp_path)
    with pytest.raises(OSError, match="symbolic links"):
        fs.read("7/stat")
    with pytest.raises(OSError, match="no regular file"):
        fs.read("7/status")
    (tmp_path / "8").symlink_to("/proc/1")
    with pytest.raises(proc.NotCopiedError):
        fs.read("8/stat")


def test_a_file_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proc, "MAX_FILE", 100_000)
    (tmp_path / "maps").write_bytes(bytes(100_001))
    with pytest.raises(BadInputError, match="maps: larger than"):
        ProcFs(tmp_path).read("maps")


def test_the_live_proc_knows_itself(tmp_path: Path) -> None:
    assert ProcFs(Path("/proc")).is_live()
    (tmp_path / "self").symlink_to(str(os.getpid()))
    assert not ProcFs(tmp_path).is_live()


def test_a_record_replays_what_was_read_and_what_was_refused() -> None:
    class Guarded(MemoryFs):
        def links(self, folder: str) -> proc.Links:
            if folder == "8/fd":
                raise PermissionError(13, "Permission denied", folder)
            links = super().links(folder)
            return proc.Links((), (), 13) if folder == "9/ns" else links

    inner = Guarded({**ENTRIES, "8/fd/0": "x", "9/ns/net": "net:[1]"}, Path("/x"))
    recorder = Recorder(inner, only=[7, 8])
    assert recorder.listdir("") == ["7", "8"]
    recorder.links("7/fd")
    recorder.read("7/stat")
    recorder.heads("7/fdinfo", ["3", "5"])
    recorder.links("9/ns")
    with pytest.raises(PermissionError):
        recorder.links("8/fd")
    told = {refusals.PATH: refusals.text(recorder.refused).encode(), **recorder.entries}
    again = refusals.restored(MemoryFs(told, Path("/y")))
    assert again.links("7/fd") == inner.links("7/fd")
    assert again.read("7/stat") == ENTRIES["7/stat"]
    assert again.links("9/ns").refused == 13
    with pytest.raises(PermissionError):
        again.links("8/fd")
    with pytest.raises(FileNotFoundError):
        again.read("8/stat")

"""What CRIU does with open files: types, devices, names that are gone, locks, what is shared."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from analyzer.core.model import Side
from analyzer.criu.base import Crosses, Having, Hit, Outcome, Rule, over, said
from analyzer.criu.view import inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.check.crossings import Crossing
    from analyzer.criu.view import View

GHOST_LIMIT: Final = 1 << 20
"""Bytes of an unlinked file that CRIU takes along unasked (DEFAULT_GHOST_LIMIT)."""

_ANON: Final = "anon_inode:"
_KNOWN: Final = frozenset(
    {"[eventfd]", "[eventpoll]", "[signalfd]", "[timerfd]", "[fanotify]", "[pidfd]", "inotify",
     "[inotify]", "bpf-map"}
)  # fmt: skip
"""Anonymous inodes that CRIU knows."""
_OWN_RULES: Final = frozenset({"[io_uring]", "[userfaultfd]", "[perf_event]"})
_MEMORY: Final = 1  # the major of null, zero, full, random (admin-guide/devices.txt)
_DEVICES: Final = frozenset({(10, 200), (10, 235)})  # tun, autofs
_TTY: Final = 4  # TTY_MAJOR
_CONSOLES: Final = 64
_TERMINALS: Final = (5, *range(128, 144), 188)
_PIDFD_THREAD: Final = os.O_EXCL
STDERR: Final = 2
_MEMORY_TYPES: Final = frozenset({"memfd", "shm", "shared-memory", "mqueue"})
_MEMORY_NAMES: Final = ("/memfd:", "/SYSV", "/dev/zero", "/anon_hugepage")


def _anon(view: View) -> Iterator[tuple[int, str]]:
    for row in view.rows("FILE"):
        name = view.name(row)
        if name.startswith(_ANON):
            yield row, name.removeprefix(_ANON)


def _is(called: str, view: View) -> Iterator[Hit]:
    yield from (Hit("FILE", row) for row, name in _anon(view) if name == called)


def _rings(view: View) -> Iterator[Hit]:
    yield from _is("[io_uring]", view)


def _faults(view: View) -> Iterator[Hit]:
    yield from _is("[userfaultfd]", view)


def _events(view: View) -> Iterator[Hit]:
    yield from _is("[perf_event]", view)


def _other_types(view: View) -> Iterator[Hit]:
    for row, name in _anon(view):
        if name not in _KNOWN | _OWN_RULES:
            yield Hit("FILE", row, name)


def _maps(view: View) -> Iterator[Hit]:
    yield from _is("bpf-map", view)


def _devices(view: View) -> Iterator[Hit]:
    for row in view.rows("FILE"):
        kind, _, device = str(view.facts("FILE", row).get("special", "")).partition(" device ")
        if device and not (kind == "character" and _known_device(device)):
            yield Hit("FILE", row, f"{kind} device {device}")


def _known_device(device: str) -> bool:
    major, minor = map(int, device.split(":"))
    if major in {_MEMORY, *_TERMINALS} or (major, minor) in _DEVICES:
        return True
    return major == _TTY and minor < _CONSOLES  # virtual consoles, no serial lines


def _packets(view: View) -> Iterator[Hit]:
    for row in view.rows("FILE"):
        if view.name(row).startswith("pipe:[") and (view.number("flags", row) or 0) & os.O_DIRECT:
            yield Hit("FILE", row)


def _threads(view: View) -> Iterator[Hit]:
    for row, name in _anon(view):
        if name == "[pidfd]" and (view.number("flags", row) or 0) & _PIDFD_THREAD:
            yield Hit("FILE", row)


def _big(view: View) -> Iterator[Hit]:
    for row in view.rows("FILE"):
        known = view.facts("FILE", row)
        size = int(known.get("space", 0))
        if known.get("links") == 0 and size > GHOST_LIMIT:
            yield Hit("FILE", row, f"{size:,} bytes", {"size": str(size)})


def _of_the_kernel(view: View) -> Iterator[Hit]:
    """Yield files without a name on mounts of the kernel's own: not memory, which has its ways."""
    for row in view.rows("FILE"):
        known, name = view.facts("FILE", row), view.name(row)
        regular = stat.S_IFMT(view.number("mode", row) or 0) == stat.S_IFREG
        gone = regular and name.startswith("/") and bool(view.number("deleted", row))
        memory = known.get("open.type") in _MEMORY_TYPES or name.startswith(_MEMORY_NAMES)
        if gone and "open.type" in known and "links" not in known and not memory:
            yield Hit("FILE", row, name.removeprefix("/").removesuffix(" (deleted)"))


def _detached(view: View) -> Iterator[Hit]:
    mine = {row + 1 for row in view.rows("FILE")}
    for file, _, _ in view.held("f_path.mnt"):
        if file in mine:
            yield Hit("FILE", file - 1, values=_external(view, file - 1))


def _external(view: View, row: int) -> dict[str, str]:
    return {
        "mount": f"{view.number('mnt_id', row) or 0:x}",
        "ino": f"{view.number('ino', row) or 0:x}",
    }


def _doors(view: View) -> Iterator[Hit]:
    """Yield what is open on a mount of another mount namespace: not working directories."""
    for one in view.crossings:
        if one.relation == "foreign-mount":
            for end in inside(one):
                if end.kind == "FILE":
                    yield Hit(end.kind, end.row, end.detail, _external(view, end.row), one)


def _places(view: View) -> Iterator[Hit]:
    for one in view.crossings:
        if one.relation == "foreign-mount":
            yield from (Hit(e.kind, e.row, e.detail, {}, one) for e in inside(one) if e.role)


def _covered(view: View) -> Iterator[Hit]:
    table = view.snapshot.tables["relations"]
    code = table.code("relation", "covered")
    for kind in ("FILE", "FS"):
        mine = {row + 1 for row in view.rows(kind)}
        of_kind = table.code("left_kind", kind)
        for at in range(len(table)) if code >= 0 else ():
            left = int(table["left"][at])
            if table["relation"][at] == code and table["left_kind"][at] == of_kind and left in mine:
                over_it = view.name(int(table["right"][at]) - 1)
                yield Hit(kind, left - 1, f"below the mount on {over_it}" if over_it else "")


def _lost_items(view: View) -> Iterator[Hit]:
    """Yield epolls with items of files that no descriptor inside is of any more."""
    mine = {row + 1 for row in view.rows("FILE")}
    for epoll, file, slot in view.held("epoll.item"):
        if epoll in mine and file not in view.descriptors:
            yield Hit("FILE", epoll - 1, f"fd {slot}" if slot > 0 else "")


def _namespace_files(view: View) -> Iterator[Hit]:
    """Yield what is open on namespaces that neither a task inside nor CRIU is in."""
    known = {space for spaces in view.spaces.values() for space in spaces.values()}
    spaces = {inode: space for inode, space, _ in view.held("nsfs")}
    mine = {row + 1 for row in view.rows("FILE")}
    for file, inode, _ in view.held("nsfs.file"):
        space = spaces.get(inode)
        foreign = space is not None and space not in known
        if file in mine and space and foreign and not view.objects["initial"][space - 1]:
            yield Hit("FILE", file - 1, view.name(space - 1))


def _in_memory(view: View) -> Iterator[Hit]:
    """Yield executables that are memfds."""
    mine = {row + 1 for row in view.rows("MM")}
    for mm, file, _ in view.held("exe"):
        if mm in mine and view.name(file - 1).startswith("/memfd:"):
            yield Hit("FILE", file - 1)


def _owns(one: Crossing, side: Side) -> bool:
    return any(end.side is side and end.role.endswith("lock owner") for end in one.ends)


def _locked(one: Crossing) -> bool:
    return _owns(one, Side.INSIDE)


def _contended(one: Crossing) -> bool:
    waits = any(end.side is Side.OUTSIDE and "waits" in end.role for end in one.ends)
    return _owns(one, Side.INSIDE) and (waits or _owns(one, Side.OUTSIDE))


def _theirs(one: Crossing) -> bool:
    return not _owns(one, Side.INSIDE) and not one.alone


def _open_files(view: View) -> Iterator[Hit]:
    """Yield open files that the outside has too, where that they are one matters."""
    for row in view.leaks("FILE"):
        known, mode = view.facts("FILE", row), view.number("mode", row) or 0
        thing = view.on.get(row + 1)
        harmless = (
            row + 1 not in view.descriptors  # mapped: it is mapped again
            or str(known.get("special", "")).startswith("character device 1:")
            or known.get("open.mode") in {"path", "none"}
            or stat.S_IFMT(mode) == stat.S_IFDIR
        )
        if not harmless and (thing is None or "socket.family" in known):
            yield Hit("FILE", row)


def _pipes(view: View) -> Iterator[Hit]:
    """Yield pipes with ends on both sides: not FIFOs."""
    for row in view.leaks("PIPE"):
        number = view.name(row).removeprefix("pipe:[").removesuffix("]")
        if number.isdecimal():
            yield Hit("PIPE", row, values={"ino": number})


def _fifos(view: View) -> Iterator[Hit]:
    yield from (Hit("PIPE", row) for row in view.leaks("PIPE") if view.name(row).startswith("/"))


def _streams(view: View) -> Iterator[Hit]:
    yield from (hit for hit in _pipes(view) if _stdio(view, hit.row))


def _other_pipes(view: View) -> Iterator[Hit]:
    yield from (hit for hit in _pipes(view) if not _stdio(view, hit.row))


def _stdio(view: View, row: int) -> bool:
    slots = view.slots(row + 1)
    return bool(view.runtime and slots and slots[-1] <= STDERR)


def _slaves(view: View) -> Iterator[Hit]:
    """Yield terminals whose master is outside, with the numbers that name them."""
    for one in view.crossings:
        mine = [end for end in inside(one) if end.role in {"slave", ""}]
        if one.relation == "terminal" and mine and not any(e.role == "master" for e in inside(one)):
            row = mine[0].row
            device = str(view.facts("FILE", row).get("special", "")).rpartition(" ")[2]
            rdev = os.makedev(*map(int, device.split(":"))) if device else 0
            values = {"rdev": f"{rdev:x}", "dev": f"{view.number('dev', row) or 0:x}"}
            yield Hit("FILE", row, device, values, one)


def _same_files(view: View) -> Iterator[Hit]:
    """Yield files of both sides: pipes have rules of their own."""
    for hit in Crosses("same-file")(view):
        if hit.row + 1 not in view.on:
            yield hit


def _masters(one: Crossing) -> bool:
    return any(end.role == "master" for end in inside(one))


_FILE: Final = "--external file[{mount}:{ino}]"
_INHERIT: Final = "--inherit-fd fd[N]:file[{mount}:{ino}]"

RULES: Final = (
    Rule(
        "io-uring", "an io_uring", Outcome.REFUSES, _rings, about="uring-worker",
        message="Unknown shit 600 (anon_inode:[io_uring]); send_fds failed",
        where="proc_parse.c vma_get_mapfile; of one that is not mapped parasite.c",
        remove="close the ring, and unmap it",
    ),
    Rule(
        "userfaultfd", "a userfaultfd", Outcome.REFUSES, _faults,
        message="Can't dump file of that type (anon [userfaultfd])",
        where="files-ext.c dump_unsupp_fd", remove="close it",
    ),
    Rule(
        "perf-event", "a perf event", Outcome.REFUSES, _events,
        message="Can't dump file of that type (anon [perf_event])",
        where="files-ext.c dump_unsupp_fd", remove="close it",
    ),
    Rule(
        "anon-inode", "an open file of an anonymous inode of a type that CRIU does not know",
        Outcome.REFUSES, _other_types,
        message="Can't dump file of that type (anon)", where="files-ext.c dump_unsupp_fd",
        remove="close it",
    ),
    Rule(
        "bpf-map-file", "a BPF map: it depends on how CRIU was built", Outcome.UNKNOWN, _maps,
        message="Can't dump file of that type (anon anon_inode:bpf-map)",
        where="files-ext.c dump_unsupp_fd",
        then="a CRIU with libbpf dumps it, one without (Debian's) refuses it",
    ),
    Rule(
        "device", "a device that CRIU does not know (it knows terminals, /dev/null and its like, "
        "tun and autofs)", Outcome.REFUSES, _devices,
        message="Can't dump file of that type (chr)", where="files-ext.c dump_unsupp_fd",
        remove="close it, or use a plugin of CRIU's for the device",
    ),
    Rule(
        "packet-pipe", "a pipe in packet mode (O_DIRECT)", Outcome.REFUSES, _packets,
        message="The packetized mode for pipes is not supported yet", where="pipes.c dump_one_pipe",
        remove="clear O_DIRECT (fcntl(2), F_SETFL)",
    ),
    Rule(
        "message-queue", "a POSIX message queue", Outcome.REFUSES,
        Having("FILE", {"mqueue.name": said}, "mqueue.name"), about="posix-queue",
        message="Can't lookup mount", where="files-reg.c dump_one_reg_file", remove="close it",
    ),
    Rule(
        "kernel-file", "a file on a mount of the kernel's own (memfd_secret(2), ...)",
        Outcome.REFUSES, _of_the_kernel,
        message="Can't lookup mount for fd", where="files-reg.c dump_one_reg_file",
        remove="close it, and unmap it",
    ),
    Rule(
        "link-left", "an unlinked file that has another name still", Outcome.REFUSES,
        Having("FILE", {"links": over(0)}),
        message="Can't create link remap", where="files-reg.c create_link_remap",
        option="--link-remap", then="a hard link of it stays in its folder until the restore",
    ),
    Rule(
        "ghost", f"an unlinked file of more than {GHOST_LIMIT:,} bytes", Outcome.REFUSES, _big,
        message="Can't dump ghost file, increase limit", where="files-reg.c dump_ghost_remap",
        option="--ghost-limit {size}", then="its content is in the image",
    ),
    Rule(
        "covered", "an open file or a working directory below what was mounted over it",
        Outcome.REFUSES, _covered,
        message="Unaccessible path opened", where="files-reg.c check_path_remap",
        remove="unmount what is over it, or close it",
    ),
    Rule(
        "foreign-file", "what is open on a mount of a mount namespace that is not dumped",
        Outcome.REFUSES, _doors, about="foreign-mount",
        message="Can't lookup mount for fd", where="files-reg.c dump_one_reg_file",
        option=_FILE, restore=_INHERIT, then="the restore takes the file from who restores",
    ),
    Rule(
        "foreign-place", "a root or a working directory on a mount that is not dumped",
        Outcome.REFUSES, _places, about="foreign-mount",
        message="Can't lookup mount", where="files-reg.c dump_one_reg_file",
        remove="chdir(2) into its own root",
    ),
    Rule(
        "detached-mount", "what is open on a mount that was detached", Outcome.REFUSES, _detached,
        message="Can't lookup mount for fd", where="files-reg.c dump_one_reg_file",
        option=_FILE, restore=_INHERIT, then="the restore takes the file from who restores",
    ),
    Rule(
        "pidfd-thread", "a pidfd of a thread (PIDFD_THREAD)", Outcome.REFUSES, _threads,
        message="PIDFD_THREAD flag is currently not supported", where="pidfd.c dump_one_pidfd",
        remove="close it",
    ),
    Rule(
        "pidfd-outside", "a pidfd of a process outside", Outcome.REFUSES,
        Crosses("pidfd", lambda one: one.ends[0].side is Side.INSIDE), about="pidfd",
        message="pidfd pid is not a part of process tree", where="pidfd.c dump_one_pidfd",
        remove="close it",
    ),
    Rule(
        "pidfd-watch", "a pidfd outside of a process inside", Outcome.SILENT,
        Crosses("pidfd", lambda one: one.ends[0].side is not Side.INSIDE), about="pidfd",
        then="who has it learns that the process has ended, and nothing of the restored one",
    ),
    Rule(
        "epoll-lost", "an epoll that watches a file whose descriptor was closed", Outcome.REFUSES,
        _lost_items,
        message="Dump eventpoll failed", where="eventpoll.c flush_eventpoll_dinfo_queue",
        remove="take it out (EPOLL_CTL_DEL) before the descriptor is closed",
    ),
    Rule(
        "eventfd-user", "an eventfd that a guest or a request of the other side rings",
        Outcome.SILENT, Crosses("eventfd-user"), about="eventfd-user",
        then="the eventfd has its value again, and nobody rings it",
    ),
    Rule(
        "epoll-watch", "an epoll item across the border", Outcome.SILENT, Crosses("epoll-watch"),
        about="epoll-watch", then="the epoll outside reports nothing any more",
    ),
    Rule(
        "namespace-file", "a descriptor of a namespace that no task inside is in", Outcome.REFUSES,
        _namespace_files,
        message="No NS ID with kid", where="namespaces.c dump_one_ns_file", remove="close it",
    ),
    Rule(
        "memfd-program", "a program that runs from a memfd", Outcome.FAILS, _in_memory,
        message="No entry for reg-file-ID", where="files-reg.c at the restore",
        remove="run it from a file",
    ),
    Rule(
        "file-lock", "a file that is locked or leased by a task inside", Outcome.REFUSES,
        Crosses("file-lock", _locked), about="file-lock",
        message="Some file locks are hold by dumping tasks!", where="file-lock.c dump_file_locks",
        option="--file-locks", restore="--file-locks",
    ),
    Rule(
        "file-lock-contended", "a lock that the outside holds too, or waits for", Outcome.FAILS,
        Crosses("file-lock", _contended), about="file-lock",
        then="the restore hangs as long as the outside holds the lock",
        remove="unlock it on one side",
    ),
    Rule(
        "file-lock-outside", "a file that is open inside and locked outside", Outcome.SILENT,
        Crosses("file-lock", _theirs), about="file-lock",
        then="the lock stays outside; what the subtree had of it by the same open file is gone",
    ),
    Rule(
        "deleted-file", "an unlinked file that is open on both sides", Outcome.SILENT,
        Crosses("deleted-file", lambda one: not one.alone), about="deleted-file",
        then="each side has a copy of its own",
    ),
    Rule(
        "same-file", "a file that both sides have open, each by itself", Outcome.SILENT,
        _same_files, about="same-file",
        then="the outside may change it meanwhile; if its size is not the same the restore fails",
    ),
    Rule(
        "open-file", "an open file that the outside has as well", Outcome.SILENT, _open_files,
        about="FILE", then="each side has an offset and flags of its own",
    ),
    Rule(
        "stdio", "standard input and output through pipes to the container's runtime",
        Outcome.RUNTIME, _streams, about="PIPE", restore="--inherit-fd fd[N]:pipe:[{ino}]",
        then="the runtime gives new ends to the restore (descriptors.json)",
    ),
    Rule(
        "pipe", "a pipe with ends on both sides", Outcome.SILENT, _other_pipes, about="PIPE",
        restore="--inherit-fd fd[N]:pipe:[{ino}]",
        then="it is a new pipe, whose other end nobody has, unless the restore is given one; "
        "what was in it is on both sides",
    ),
    Rule(
        "fifo", "a FIFO that both sides have open", Outcome.SILENT, _fifos, about="PIPE",
        then="it is opened anew by its path; what was in it is on both sides",
    ),
    Rule(
        "terminal-slave", "a terminal whose other end is outside", Outcome.REFUSES, _slaves,
        about="terminal",
        message="Found slave peer index without correspond master peer",
        where="tty.c tty_verify_active_pairs",
        option="--external tty[{rdev}:{dev}]",
        restore="--inherit-fd fd[N]:tty[{rdev}:{dev}]",
        then="the restore takes a terminal from who restores (--shell-job: the one it runs in)",
        by_runtime=True,
    ),
    Rule(
        "terminal-master", "the master of a terminal that the outside uses", Outcome.FAILS,
        Crosses("terminal", _masters), about="terminal",
        where="tty.c at the restore", remove="close it, or take along who uses the terminal",
    ),
    Rule(
        "watched-file", "a watch across the border (inotify, fanotify)", Outcome.SILENT,
        Crosses("watched-file"), about="watched-file",
        then="events between the dump and the restore are lost",
    ),
    Rule(
        "proc-file", "an open file of /proc about a process on the other side", Outcome.SILENT,
        Crosses("proc-files"), about="proc-files",
        then="it is of whoever has that pid where it is restored",
    ),
    Rule(
        "signal-owner", "a file whose events are signalled across the border (F_SETOWN)",
        Outcome.SILENT, Crosses("signal-owner"), about="signal-owner",
        then="the signals go to whoever has that pid, or to nobody",
    ),
    Rule(
        "tun-queue", "an interface with queues on both sides", Outcome.SILENT, Crosses("tun-queue"),
        about="tun-queue", then="the queues are not of one interface any more",
    ),
)  # fmt: skip

"""Types of open file that hold no object of ours, and tell facts: eventfd, epoll, timerfd, ...

The files of anonymous inodes have the name that their type was given (anon_inode_getfile(),
fs/anon_inodes.c), which no user can choose; by it the `f_op` of each is recognised. Others are
recognised by their filesystem (a message queue), or by a file of our own (a memfd).
"""

from __future__ import annotations

import os
import stat
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.kinds import file_types
from analyzer.kinds._paths import alias_names, entry_names
from analyzer.kinds._recognise import file_operations, of_one, recognised
from analyzer.kinds._superblock_of import magic_of
from analyzer.kinds.base import FileType, Known, State
from analyzer.memory.distinct import groups
from analyzer.memory.trees import rbtrees
from analyzer.memory.walk import rings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from analyzer.kinds.base import U64, Mask, Told
    from analyzer.memory.reader import Memory
    from analyzer.memory.walk import Elements


_ANONYMOUS: Final = 0x09041934  # ANON_INODE_FS_MAGIC, include/uapi/linux/magic.h
_MQUEUE: Final = 0x19800202  # MQUEUE_MAGIC, ipc/mqueue.c
_TYPE: Final = 0o170000  # S_IFMT
_MOST_NAMED: Final = 64  # of a watcher's files, and of an epoll's
_OF_INODE: Final = 0  # FSNOTIFY_OBJ_TYPE_INODE


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# include/uapi/linux/time.h, fcntl.h, signal.h
_CLOCKS: Final = {0: "realtime", 1: "monotonic", 7: "boottime", 8: "realtime alarm",
                  9: "boottime alarm"}  # fmt: skip
_SEALS: Final = ("seal", "shrink", "grow", "write", "future-write", "exec")
_SIGNALS: Final = _words(
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP "
    "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
# enum bpf_map_type, bpf_prog_type, bpf_link_type (include/uapi/linux/bpf.h) only ever grow.
_MAPS: Final = _words(
    "unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace "
    "cgroup_array lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap "
    "cpumap xskmap sockhash cgroup_storage reuseport_sockarray percpu_cgroup_storage queue stack "
    "sk_storage devmap_hash struct_ops ringbuf inode_storage task_storage bloom_filter "
    "user_ringbuf cgrp_storage arena"
)
_PROGRAMS: Final = _words(
    "unspec socket_filter kprobe sched_cls sched_act tracepoint xdp perf_event cgroup_skb "
    "cgroup_sock lwt_in lwt_out lwt_xmit sock_ops sk_skb cgroup_device sk_msg raw_tracepoint "
    "cgroup_sock_addr lwt_seg6local lirc_mode2 sk_reuseport flow_dissector cgroup_sysctl "
    "raw_tracepoint_writable cgroup_sockopt tracing struct_ops ext lsm sk_lookup syscall netfilter"
)
_LINKS: Final = _words(
    "unspec raw_tracepoint tracing cgroup iter netns xdp perf_event kprobe_multi struct_ops "
    "netfilter tcx uprobe_multi netkit sockmap"
)


def of_type(memory: Memory, files: U64, ops: U64, name: str) -> U64:
    """Return those of `files` that are of the type `name` of this module; `ops` are their f_op."""
    (wanted,) = (one for one in FILE_TYPES if one.name == name)
    rows = groups(ops, np.arange(len(ops)))
    if wanted.recognise is None:
        those = {file_operations(memory, file_types())[name]}
    else:
        those = recognised(memory, [wanted], files, rows)[name]
    return files[of_one(rows, those)]


def texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    """Return a column of texts."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def named(code: int, words: Sequence[str]) -> str:
    """Return the word for a number of the kernel's, or the number where it is a newer one."""
    return words[code] if 0 <= code < len(words) else str(code)


def plain(value: bytes) -> str:
    """Return what stands in an array of characters up to its NUL."""
    return value.split(b"\0", 1)[0].decode("utf-8", "replace")


def _is_called(names: frozenset[str], memory: Memory, files: U64) -> Mask:
    read = memory.gather(files, "file", {"dentry": "f_path.dentry"})
    block = memory.gather(read["dentry"], "dentry", {"sb": "d_sb", "parent": "d_parent"})
    magic = memory.gather(block["sb"], "super_block", {"magic": "s_magic"})
    ours = read.ok & block.ok & magic.ok & (magic["magic"] == _ANONYMOUS)
    told = np.zeros(len(files), np.bool_)
    at = np.flatnonzero(ours)
    told[at] = [name in names for name in entry_names(memory, read["dentry"][at])]
    return told


def _data(memory: Memory, files: U64) -> U64:
    read = memory.gather(files, "file", {"data": "private_data"})
    data: U64 = np.where(read.ok, read["data"], np.uint64(0))
    return data


def _eventfd(memory: Memory, files: U64) -> Told:
    read = memory.gather(_data(memory, files), "eventfd_ctx", {"id": "id", "count": "count"})
    count = np.minimum(read["count"], np.uint64((1 << 63) - 1)).astype(np.int64)
    return {"eventfd.id": Known(read["id"], read.ok), "eventfd.count": Known(count, read.ok)}


def items(memory: Memory, files: U64) -> tuple[Elements, U64, npt.NDArray[np.int64]]:
    """Return the items of epoll files: their places, the files watched, and their descriptors."""
    polls = _data(memory, files)
    root = memory.gather(polls, "eventpoll", {"top": "rbr.rb_root.rb_node"})
    found = rbtrees(memory, np.where(root.ok, root["top"], np.uint64(0)))
    item = found.value - np.uint64(memory.offset("epitem", "rbn"))
    read = memory.gather(item, "epitem", {"file": "ffd.file", "fd": "ffd.fd"})
    return found, np.where(read.ok, read["file"], np.uint64(0)), read["fd"].astype(np.int64)


def _epoll(memory: Memory, files: U64) -> Told:
    found, _, fds = items(memory, files)
    order = np.argsort(fds, kind="stable")
    words = [str(fd) for fd in fds[order].tolist()]
    return {"epoll.targets": _listed(found.owner[order], words, len(files))}


def _listed(
    owner: npt.NDArray[np.int64], words: Sequence[str], count: int
) -> npt.NDArray[np.object_]:
    """Return, for each of `count`, its words with commas between: not more than people read."""
    lists: list[list[str]] = [[] for _ in range(count)]
    for at, word in zip(owner.tolist(), words, strict=True):
        lists[at].append(word)
    return texts([list_of(mine) for mine in lists])


def list_of(words: Sequence[str]) -> str:
    """Return words with commas between: not more than people read."""
    more = f",... ({len(words)} in all)" if len(words) > _MOST_NAMED else ""
    return ",".join(words[:_MOST_NAMED]) + more


def clock(number: int) -> str:
    """Return what a clock of a timerfd is called."""
    return _CLOCKS.get(number, str(number))


def _timerfd(memory: Memory, files: U64) -> Told:
    read = memory.gather(
        _data(memory, files),
        "timerfd_ctx",
        {"clock": "clockid", "interval": "tintv", "ticks": "ticks"},
    )
    clocks = [clock(one) for one in read["clock"].tolist()]
    return {
        "timerfd.clock": np.where(read.ok, texts(clocks), ""),
        "timerfd.interval": Known(read["interval"].astype(np.int64), read.ok),
        "timerfd.ticks": Known(read["ticks"].astype(np.int64), read.ok),
    }


def _signalfd(memory: Memory, files: U64) -> Told:
    # The mask that is stored is of the signals that are not to be read (fs/signalfd.c).
    read = memory.gather(_data(memory, files), "signalfd_ctx", {"mask": "sigmask.sig"})
    masks = (~read["mask"].reshape(len(files), -1)[:, 0]).tolist()
    return {"signalfd.mask": np.where(read.ok, texts([signals(mask) for mask in masks]), "")}


@cache
def signals(mask: int) -> str:
    """Return the signals of a mask, bit 0 of which is signal 1: "INT,CHLD,RT40"."""
    numbers = [number for number in range(1, 65) if mask >> (number - 1) & 1]
    return ",".join(named(n - 1, _SIGNALS) if n <= len(_SIGNALS) else f"RT{n}" for n in numbers)


def _watches(prefix: str, memory: Memory, files: U64) -> Told:
    groups = _data(memory, files)
    heads = groups + np.uint64(memory.offset("fsnotify_group", "marks_list"))
    found = rings(memory, np.where(groups != 0, heads, np.uint64(0)))
    mark = found.value - np.uint64(memory.offset("fsnotify_mark", "g_list"))
    inodes = watched(memory, mark)
    names, numbers = alias_names(memory, inodes), _numbers(memory, inodes)

    def listed(words: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
        known = np.array([word != "" for word in words], np.bool_)
        return _listed(found.owner[known], words[known].tolist(), len(files))

    return {
        f"{prefix}.watches": np.bincount(found.owner, minlength=len(files)),
        f"{prefix}.paths": listed(names),
        f"{prefix}.inodes": listed(numbers),
    }


def _numbers(memory: Memory, inodes: U64) -> npt.NDArray[np.object_]:
    """Return the number of each inode and its filesystem's device or type: "12,sda1"."""
    read = memory.gather(inodes, "inode", {"ino": "i_ino", "block": "i_sb"})
    block = memory.gather(read["block"], "super_block", {"id": "s_id"})
    pairs = zip(read["ino"].tolist(), block["id"].tolist(), strict=True)
    words = texts([f"{ino},{plain(where)}" for ino, where in pairs])
    return np.where(read.ok & block.ok, words, "")


def watched(memory: Memory, marks: U64) -> U64:
    """Return the inode that each struct fsnotify_mark is on; 0 where it is on no inode.

    Since 6.10 the connector leads to it, before to the field of it that leads to the connector.
    """
    own = memory.gather(marks, "fsnotify_mark", {"connector": "connector"})
    read = memory.gather(own["connector"], "fsnotify_mark_connector", {"type": "type", "at": "obj"})
    field = np.uint64(memory.offset("inode", "i_fsnotify_marks"))
    inode = np.zeros(len(marks), np.uint64)
    for candidate in (read["at"] - field, read["at"]):
        back = memory.gather(candidate, "inode", {"marks": "i_fsnotify_marks"})
        mine = own.ok & read.ok & (read["type"] == _OF_INODE)
        inode = np.where(mine & back.ok & (back["marks"] == own["connector"]), candidate, inode)
    return inode


def _memfd(memory: Memory, files: U64) -> Told:
    read = memory.gather(files, "file", {"inode": "f_inode", "dentry": "f_path.dentry"})
    entry = memory.gather(read["dentry"], "dentry", {"parent": "d_parent"})
    offset = np.uint64(memory.offset("shmem_inode_info", "vfs_inode"))
    own = memory.gather(read["inode"] - offset, "shmem_inode_info", {"seals": "seals"})
    ours = read.ok & own.ok & entry.ok & (entry["parent"] == read["dentry"])
    at = np.flatnonzero(ours)
    words = np.full(len(files), "", object)
    for row, name in zip(at.tolist(), entry_names(memory, read["dentry"][at]), strict=True):
        if name.startswith("memfd:"):
            words[row] = _seals(int(own["seals"][row]))
    return {"memfd.seals": words}


def _seals(bits: int) -> str:
    return ",".join(word for bit, word in enumerate(_SEALS) if bits >> bit & 1) or "none"


def _map(memory: Memory, files: U64) -> Told:
    read = memory.gather(
        _data(memory, files), "bpf_map", {"id": "id", "name": "name", "type": "map_type"}
    )
    return _bpf(read.ok, read["id"], read["name"].tolist(), read["type"].tolist(), _MAPS)


def _program(memory: Memory, files: U64) -> Told:
    read = memory.gather(_data(memory, files), "bpf_prog", {"aux": "aux", "type": "type"})
    aux = memory.gather(read["aux"], "bpf_prog_aux", {"id": "id", "name": "name"})
    return _bpf(read.ok & aux.ok, aux["id"], aux["name"].tolist(), read["type"].tolist(), _PROGRAMS)


def _link(memory: Memory, files: U64) -> Told:
    read = memory.gather(
        _data(memory, files), "bpf_link", {"id": "id", "type": "type", "prog": "prog"}
    )
    program = memory.gather(read["prog"], "bpf_prog", {"aux": "aux"})
    aux = memory.gather(program["aux"], "bpf_prog_aux", {"name": "name"})
    return _bpf(read.ok, read["id"], aux["name"].tolist(), read["type"].tolist(), _LINKS)


def _bpf(
    ok: Mask, ids: npt.NDArray[Any], names: list[bytes], types: list[int], words: Sequence[str]
) -> Told:
    return {
        "bpf.id": Known(ids, ok),
        "bpf.name": np.where(ok, texts([plain(name) for name in names]), ""),
        "bpf.type": np.where(ok, texts([named(code, words) for code in types]), ""),
    }


def _open_memfd() -> int:
    return os.memfd_create("cranalyze", os.MFD_CLOEXEC)


def _tun(memory: Memory, files: U64) -> Told:
    own = memory.gather(_data(memory, files), "tun_file", {"tun": "tun"})
    tun = memory.gather(own["tun"], "tun_struct", {"dev": "dev"})
    read = memory.gather(tun["dev"], "net_device", {"name": "name"})
    ok = own.ok & tun.ok & read.ok
    return {"tun.interface": np.where(ok, texts([plain(one) for one in read["name"]]), "")}


def _is_queue(memory: Memory, files: U64) -> Mask:
    mask: Mask = magic_of(memory, files, stat.S_IFREG) == _MQUEUE
    return mask


def _queue(memory: Memory, files: U64) -> Told:
    read = memory.gather(files, "file", {"inode": "f_inode"})
    own = read["inode"] - np.uint64(memory.offset("mqueue_inode_info", "vfs_inode"))
    queue = memory.gather(
        own, "mqueue_inode_info", {"now": "attr.mq_curmsgs", "most": "attr.mq_maxmsg"}
    )
    ok = read.ok & queue.ok
    return {
        "mqueue.name": np.where(ok, alias_names(memory, read["inode"]), ""),
        "mqueue.messages": Known(queue["now"], ok),
        "mqueue.most": Known(queue["most"], ok),
    }


def _anonymous(
    name: str, called: tuple[str, ...], read: Callable[[Memory, U64], Told], *facts: Fact
) -> FileType:
    recognise = partial(_is_called, frozenset(called))
    return FileType(name, None, None, (), recognise, State(facts, read))


_BPF: Final = (
    Fact("bpf.id", "number", "number of a BPF map, program or link"),
    Fact("bpf.name", "text", "name of a BPF map or program, of a link its program's"),
    Fact("bpf.type", "text", "type of a BPF map, program or link"),
)

TUN: Final = State((Fact("tun.interface", "text", "interface of a tun or tap"),), _tun)

FILE_TYPES: Final = (
    _anonymous(
        "eventfd", ("[eventfd]",), _eventfd,
        Fact("eventfd.id", "number", "number of an eventfd, the same for all that share it"),
        Fact("eventfd.count", "number", "counter of an eventfd"),
    ),
    _anonymous(
        "epoll", ("[eventpoll]",), _epoll,
        Fact("epoll.targets", "text", "descriptors that an epoll watches, as they were when added"),
    ),
    _anonymous(
        "timerfd", ("[timerfd]",), _timerfd,
        Fact("timerfd.clock", "text", "clock of a timerfd"),
        Fact("timerfd.interval", "number", "after what a timerfd expires again", unit="ns"),
        Fact("timerfd.ticks", "number", "expirations of a timerfd that were not read"),
    ),
    _anonymous(
        "signalfd", ("[signalfd]",), _signalfd,
        Fact("signalfd.mask", "text", "signals that a signalfd takes"),
    ),
    _anonymous(
        "inotify", ("inotify",), partial(_watches, "inotify"),
        Fact("inotify.watches", "number", "watches of an inotify instance"),
        Fact("inotify.paths", "text", "files that it watches, in their filesystems"),
        Fact("inotify.inodes", "text", "their inode numbers, each with its device or filesystem",
             aside=True),
    ),
    _anonymous(
        "fanotify", ("[fanotify]",), partial(_watches, "fanotify"),
        Fact("fanotify.watches", "number", "marks of a fanotify group"),
        Fact("fanotify.paths", "text", "files that it marks, in their filesystems"),
        Fact("fanotify.inodes", "text", "their inode numbers, each with its device or filesystem",
             aside=True),
    ),
    _anonymous("bpf-map", ("bpf-map",), _map, *_BPF),
    _anonymous("bpf-prog", ("bpf-prog",), _program, *_BPF),
    _anonymous("bpf-link", ("bpf_link", "bpf-link"), _link, *_BPF),
    FileType(
        "memfd", _open_memfd, None, (),
        state=State((Fact("memfd.seals", "text", "seals of a memfd"),), _memfd),
        symbols=("shmem_file_operations",),
    ),
    FileType(
        "mqueue", None, None, (), _is_queue,
        State(
            (
                Fact("mqueue.name", "text", "name of a POSIX message queue"),
                Fact("mqueue.messages", "number", "messages that wait in it"),
                Fact("mqueue.most", "number", "how many it takes"),
            ),
            _queue,
        ),
    ),
)  # fmt: skip

"""FILE: struct file, an open file description: what open(2) makes and dup(2), fork(2) share.

Counted are the slots of descriptor tables, mappings, and one for each mm whose executable it is
(fs/file_table.c). `f_ref` stores the references less one, since 6.13 (90ee6ed776c0 "fs: port files
to file_ref"); a negative value is a file that is being freed. `f_count` before.

What a file itself holds depends on its `f_op`: the kinds that a file can hold say so in their
`file_types` (an open /proc/PID/ns/X and its nsfs inode, a socket and its network namespace).

A file that the kernel opened for its own use alone (swapon(2), a core dump) is in no table, and in
no list that can be walked without symbols: nobody else can hold it, so no count lacks it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from analyzer.core.model import Fact
from analyzer.core.values import replace
from analyzer.kinds import file_types
from analyzer.kinds._epoll import EPOLL
from analyzer.kinds._locks import of_files
from analyzer.kinds._named_types import FILE_TYPES as NAMED_TYPES
from analyzer.kinds._named_types import plain, texts
from analyzer.kinds._overlay import FILE_TYPES
from analyzer.kinds._paths import entry_names, paths
from analyzer.kinds._proc_pid import FILE_OWNER, owners
from analyzer.kinds._proc_pid import FILE_TYPES as PROC_TYPES
from analyzer.kinds._recognise import file_operations, of_one, recognised
from analyzer.kinds.base import ALL_RULES, Counter, Edges, Kind, Known, State
from analyzer.kinds.cred import OPENED, opened
from analyzer.kinds.mount import ON, internal, of_vfs, on_detached
from analyzer.kinds.superblock import device_of
from analyzer.memory.distinct import groups, one_of, unique

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from analyzer.kinds.base import I64, U64, Mask, Told
    from analyzer.memory.reader import Memory

# include/uapi/linux/magic.h
_ANON_INODE_MAGIC: Final = 0x09041934
_PIDFS_MAGIC: Final = 0x50494446
_NAMED_BY_TYPE: Final = (  # their files have no names that could be deleted
    _ANON_INODE_MAGIC,
    _PIDFS_MAGIC,
    0x50495045,  # PIPEFS_MAGIC
    0x534F434B,  # SOCKFS_MAGIC
    0x6E736673,  # NSFS_MAGIC
    0x444D4142,  # DMA_BUF_MAGIC
)
_FMODE_BACKING: Final = 3 << 24  # include/linux/fs.h: bit 25, bit 24 in newer kernels
_FMODE_PATH: Final = 1 << 14
_TYPE: Final = 0o170000  # S_IFMT
_TMPFS_MAGIC: Final = 0x01021994
_BLOCK: Final = 512  # of i_blocks, whatever the filesystem's own are
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
SORTS: Final = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFCHR: "character-device",
    stat.S_IFBLK: "block-device",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFLNK: "link",
}
_SORT_OF: Final = {
    _PIDFS_MAGIC: "pidfd",
    0x50495045: "pipe",
    0x6E736673: "namespace",
    0x444D4142: "dma-buf",
    0x19800202: "mqueue",
}
_NAMED: Final = (stat.S_IFREG, stat.S_IFIFO)  # what has names of its own
_MINOR_BITS: Final = 20
_MODES: Final = ("none", "read", "write", "both")
_FLAGS: Final = (
    ("append", os.O_APPEND), ("nonblock", os.O_NONBLOCK), ("direct", os.O_DIRECT),
    ("sync", os.O_SYNC), ("noatime", os.O_NOATIME), ("directory", os.O_DIRECTORY),
    ("nofollow", os.O_NOFOLLOW), ("tmpfile", os.O_TMPFILE), ("async", os.O_ASYNC),
)  # fmt: skip


def _walk(memory: Memory, files: U64) -> Iterator[Edges]:
    known = file_operations(memory, file_types())
    types = [one for one in file_types() if one.walk is not None]
    read = memory.gather(
        files,
        "file",
        {
            "ops": "f_op",
            "cred": "f_cred",
            "owner": ("f_owner.pid", "f_owner"),
            "mnt": "f_path.mnt",
        },
    )
    columns = (read["cred"], read["owner"], read["mnt"])
    cred, owner, mnt = (np.where(read.ok, column, np.uint64(0)) for column in columns)
    yield from opened(memory, cred)
    yield owners(memory, owner)
    yield on_detached(memory, mnt, ON)
    rows = groups(read["ops"], np.flatnonzero(read.ok))
    found = recognised(memory, types, files, rows)
    for file_type in types:
        ours = of_one(rows, found.get(file_type.name, {known[file_type.name]}))
        if len(ours) and file_type.walk is not None:
            for edges in file_type.walk(memory, files[ours]):
                yield replace(edges, holder=ours[edges.holder])


def _describe(memory: Memory, files: U64) -> Mapping[str, npt.NDArray[Any]]:
    read = memory.gather(
        files,
        "file",
        {
            "inode": "f_inode",
            "mnt": "f_path.mnt",
            "dentry": "f_path.dentry",
            "flags": "f_flags",
            "pos": "f_pos",
        },
    )
    inode = memory.gather(
        _shown_inodes(memory, files, read["inode"]),
        "inode",
        {"ino": "i_ino", "mode": "i_mode", "sb": "i_sb", "links": "i_nlink"},
    )
    mount = of_vfs(memory, read["mnt"])
    return {
        "ino": inode["ino"],
        "mode": inode["mode"].astype(np.int64),
        "dev": device_of(memory, inode["sb"]),
        "flags": read["flags"].astype(np.int64),
        "pos": read["pos"].astype(np.int64),
        "mnt_id": memory.gather(mount, "mount", {"id": "mnt_id"})["id"].astype(np.int64),
        "deleted": inode.ok & ((inode["links"] == 0) | _nameless(memory, read["dentry"])),
    }


def _shown_inodes(memory: Memory, files: U64, inodes: U64) -> U64:
    """Return the inodes that /proc shows: of a mapping on overlayfs the overlay's, not the layer's.

    What is mapped there is a `backing_file` since 6.5 (def3ae83da02 "fs: store real path instead
    of fake path in backing file f_path"); before, the layer's inode is shown. The flag that says so
    has moved: what follows a file must also look like the path that it is then.
    """
    if not memory.has("backing_file", "user_path.dentry"):
        return inodes
    path = memory.gather(
        files,
        "backing_file",
        {"mode": "file.f_mode", "mnt": "user_path.mnt", "dentry": "user_path.dentry"},
    )
    mount = memory.gather(path["mnt"], "vfsmount", {"superblock": "mnt_sb"})
    shown = memory.gather(path["dentry"], "dentry", {"inode": "d_inode", "superblock": "d_sb"})
    alike = mount.ok & shown.ok & (mount["superblock"] == shown["superblock"])
    behind = path.ok & alike & (path["mode"] & _FMODE_BACKING != 0)
    result: U64 = np.where(behind, shown["inode"], inodes)
    return result


def _nameless(memory: Memory, dentries: U64) -> Mask:
    """Tell which names /proc would call deleted (fs/d_path.c, d_path() and simple_dname())."""
    read = memory.gather(
        dentries,
        "dentry",
        {"hashed": "d_hash.pprev", "parent": "d_parent", "superblock": "d_sb"},
    )
    block = memory.gather(read["superblock"], "super_block", {"magic": "s_magic", "root": "s_root"})
    typed = one_of(block["magic"], _NAMED_BY_TYPE) | (block["root"] == dentries)
    alone = (read["parent"] == dentries) & typed
    gone: Mask = read.ok & block.ok & (read["hashed"] == 0) & ~alone
    return gone


def dentry_names(memory: Memory, files: U64) -> npt.NDArray[np.object_]:
    """Return names (str) as /proc/PID/fd would show them; "" where the memory does not tell."""
    read = memory.gather(files, "file", {"mnt": "f_path.mnt", "dentry": "f_path.dentry"})
    found = paths(memory, of_vfs(memory, read["mnt"]), read["dentry"])
    block = memory.gather(read["dentry"], "dentry", {"superblock": "d_sb"})
    magic = memory.gather(block["superblock"], "super_block", {"magic": "s_magic"})
    placed = map(_in_place, found, np.where(magic.ok, magic["magic"], 0).tolist())
    names = [name if name.strip("/") else "" for name in placed]
    return np.where(read.ok, np.array(names, object), "")


def _in_place(name: str, magic: int) -> str:
    """Name a file by its superblock: one without a place is of a type, not in a directory."""
    if magic == _PIDFS_MAGIC:
        return "anon_inode:[pidfd]"  # fs/pidfs.c, pidfs_dname()
    return f"anon_inode:{name[1:]}" if magic == _ANON_INODE_MAGIC else name


def _state(memory: Memory, files: U64) -> Told:
    read = memory.gather(
        files,
        "file",
        {
            "inode": "f_inode",
            "mode": "f_mode",
            "flags": "f_flags",
            "mnt": "f_path.mnt",
            "dentry": "f_path.dentry",
        },
    )
    inode = memory.gather(
        read["inode"],
        "inode",
        {
            "mode": "i_mode",
            "size": "i_size",
            "links": "i_nlink",
            "device": "i_rdev",
            "sb": "i_sb",
            "locks": "i_flctx",
        },
    )
    block = memory.gather(inode["sb"], "super_block", {"id": "s_id"})
    ok, kinds = read.ok & inode.ok, inode["mode"].astype(np.int64) & _TYPE
    locks = np.where(ok, inode["locks"], np.uint64(0))
    sized = ok & (kinds == stat.S_IFREG)
    links = inode["links"].astype(np.int64)
    # What never had a name has lost none: memfds are on a mount of the kernel's own.
    gone = ok & one_of(kinds, _NAMED) & ((links == 0) | _nameless(memory, read["dentry"]))
    gone[gone] = ~internal(memory, of_vfs(memory, read["mnt"][gone]))
    modes, flags = read["mode"].tolist(), read["flags"].tolist()
    polled = _polled(memory, files).astype(np.int64)
    return {
        "links": Known(links, gone),
        "special": np.where(
            ok & one_of(kinds, (stat.S_IFCHR, stat.S_IFBLK)),
            texts(list(map(_special, kinds.tolist(), inode["device"].tolist()))),
            "",
        ),
        "open.mode": np.where(read.ok, texts([_mode(mode) for mode in modes]), ""),
        "open.flags": np.where(read.ok, texts([flag_words(value) for value in flags]), ""),
        "open.type": open_types(memory, files),
        "size": Known(inode["size"], sized),
        "space": Known(_space(memory, files, inode["size"]), sized),
        "source": np.where(block.ok, texts([plain(one) for one in block["id"].tolist()]), ""),
        "lock": of_files(memory, files, locks),
        "polled": Known(polled, polled != 0),
    }


def _polled(memory: Memory, files: U64) -> Mask:
    """Tell which files an epoll watches (fs/eventpoll.c)."""
    watched: Mask
    if memory.has("file", "f_ep"):  # 5.11
        read = memory.gather(files, "file", {"items": "f_ep"})
        watched = read.ok & (read["items"] != 0)
    else:
        read = memory.gather(files, "file", {"next": "f_ep_links.next"})
        head = files + np.uint64(memory.offset("file", "f_ep_links"))
        watched = read.ok & (read["next"] != head)
    return watched


def _space(memory: Memory, files: U64, sizes: npt.NDArray[Any]) -> I64:
    """Return what regular files take: of an overlay's, what the file of its layer does.

    What was written and has no blocks yet is in memory, and reserved (delayed allocation). Not all
    filesystems keep `i_blocks` (XFS does not): who has none takes the size, but for tmpfs.
    """
    read = memory.gather(files, "file", {"mapping": "f_mapping"})
    mapping = memory.gather(read["mapping"], "address_space", {"inode": "host", "pages": "nrpages"})
    inode = memory.gather(mapping["inode"], "inode", {"blocks": "i_blocks", "sb": "i_sb"})
    magic = memory.gather(inode["sb"], "super_block", {"magic": "s_magic"})["magic"]
    size = sizes.astype(np.int64)
    cached = np.minimum(mapping["pages"].astype(np.int64) * _PAGE, size)
    known = (inode["blocks"] != 0) | (magic == _TMPFS_MAGIC)
    blocks = np.maximum(inode["blocks"].astype(np.int64) * _BLOCK, cached)
    found: I64 = np.where(known, blocks, size)
    return found


def open_types(memory: Memory, files: U64) -> npt.NDArray[np.object_]:
    """Return what sort of thing each file is open on (str), as people call it; "" if unread.

    What has no place in a filesystem has the name that its maker gave it: eventfd, io_uring. The
    files of tmpfs that have none are memfds and segments of shared memory (mm/shmem.c,
    __shmem_file_setup()).
    """
    read = memory.gather(files, "file", {"dentry": "f_path.dentry", "inode": "f_inode"})
    entry = memory.gather(read["dentry"], "dentry", {"parent": "d_parent", "sb": "d_sb"})
    block = memory.gather(entry["sb"], "super_block", {"magic": "s_magic", "root": "s_root"})
    inode = memory.gather(read["inode"], "inode", {"mode": "i_mode"})
    magic = np.where(block.ok, block["magic"], 0).astype(np.int64)
    found = np.full(len(files), "", object)
    modes = inode["mode"].astype(np.int64) & _TYPE
    for mode in unique(modes[inode.ok]).tolist():
        found[inode.ok & (modes == mode)] = SORTS.get(mode, "")
    for number, word in _SORT_OF.items():
        found[magic == number] = word
    alone = entry.ok & block.ok & (entry["parent"] == read["dentry"])
    alone &= block["root"] != read["dentry"]
    at = np.flatnonzero(alone & one_of(magic, (_ANON_INODE_MAGIC, _TMPFS_MAGIC)))
    names = entry_names(memory, read["dentry"][at])
    found[at] = [
        _anonymous(name) if number == _ANON_INODE_MAGIC else _in_memory(name)
        for name, number in zip(names, magic[at].tolist(), strict=True)
    ]
    return found


def _anonymous(name: str) -> str:
    word = name.strip("[]")
    return {"eventpoll": "epoll", "bpf_link": "bpf-link"}.get(word, word.replace(" ", "-"))


def _in_memory(name: str) -> str:
    if name.startswith("memfd:"):
        return "memfd"
    return "shm" if name.startswith("SYSV") else "shared-memory"


def _special(kind: int, device: int) -> str:
    # The kernel's own dev_t: 20 bits of minor number (include/linux/kdev_t.h).
    how = "character" if kind == stat.S_IFCHR else "block"
    return f"{how} device {device >> _MINOR_BITS}:{device & ((1 << _MINOR_BITS) - 1)}"


def _mode(mode: int) -> str:
    return "path" if mode & _FMODE_PATH else _MODES[mode & 3]


def flag_words(flags: int) -> str:
    """Return flags of open(2) as words, but for the mode: "append,nonblock"."""
    return ",".join(word for word, bits in _FLAGS if flags & bits == bits)


_FACTS: Final = (
    Fact("open.mode", "text", "what an open file was opened for: read, write, both, path, none"),
    Fact("open.flags", "text", "with which flags of open(2), but for the mode"),
    Fact(
        "open.type", "text", "what it is open on: file, pipe, eventfd, ...", plain=True, aside=True
    ),
    Fact("size", "number", "size of a regular file", unit="bytes"),
    Fact("source", "text", "device, or type, of the filesystem that it is on", aside=True),
    Fact("lock", "text", "how it is locked: shared, exclusive", plain=True, aside=True),
    Fact("polled", "number", "1 if an epoll watches it", aside=True),
    Fact("space", "number", "what it takes of its filesystem, or of memory", "bytes", aside=True),
    Fact("links", "number", "other names of a file whose own name is gone", aside=True),
    Fact("special", "text", "device that is open: character or block, and major:minor", plain=True),
)

KIND: Final = Kind(
    name="FILE",
    struct="file",
    title="open file",
    plural="open files",
    message="file",
    order=80,
    rank=10,
    counters=(Counter("f_ref.refcnt.counter", bias=1), Counter("f_count.counter")),
    rules=ALL_RULES,
    walk=_walk,
    walk_associations=(OPENED, FILE_OWNER, ON),
    describe=_describe,
    file_types=(*FILE_TYPES, *PROC_TYPES, *NAMED_TYPES, EPOLL),
    state=State(_FACTS, _state),
    unseen="direct I/O in flight, a call that a closed descriptor still serves, a swap file, a "
    "driver or server in the kernel",
    path=True,
    observed=True,
)

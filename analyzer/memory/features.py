"""What a kernel cannot give: fields that some kernels do not have, and what is lost without them.

A field that only moved has all its places where it is read, newest kernel first. Here are the ones
that have no other place on some kernel from 5.10 on; code that reads them asks for them first. The
table is data: `cranalyze doctor` prints what is missing on the running kernel, and the tests hold
it against the kernels that they know.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from analyzer.core.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from analyzer.memory.fields import Layout


@dataclass(frozen=True)
class Feature:
    """Something that is read where all of `fields` ("struct:path", "struct:path|path") exist.

    `effect` says what is lost without one of them, `since` which kernels have it: a version, an
    option of the kernel's configuration, a machine. What belongs to a `module` is only lost where
    that is there.
    """

    name: str
    fields: tuple[str, ...]
    effect: str
    since: str
    module: str = ""

    @property
    def places(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Yield each field as its struct and the paths that it may have there."""
        for field in self.fields:
            struct, _, paths = field.partition(":")
            yield struct, tuple(paths.split("|"))


@dataclass(frozen=True)
class Missing:
    """A feature that this kernel lacks: what is lost, and which kernels have it."""

    name: str
    effect: str
    needs: str


FEATURES: Final = (
    Feature(
        "all-namespaces",
        ("ns_common:ns_list_node|ns_tree_node.ns_list_entry",),
        "a namespace that nothing leads to any more is not found, nor what it holds",
        "Linux 6.18",
    ),
    Feature(
        "unix-tables",
        ("net:unx.table.buckets",),
        "unix sockets without a descriptor are only found in the queues of others",
        "Linux 6.0",  # cf21b355ccb3 "af_unix: Optimise hash table layout" made it per namespace
    ),
    Feature(
        "io-workers",
        ("io_wq:acct", "io_wq:acct[0]", "io_wq:acct[1]", "io_wq_acct:work_list.first"),
        "files in requests that workers of io_uring do are unnamed",
        "Linux 6.4",
    ),
    Feature(
        "io-polled",
        ("io_ring_ctx:iopoll_list.first|iopoll_list.next", "io_kiocb:comp_list|iopoll_node"),
        "files in requests of an io_uring that polls its device are unnamed",
        "Linux 5.16",
    ),
    Feature(
        "system-calls",
        (
            "pt_regs:orig_ax", "pt_regs:ax", "pt_regs:cs", "pt_regs:di", "pt_regs:si", "pt_regs:dx",
            "task_struct:thread.sp", "task_struct:thread_info.status",
        ),
        "files that a system call in progress holds are unnamed",
        "x86-64",
    ),
    Feature(
        "borrowed-files",
        ("fd:word",),
        "files that a call on a shared descriptor table holds are unnamed, but for poll's",
        "Linux 6.12",  # 88a2f6468d01 "struct fd: representation change"
    ),
    Feature(
        "loop-devices",
        ("loop_device:lo_backing_file", "loop_device:lo_disk", "loop_device:lo_number"),
        "files that back a loop device are unnamed",
        "Linux 5.11, which describes modules too",
        module="loop",
    ),
    Feature(
        "overlay-directories",
        ("ovl_dir_file:realfile",),
        "files that an open directory of overlayfs holds are unnamed",
        "Linux 5.11, which describes modules too",
        module="overlay",
    ),
    Feature(
        "overlay-layers",
        ("ovl_fs:layers", "ovl_fs:numlayer", "ovl_layer:mnt"),
        "layers of an overlay that are used elsewhere too are not told",
        "Linux 5.11, which describes modules too",
        module="overlay",
    ),
    Feature(
        "autofs-pipes",
        ("autofs_sb_info:sb", "autofs_sb_info:pipe", "autofs_sb_info:oz_pgrp"),
        "the pipe by which an automount asks its daemon is unnamed",
        "Linux 5.11, which describes modules too",
        module="autofs4",
    ),
    Feature(
        "fuse-daemons",
        ("fuse_dev:fc|chan", "fuse_conn:mounts", "fuse_mount:fc_entry", "fuse_mount:sb"),
        "which filesystem a descriptor of /dev/fuse serves is not told",
        "Linux 5.11, which describes modules too",
        module="fuse",
    ),
    Feature(
        "tun-interfaces",
        ("tun_file:tun", "tun_struct:dev"),
        "the interface of a tun device is not told",
        "Linux 5.11, which describes modules too",
        module="tun",
    ),
    Feature(
        "vsock-addresses",
        (
            "vsock_sock:local_addr.svm_cid", "vsock_sock:local_addr.svm_port",
            "vsock_sock:remote_addr.svm_cid", "vsock_sock:remote_addr.svm_port",
        ),
        "the addresses of vsock sockets are not told",
        "Linux 5.11, which describes modules too",
        module="vsock",
    ),
    Feature(
        "kvm-eventfds",
        (
            "kvm:irqfds.items", "kvm:ioeventfds", "kvm_kernel_irqfd:eventfd",
            "kvm_kernel_irqfd:list", "_ioeventfd:eventfd", "_ioeventfd:list",
        ),
        "which eventfds a virtual machine uses is not told",
        "CONFIG_KVM, and Linux 5.11, which describes modules too",
        module="kvm",
    ),
    Feature(
        "binary-formats",
        (
            "user_namespace:binfmt_misc", "binfmt_misc:entries",
            "Node:interp_file", "Node:list", "Node:name",
        ),
        "interpreters that binfmt_misc holds (flag F) are unnamed",
        "Linux 6.7",  # 21ca59b365c0 "binfmt_misc: enable sandboxed mounts"
        module="binfmt_misc",
    ),
    Feature(
        "idle-tasks",
        ("task_struct:se.cfs_rq", "cfs_rq:rq", "rq:idle"),
        "what the idle tasks hold of the initial namespaces is unnamed",
        "CONFIG_FAIR_GROUP_SCHED",
    ),
)  # fmt: skip


def module_is_there(name: str) -> bool:
    """Tell whether a module is loaded, or built in."""
    return os.path.exists(f"/sys/module/{name}")


def missing(
    layout: Layout, present: Callable[[str], bool] = module_is_there
) -> tuple[Missing, ...]:
    """Return the features that the kernel described by `layout` lacks, most important first.

    `present` tells which modules are there.
    """
    return tuple(
        Missing(feature.name, feature.effect, feature.since)
        for feature in FEATURES
        if (not feature.module or present(feature.module))
        and not all(layout.first(*place) for place in feature.places)
    )

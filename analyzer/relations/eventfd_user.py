"""eventfd-user: a virtual machine, or a request under way, that rings an eventfd of the other side.

KVM raises an interrupt in its guest when an eventfd is written (KVM_IRQFD), and writes one when its
guest touches an address (KVM_IOEVENTFD); an asynchronous request can write one when it is done
(IOCB_FLAG_RESFD). Each keeps the counter by a reference to that (`eventfd_ctx`), not to the open
file, which who asked for it may have closed: what others do with the file reaches the guest then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from analyzer.core.model import Impact
from analyzer.memory.distinct import find
from analyzer.memory.walk import rings
from analyzer.relations._anonymous import EVENTFD, KVM_VM, anonymous, data_of
from analyzer.relations.base import Related, Relation, words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analyzer.kinds.base import I64, U64
    from analyzer.memory.reader import Memory
    from analyzer.relations.base import World


def _find(world: World) -> Iterator[Related]:
    opened = world.once(anonymous).get(EVENTFD)
    if opened is None:
        return
    memory, contexts = world.memory, world.all("AIO")
    machines = world.once(anonymous).get(KVM_VM, opened[:0])
    if not (len(contexts) or len(machines)):
        return
    users = [("AIO", "request", contexts, *_of_requests(memory, contexts))]
    if memory.has("kvm_kernel_irqfd", "list"):  # of a module, which may not be loaded
        kvm = data_of(world, machines)
        users.append(("FILE", "interrupts the guest", machines, *_interrupts(memory, kvm)))
        users.append(("FILE", "rung by the guest", machines, *_doorbells(memory, kvm)))
    counter = data_of(world, opened)
    order = np.argsort(counter, kind="stable")
    for kind, role, user, owner, rung in users:
        place, known = find(counter, rung, sorter=order)
        known &= rung != 0
        at = owner[known]
        yield Related(kind, user[at], "FILE", opened[place[known]], role=words(len(at), role))


def _of_requests(memory: Memory, contexts: U64) -> tuple[I64, U64]:
    """Return which context's requests ring which counters."""
    listed = rings(memory, contexts + np.uint64(memory.offset("kioctx", "active_reqs")))
    request = listed.value - np.uint64(memory.offset("aio_kiocb", "ki_list"))
    read = memory.gather(request, "aio_kiocb", {"counter": "ki_eventfd"})
    return listed.owner[read.ok], read["counter"][read.ok]


def _interrupts(memory: Memory, machines: U64) -> tuple[I64, U64]:
    listed = rings(memory, machines + np.uint64(memory.offset("kvm", "irqfds.items")))
    entry = listed.value - np.uint64(memory.offset("kvm_kernel_irqfd", "list"))
    read = memory.gather(entry, "kvm_kernel_irqfd", {"counter": "eventfd"})
    return listed.owner[read.ok], read["counter"][read.ok]


def _doorbells(memory: Memory, machines: U64) -> tuple[I64, U64]:
    listed = rings(memory, machines + np.uint64(memory.offset("kvm", "ioeventfds")))
    entry = listed.value - np.uint64(memory.offset("_ioeventfd", "list"))
    read = memory.gather(entry, "_ioeventfd", {"counter": "eventfd"})
    return listed.owner[read.ok], read["counter"][read.ok]


RELATION: Final = Relation(
    name="eventfd-user",
    title="uses an eventfd of the other side",
    plural="use eventfds of the other side",
    back="used by the other side as an eventfd of its own",
    left="uses its counter",
    right="is rung, or rings",
    impact=Impact.LOST,
    next="end the virtual machine, or wait for the request, before a checkpoint",
    kernel=_find,
    unseen="interrupts of VFIO devices",
)

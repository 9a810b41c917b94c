"""eth0, tap7, br0: a network interface: who has it, where its other end is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from analyzer.core.pattern import pattern
from analyzer.lookup.words.base import Form, Meaning, Word, joined, named, stated
from analyzer.lookup.words.bpf import opened
from analyzer.procfs import bpfobj, interfaces
from analyzer.relations import leading_to

if TYPE_CHECKING:
    from collections.abc import Iterator


_NAME: Final = pattern(r"(?:iface:)?([^/:\s\0]{1,15})")  # dev_valid_name(), net/core/dev.c


def _parse(asked: str) -> Iterator[Meaning]:
    match = _NAME.fullmatch(asked)
    if match is None or not (asked.startswith("iface:") or interfaces.here(match[1])):
        return
    name, here = match[1], interfaces.here(match[1])
    known = bpfobj.all_objects() if here else bpfobj.Objects()
    programs = tuple(bpfobj.on_interface(known, name))
    yield Meaning(
        "network interface",
        joined(
            stated("tun.interface", lambda own: own == name),
            named(("NETDEV",), (name,)),
            *(opened("link", link) for link in bpfobj.links_on(known, name)),
        ),
        lambda: (programs, ()),
        there=here,
        state=("tun.interface", "bpf.id"),
        notes=partial(interfaces.notes, name),
        ties=leading_to("NETDEV"),
        remedy=interfaces.removal(name) if here else "",
    )


def _recorded(asked: str) -> Iterator[Meaning]:
    match = _NAME.fullmatch(asked)
    if match is not None and not match[1].isdecimal():
        name = match[1]
        tun = stated("tun.interface", lambda own: own == name)
        yield Meaning("network interface", joined(tun, named(("NETDEV",), (name,))))


WORD: Final = Word(
    "interface",
    "Network interfaces",
    (
        Form("INTERFACE", "a network interface of ours: the other end of a veth, a tap's holder"),
        Form("iface:NAME", "one of any network namespace"),
    ),
    _parse,
    recorded=_recorded,
)

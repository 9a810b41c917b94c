"""Network interfaces of our own network namespace, as /sys/class/net tells of them."""

from __future__ import annotations

import os
from typing import Final

from analyzer.procfs.places import quoted

_SYS: Final = "/sys/class/net"
_TUN_TAP: Final = 0x2  # IFF_TAP, include/uapi/linux/if_tun.h


def here(name: str) -> bool:
    """Tell whether our network namespace has an interface of this name."""
    return name not in {".", ".."} and os.path.exists(f"{_SYS}/{name}/ifindex")


def notes(name: str) -> tuple[str, ...]:
    """Return what kind of interface it is, and to which it belongs."""
    folder = f"{_SYS}/{name}"
    if not here(name):
        return ()
    found = []
    kind = _said(f"{folder}/uevent", "DEVTYPE=")
    if os.path.exists(f"{folder}/tun_flags"):
        flags = int(_text(f"{folder}/tun_flags") or "0", 16)
        kind = "tap" if flags & _TUN_TAP else "tun"
    if kind:
        found.append(f"is a {kind}")
    try:
        master = os.path.basename(os.readlink(f"{folder}/master"))
        found.append(f"belongs to {master}")
    except OSError:
        master = ""
    ports = _listed(f"{folder}/brif")
    found += [f"has the ports {', '.join(ports)}"] if ports else []
    linked = _listed(folder)
    above = [one.removeprefix("upper_") for one in linked if one.startswith("upper_")]
    found += [f"{one} is on top of it" for one in above if one != master]
    below = [one.removeprefix("lower_") for one in linked if one.startswith("lower_")]
    found += [f"is on top of {one}" for one in below if one not in ports]
    return tuple(found)


def removal(name: str) -> str:
    """Return what removes an interface that is made by software, "" for hardware and loopback."""
    virtual = os.path.realpath(f"{_SYS}/{name}").startswith("/sys/devices/virtual/net/")
    return f"ip link del {quoted(name)}" if virtual and name != "lo" else ""


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _said(path: str, key: str) -> str:
    lines = _text(path).splitlines()
    return next((line[len(key) :] for line in lines if line.startswith(key)), "")


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return os.fsdecode(file.read())
    except OSError:
        return ""

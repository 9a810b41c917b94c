"""pod:NAME, pod:UID: all containers of a pod, as one subject.

Kubernetes names the cgroups of its pods after their UIDs, podman after ids: names are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from analyzer.core.errors import BadInputError
from analyzer.core.text import printable
from analyzer.procfs.homes import short
from analyzer.subjects.base import Family, Form, Subject, containers, listed
from analyzer.subjects.commands import ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from analyzer.subjects.base import Container, Machine

_SHORTEST: Final = 3
_UID: Final = "{{.status.metadata.uid}}"


def _find(name: str, machine: Machine) -> Iterable[Subject]:
    every = containers(machine)
    uids = sorted({one.pod for one in every if one.pod})
    meant = [uid for uid in uids if uid == name]
    if not meant and len(name) >= _SHORTEST:
        meant = [uid for uid in uids if uid.startswith(name)]
    if meant:
        return [_pod(uid, [one for one in every if one.pod == uid]) for uid in meant]
    if machine.live:
        found, reasons = _named(name, every)
        if found:
            return found
    else:
        reasons = ["names are not kept: say its UID"]
    pods = f"; pods here: {listed([short(uid) for uid in uids])}" if uids else ""
    why = f" ({'; '.join(reasons)})" if reasons else ""
    raise BadInputError(f"pod:{printable(name)}: no such pod that runs{why}{pods}")


def _pod(name: str, parts: Sequence[Container]) -> Subject:
    ids = {part.id: part for part in parts}
    return Subject(
        f"pod {short(name)} of {len(ids)} {'container' if len(ids) == 1 else 'containers'}",
        tuple(part.processes[0].pid for part in parts),
        parts[0].runtime,
        parts[0].pod or name,
        name,
    )


def _named(name: str, every: Sequence[Container]) -> tuple[list[Subject], list[str]]:
    found, reasons = [], []
    # The filter is a regular expression: all are asked for.
    said = ask(["podman", "ps", "--pod", "--no-trunc", "--format", "{{.ID}}\t{{.PodName}}"])
    wanted = {fields[0] for fields in said.lines if fields[1:] == [name]}
    parts = [one for one in every if one.id in wanted]
    if parts:
        found.append(_pod(name, parts))
    elif said.there and said.reason:
        reasons.append(said.reason)
    said = ask(["crictl", "pods", "--quiet", "--label", f"io.kubernetes.pod.name={name}"])
    for sandbox in said.text.split():
        form = ["--output", "go-template", "--template", _UID, "--", sandbox]
        uid = ask(["crictl", "inspectp", *form]).text.strip()
        parts = [one for one in every if one.pod == uid and uid]
        if parts:
            found.append(_pod(name, parts))
    if said.there and said.reason:
        reasons.append(said.reason)
    return found, reasons


FAMILY: Final = Family(
    "pod",
    "Containers",
    (Form("pod:NAME", "all containers of a pod; pod:UID too"),),
    _find,
    tools=("podman", "crictl"),
)

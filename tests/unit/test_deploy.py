"""What is in deploy/: units, manifests and the recipe of an image are what they are said to be."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from tests.unit.test_cli import run

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
MANIFESTS: Final = ("check.yaml", "collect.yaml")
READING: Final = {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE"}
"""What README asks for who reads the kernel's memory."""


def manifest(name: str) -> Any:  # noqa: ANN401 - YAML
    yaml: Any = pytest.importorskip("yaml")
    return yaml.safe_load((DEPLOY / "kubernetes" / name).read_text())


def unit(name: str) -> ConfigParser:
    parsed = ConfigParser(interpolation=None, delimiters="=")
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string((DEPLOY / "systemd" / name).read_text())
    return parsed


def faults(document: object) -> list[str]:
    """What is wrong with a manifest by the definition of Kubernetes' API, as a path and a reason.

    tests/data/kubernetes.json is that (scripts/kubernetes_schema.py).
    """
    schema = json.loads((DEPLOY.parent / "tests" / "data" / "kubernetes.json").read_text())
    found = Draft202012Validator(schema).iter_errors(document)
    return [f"{one.json_path}: {one.message}" for error in found for one in _deepest(error)]


def _deepest(error: Any) -> list[Any]:  # noqa: ANN401 - jsonschema has no types
    """Of a document that is of no kind, what is wrong with it as each."""
    return [one for below in error.context for one in _deepest(below)] or [error]


def understood(words: list[str]) -> bool:
    """Tell whether the program takes a line: help, which comes first, is not reached if not."""
    return run(*words, "--help").returncode == 0


def test_the_unit_has_the_privileges_that_a_reading_needs_and_no_more() -> None:
    service = unit("cranalyze-collect.service")["Service"]
    assert set(service["CapabilityBoundingSet"].split()) == READING
    program, *words = service["ExecStart"].split()
    assert program == "/usr/local/bin/cranalyze"
    assert understood(words)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    names = [f"cranalyze-collect.{kind}" for kind in ("service", "timer")]
    for name in names:
        text = (DEPLOY / "systemd" / name).read_text()
        (tmp_path / name).write_text(text.replace("/usr/local/bin/cranalyze", "/bin/true"))
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "cranalyze" not in ran.stderr, ran.stderr


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_what_kubernetes_defines(name: str) -> None:
    assert faults(manifest(name)) == []


@pytest.mark.parametrize(
    ("name", "where", "value", "why"),
    [
        ("collect.yaml", "spec.template.spec.hostPid", True, "'hostPid' was unexpected"),
        ("collect.yaml", "spec.template.spec.containers", None, "'containers' is a required"),
        ("collect.yaml", "spec.template.spec.hostPID", "yes", "'yes' is not of type 'boolean'"),
        ("check.yaml", "spec.schedule", 5, "5 is not of type 'string'"),
        ("check.yaml", "kind", "Cronjob", "was expected"),
    ],
)
def test_a_wrong_manifest_is_seen(name: str, where: str, value: object, why: str) -> None:
    document = manifest(name)
    *folders, last = where.split(".")
    place = document
    for folder in folders:
        place = place[folder]
    place[last] = value
    if value is None:
        del place[last]
    assert any(why in fault for fault in faults(document)), faults(document)


def test_the_pod_on_every_node_has_the_same_privileges_and_no_files_of_it() -> None:
    spec = manifest("collect.yaml")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    secure = container["securityContext"]
    assert spec["hostPID"] is True
    assert {f"CAP_{name}" for name in secure["capabilities"]["add"]} == READING
    assert secure["capabilities"]["drop"] == ["ALL"]
    assert secure["readOnlyRootFilesystem"] is True
    assert secure["allowPrivilegeEscalation"] is False
    assert not any("hostPath" in volume for volume in spec["volumes"])
    (line,) = container["args"]
    found = re.search(r"cranalyze ([^;]*);", line)
    assert found is not None
    assert understood(found[1].split())


def test_all_manifests_are_looked_at() -> None:
    assert {path.name for path in (DEPLOY / "kubernetes").iterdir()} == {*MANIFESTS}


def test_the_pod_that_checks_has_no_privileges() -> None:
    spec = manifest("check.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostPID", "hostNetwork", "hostIPC"} & set(spec)
    assert understood(container["args"])
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in spec["volumes"]}


def test_the_image_installs_what_a_fleet_needs() -> None:
    lines = (DEPLOY / "Containerfile").read_text().splitlines()
    assert any("/src[fleet]" in line for line in lines)
    assert 'ENTRYPOINT ["cranalyze"]' in lines
    steps = {line.split()[0] for line in lines if line and not line.startswith("#")}
    assert steps <= {"FROM", "COPY", "RUN", "ENV", "WORKDIR", "ENTRYPOINT", "CMD"}

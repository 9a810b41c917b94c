"""The house: what is shipped, what is pinned, and what the Makefile says of itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from analyzer.core import extras
from tests.each import each

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "locks").glob("*.txt"))
REQUIREMENT = re.compile(r"(?m)^([a-z0-9-]+)==([^ ]+)")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (built,) = out.glob("*.whl")
    return built


def runtime(project: dict[str, Any]) -> list[str]:
    return [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["all"],
    ]


def pins(lock: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in REQUIREMENT.findall(lock.read_text()):
        found.setdefault(name, set()).add(version)
    return found


def test_the_wheel_is_for_every_machine_and_holds_only_the_package(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    data, metadata = sorted({name.split("/")[0] for name in names} - {"analyzer", "cranalyze.py"})
    assert metadata.endswith(".dist-info")
    assert [name for name in names if name.startswith(data)] == [
        f"{data}/data/share/man/man1/cranalyze.1"
    ]


def test_the_wheel_has_every_module_the_types_and_the_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "analyzer").rglob("*.py")} <= names
    assert "analyzer/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_has_the_page_and_the_licence_of_what_is_in_it(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = {str(p.relative_to(ROOT)) for p in (ROOT / "analyzer/assets").iterdir() if p.is_file()}
    assert assets <= names
    assert any(name.endswith("/licenses/analyzer/assets/cytoscape.LICENSE") for name in names)


def test_versions_agree(wheel: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import analyzer; print(analyzer.__version__)"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    version = ran.stdout.strip()
    assert wheel.name.split("-")[1] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_all_with_hashes(lock: Path) -> None:
    entries = [line for line in lock.read_text().split("\n") if line and line[0].isalnum()]
    assert entries
    assert each(REQUIREMENT.match(entry) for entry in entries)
    blocks = re.split(r"(?m)^(?=[a-z0-9])", lock.read_text())[1:]
    assert each("--hash=sha256:" in block for block in blocks)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_tells_nothing_of_where_it_was_made(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"(?m)^\s*-", re.sub(r"(?m)^\s+--hash=", "", text))


def test_the_locks_cover_what_the_project_declares(project: dict[str, Any]) -> None:
    groups = project["dependency-groups"]
    declared = [*runtime(project), *groups["build"], *groups["test"]]
    names = {re.split(r"[><=]", item)[0] for item in declared if isinstance(item, str)}
    for lock in LOCKS:
        assert names <= set(pins(lock)), lock.name


def test_the_core_is_small_and_all_is_every_part_of_the_rest(project: dict[str, Any]) -> None:
    extra = project["project"]["optional-dependencies"]
    named = {re.split(r"[><=]", item)[0] for item in project["project"]["dependencies"]}
    assert named == {"numpy", "typer"}
    parts = [item for name in ("files", "graph", "plot", "frames") for item in extra[name]]
    assert set(extra["all"]) == set(parts)
    assert {item.split(">=")[0] for item in extra["all"]} == set(extras.GIVES)
    assert "cranalyze[all]" in extra["notebook"]


def test_the_lowest_lock_is_exactly_the_declared_floors(project: dict[str, Any]) -> None:
    lowest = pins(ROOT / "locks" / "lowest.txt")
    for item in runtime(project):
        name, floor = item.partition(",")[0].split(">=")
        (pinned,) = lowest[name]
        assert pinned in {floor, f"{floor}.0"}, name


def test_every_make_target_has_a_help_text() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"(?m)^([a-z][a-z-]*):", text))
    ran = subprocess.run(
        ["make", "--no-print-directory", "help"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert {"demo", "test", "lint", "bench", "live"} <= targets
    assert {line.split()[1] for line in ran.stdout.splitlines()} == targets
    (phony,) = re.findall(r"(?m)^\.PHONY: (.*)", text)
    assert set(phony.split()) == targets


def test_every_lint_exception_has_its_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    lists = re.findall(r'(?ms)^(?:ignore|"[^"\n]+") = \[\n(.*?)^\]', text)
    rules = [line for block in lists for line in block.splitlines()]
    assert rules
    assert [line for line in rules if not re.search(r'^    "[A-Z]+\d*",\s+# \S', line)] == []

"""The page without a browser: what is on it, and that it is whole and no name breaks out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.check.leaks import check
from analyzer.core.text import printable
from analyzer.report.make import make, whole
from analyzer.report.value import ReportOptions
from analyzer.scene.scene import MOST_DRAWN, parts, scene
from analyzer.writers import page, page_table, svg
from analyzer.writers.page_data import document, dumps
from analyzer.writers.terminal import headline, next_step
from tests.build import Machine
from tests.unit.test_cli import run
from tests.unit.test_report_terminal import contained, leaking, reported, unprivileged

if TYPE_CHECKING:
    from analyzer.report.value import Report

GOLDEN: Final = Path(__file__).parents[1] / "golden"
ASSETS: Final = files("analyzer") / "assets"
NASTY: Final = (
    "</script><script>alert(1)</script>", "<!-- <script>", "]]><!--", "a\u2028b\u2029c",
    "\u202egpj.exe\u202c", "bad\udcff\udcfebytes", "q\"'`&amp;<b>x</b>", "\x1b[2J\x07\x9b31m",
    f"/{'n' * 4094}", "<img src=x onerror=alert(1)>", "$title ${data}", "\\u003c\\",
)  # fmt: skip


class Page(HTMLParser):
    """A page taken apart: its elements, its text, what is in its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.raw: list[tuple[str, str | None, str]] = []  # element, type, content
        self._inside: tuple[str, str | None] | None = None
        self.feed(text)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in {"script", "style"}:
            self._inside = tag, dict(attrs).get("type")

    def handle_endtag(self, tag: str) -> None:
        if self._inside and tag == self._inside[0]:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.raw.append((*self._inside, data))
        else:
            self.words.append(data)

    def attribute(self, tag: str, name: str) -> list[str]:
        return [value for *where, value in self.attributes if where == [tag, name]]

    @property
    def data(self) -> Any:  # noqa: ANN401 - JSON
        (text,) = [content for _, kind, content in self.raw if kind == "application/json"]
        assert not set("<>&\u2028\u2029") & set(text)
        return json.loads(text)


def named(names: tuple[str, ...], comm: str = "app") -> Machine:
    """Return a machine with a leaked file of each name."""
    made = Machine()
    made.task(77, 1, comm=comm)
    made.task(100, 77, comm=comm)
    tables = [made.object("FILE_TABLE", 1, holders=[(task, "files")]) for task in (100, 77)]
    for number, name in enumerate(names):
        holders = [(table, "fd", number) for table in tables]
        made.object("FILE", 2, name=name, ino=1000 + number, dev=0x801, holders=holders)
    made.gap(f"pid {comm}", "open", 13, names[0])
    return made


def many(count: int, shells: int = 1) -> Machine:
    """Return a machine with `count` leaked files, each held by one of some processes outside."""
    made = Machine()
    made.task(100, 1, nspid=1)
    inside = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    outside = []
    for number in range(shells):
        made.task(1000 + number, 1)
        outside.append(made.object("FILE_TABLE", 1, holders=[(1000 + number, "files")]))
    for number in range(count):
        held = [(inside, "fd", number), (outside[number % shells], "fd", number // shells)]
        made.object("FILE", 2, name=f"/srv/{number}", holders=held)
    return made


def rendered(report: Report) -> Page:
    return Page(page.render(report))


# --- what is on it


@pytest.mark.parametrize("made", [leaking(), contained(), unprivileged(), Machine()])
def test_it_says_what_the_terminal_says(made: Machine) -> None:
    if not made.rows["tasks"]:
        made.task(100, 1, nspid=1)
    report = reported(made)
    shown = rendered(report)
    assert headline(report) in shown.text
    assert next_step(whole(report)).partition(";")[0].rstrip(".") + "." in shown.text
    assert "--all" not in shown.text
    numbers = {**vars(report.summary), "crossings": sum(report.summary.crossings.values())}
    for count in numbers.values():
        assert str(count) in shown.words


def test_every_object_has_a_row_and_its_holders_also_what_is_contained() -> None:
    report = whole(reported(leaking()))
    shown = rendered(reported(leaking()))
    keys = [f"{entry.kind}:{entry.objref}" for entry in report.objects]
    rows = shown.attribute("tr", "data-key")
    assert sorted(rows) == sorted(keys)
    assert shown.attribute("details", "id")[: len(keys)] == [k.replace(":", "-") for k in rows]
    assert shown.attribute("tr", "data-verdict").count("contained") == report.summary.contained > 0
    assert {f"#{key.replace(':', '-')}" for key in keys} <= {*shown.attribute("a", "href")}
    assert "app (100, 2 threads) and worker (101): fd 5" in shown.text
    assert "1 user inside, refcount 4: 1 held from outside, 2 references the kernel" in shown.text
    assert "42 processes of other users readlink Permission denied" in shown.text
    for entry in report.objects:
        for line in (entry.message or "").splitlines():
            assert printable(line) in shown.text


def test_rows_are_worst_first_and_what_goes_with_a_fork_comes_later() -> None:
    shown = rendered(reported(leaking()))
    names = [name for name in shown.words if name.startswith("/")]
    assert names[0].startswith("/var/log/")
    assert names.index("/dev/pts/0") < names.index("/usr/lib/lib0.so.1")
    worst = ["usage_leak", "overcount", "unstable", "unknown", "contained"]
    order = [worst.index(verdict) for verdict in shown.attribute("tr", "data-verdict")]
    assert order == sorted(order)


def test_facts_findings_and_doubts_are_on_it() -> None:
    text = rendered(reported(leaking())).text
    assert "Not container init pid 100 is not the init" in text
    assert "boot 00000000-0000-4000-8000-000000000000" in text
    assert "read from the kernel's memory" in text
    text = rendered(reported(unprivileged(), procfs=True)).text
    assert "What could not be seen" in text
    assert "no refcounts: " in text
    assert "read from /proc, without reference counts" in text


def test_a_dump_begins_with_what_it_has_and_names_who_may_hold() -> None:
    made = Machine()
    own, other = (
        made.object("MM", None, holders=[(made.task(pid, parent), "mm")])
        for pid, parent in ((100, 77), (77, 1))
    )
    for thing in (own, other):
        made.relation(
            "alike", thing, other, left_role="like", detail="its memory is laid out alike"
        )
    inventory = {"processes": 2, "files": {"stat": 2}, "uid": 0}
    source = {"name": "replay", "capabilities": {}, "notes": [], "inventory": inventory}
    snapshot = made.snapshot(pid=100, source=source)
    shown = rendered(make(snapshot, check(snapshot), ReportOptions("check", gate=True)))
    assert "2 processes; stat 2" in shown.text
    assert shown.text.index("2 processes; stat 2") < shown.text.index("judged")
    assert "unknown (possible)" in shown.text
    assert shown.text.count("perhaps task77 (77): runs in it") == 2  # in its row and its details


def test_what_is_unknown_is_not_shown_as_a_number() -> None:
    shown = rendered(reported(unprivileged(), procfs=True))
    assert shown.words.count("?") == 2 * len(shown.attribute("tr", "data-key"))


def test_what_is_judged_by_its_holders_has_no_rest_of_a_count() -> None:
    made = Machine()
    made.task(77, 1)
    made.task(100, 77)
    shared = made.object("NET_NS", 7, initial=True)
    for task in (77, 100):
        own = made.object("NSPROXY", 1, holders=[(task, "nsproxy")])
        made.reference(shared, own, "nsproxy.net")
    text = page.render(reported(made))
    (row,) = re.findall(r'<tr data-key="NET_NS.*?</tr>', text)
    assert 'title="judged by its holders, not by its count">&ndash;</td>' in row
    assert text.count("&ndash;") == 1


def test_more_objects_than_fit_are_cut_and_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (page, page_table):
        monkeypatch.setattr(module, "MOST_ROWS", 50)
    shown = rendered(reported(many(57)))
    assert len(shown.attribute("tr", "data-key")) == 50
    assert "50 of 58 objects are listed, the worst first; left out: " in shown.text
    assert shown.data["total"] == 58
    assert len(shown.data["objects"]) == 50


def test_a_report_that_was_narrowed_shows_only_what_is_left() -> None:
    report = whole(reported(leaking()))
    shown = rendered(type(report)(**{**vars(report), "objects": report.objects[:2]}))
    assert len(shown.attribute("tr", "data-key")) == 2


def test_equal_reports_give_equal_bytes_in_every_process() -> None:
    code = (
        "from analyzer.writers import page; import hashlib;"
        "from tests.unit.test_report_terminal import leaking, reported;"
        "print(hashlib.sha256(page.render(reported(leaking())).encode()).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77"}
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=root, check=True, capture_output=True, text=True
    )
    own = hashlib.sha256(page.render(reported(leaking())).encode()).hexdigest()
    assert ran.stdout.strip() == own


# --- it is whole, and runs only what is in it


def test_the_policy_allows_what_is_in_it_and_nothing_else() -> None:
    shown = rendered(reported(leaking()))
    (policy,) = [
        value
        for tag, name, value in shown.attributes
        if (tag, name) == ("meta", "content") and value.startswith("default-src")
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    for element in ("script", "style"):
        contents = [c for e, kind, c in shown.raw if e == element and kind != "application/json"]
        hashes = [
            base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
            for content in contents
        ]
        assert sorted(rules[f"{element}-src"].split()) == sorted(f"'sha256-{h}'" for h in hashes)


def test_nothing_leads_out_of_it() -> None:
    shown = rendered(reported(leaking()))
    loads = {"src", "srcset", "href", "action", "data", "poster", "background", "formaction"}
    assert all(v.startswith("#") for _, name, v in shown.attributes if name in loads)
    assert not {name for _, name, _ in shown.attributes if name.startswith("on")}
    assert not [1 for _, name, _ in shown.attributes if name == "style"]
    assert not shown.tags.keys() & {"link", "iframe", "object", "embed", "base", "img"}
    assert "url(" not in (ASSETS / "page.css").read_text()
    assert "@import" not in (ASSETS / "page.css").read_text()


def test_its_script_makes_no_html_and_no_code_of_data() -> None:
    script = (ASSETS / "page.js").read_text()
    forbidden = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|eval\(|"
        r"Function\(|setHTML|DOMParser|srcdoc|fetch\(|XMLHttpRequest|WebSocket|import\(|localStorage"
    )
    assert re.findall(forbidden, script) == []


def test_the_vendored_library_is_the_one_that_was_vetted() -> None:
    listed = [
        line.split("  ")
        for line in (ASSETS / "CHECKSUMS").read_text().splitlines()
        if not line.startswith("#")
    ]
    assert sorted(name for _, name in listed) == ["cytoscape.LICENSE", "cytoscape.min.js"]
    for digest, name in listed:
        assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == digest
    (version,) = re.findall(
        r"cytoscape\.js (3\.\d+\.\d+) \(MIT\)", (ASSETS / "CHECKSUMS").read_text()
    )
    assert f'"{version}"' in (ASSETS / "cytoscape.min.js").read_text("utf-8")
    assert "Permission is hereby granted" in (ASSETS / "cytoscape.LICENSE").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("text", ["ink", "soft", "accent"])
@pytest.mark.parametrize("ground", ["paper", "ground", "tint"])
def test_text_can_be_read(scheme: str, text: str, ground: str) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 at least."""
    light, dark = re.findall(r":root\{(--ink[^}]*)\}", (ASSETS / "page.css").read_text())[:2]
    colours = dict(re.findall(r"--(\w+):(#[0-9a-f]+)", light if scheme == "light" else dark))
    high, low = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb, as WCAG defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


# --- names


def test_no_name_breaks_out_and_every_name_is_shown_as_it_is() -> None:
    plain = rendered(reported(named(tuple(f"/{n}" for n in range(len(NASTY))))))
    text = page.render(reported(named(NASTY, NASTY[0])))
    text.encode("utf-8")
    shown = Page(text)
    # A long name is also told in full, in an element of its own.
    assert shown.tags - Counter({"dd": 1, "dt": 1}) == plain.tags
    assert len(shown.data["nodes"]) == len(plain.data["nodes"])
    for name in NASTY:
        assert " ".join(printable(name).split()) in shown.text
    visible = "".join(shown.words).replace("\n", "")
    assert visible.isprintable()


@pytest.mark.parametrize("name", NASTY)
def test_nothing_that_a_snapshot_says_of_its_collection_breaks_out(name: str) -> None:
    pages = []
    for said in ("x", name):
        made = named((said,), said)
        made.gap(said, said, -1, said)
        words = dict.fromkeys(("kernel", "host", "boot_id", "collected_at", "tool_version"), said)
        source = {"name": said, "notes": [said]}
        snapshot = made.snapshot(100, **words, source=source)
        pages.append(Page(page.render(make(snapshot, check(snapshot), ReportOptions("check")))))
    plain, shown = pages
    told = Counter({"dd": 1, "dt": 1}) if len(name) > 1000 else Counter[str]()
    assert shown.tags - told == plain.tags
    assert " ".join(printable(name).split()) in shown.text
    assert "".join(shown.words).replace("\n", "").isprintable()


@given(st.text(min_size=1, max_size=10) | st.binary(min_size=1, max_size=20).map(os.fsdecode))
def test_no_name_at_all_adds_an_element(name: str) -> None:
    shown = rendered(reported(named((name,), name)))
    assert shown.tags == PLAIN.tags
    assert [each[:2] for each in shown.attributes] == [each[:2] for each in PLAIN.attributes]
    assert [len(part) for part in shown.data["nodes"]] == [len(p) for p in PLAIN.data["nodes"]]


PLAIN: Final = rendered(reported(named(("x",), "x")))


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
def test_data_comes_back_as_it_was(value: object) -> None:
    text = dumps(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


# --- the graph's data


@pytest.mark.parametrize("made", [leaking(), contained(), many(30, 6), many(50, 1)])
def test_what_is_folded_can_be_unfolded_to_the_last_link(made: Machine) -> None:
    report = whole(reported(made))
    drawn = scene(report)
    data = document(drawn, parts(report), report.objects)
    keys = [node[0] for node in data["nodes"]]
    folded = {key: row for row, members in data["folds"] for key, *_ in members}
    home = {key: row for row, key in enumerate(keys)} | folded
    assert sorted(data["objects"]) == sorted(f"{e.kind}:{e.objref}" for e in report.objects)
    for key, (node, holders) in data["objects"].items():
        assert home[key] == node
        ends = {(source, target) for source, target, *_ in data["edges"]}
        assert all((holder, node) in ends for holder in holders)
    weights: Counter[tuple[int, int, str]] = Counter()
    for holder, target, side, _, weight, _ in data["links"]:
        weights[home[holder], home[target], side] += weight
    opens = {row for row, _ in data["folds"]}
    edges = {(s, t, side): weight for s, t, side, _, weight, _ in data["edges"]}
    assert weights == {ends: weight for ends, weight in edges.items() if opens & set(ends[:2])}


def test_what_unfolds_is_bounded() -> None:
    report = whole(reported(many(MOST_DRAWN + 1)))
    drawn = scene(report)
    data = document(drawn, parts(report), report.objects[:10])
    (fold,) = [node for node in data["nodes"] if node[8] == MOST_DRAWN + 1]
    assert fold[9] == 0
    assert data["folds"] == data["links"] == []
    assert len(data["objects"]) == 10
    assert len(dumps(data)) < 5_000


def test_contained_nodes_have_no_place_among_the_others() -> None:
    report = whole(reported(leaking()))
    border = scene(report, contained=False)
    data = document(scene(report), parts(report), report.objects[:99])
    alone = {node[0] for node in data["nodes"] if node[7] is not None}
    assert alone == {node.key for node in border.nodes}
    assert {node[2] for node in data["nodes"] if node[0] not in alone} == {"contained"}


# --- the picture


def drawing(made: Machine) -> str:
    return svg.render(scene(whole(reported(made))), "Who <holds> what", alone=True)


def test_the_picture_is_the_golden_one() -> None:
    path = GOLDEN / "scene-leaks.svg"
    found = drawing(leaking())
    if os.environ.get("CRANALYZE_GOLDEN") == "write":
        path.write_text(found)
    assert found == path.read_text()


@pytest.mark.parametrize("made", [leaking(), contained(), many(40, 9), named(NASTY, NASTY[3])])
def test_the_picture_tells_of_every_node_and_edge(made: Machine) -> None:
    drawn = scene(whole(reported(made)))
    text = drawing(made)
    root = ET.fromstring(text)  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert root.get("aria-label") == "Who <holds> what"
    titles = [title.text or "" for title in root.iter(f"{space}title")]
    assert len(titles) == len(drawn.nodes) + len(drawn.edges)
    assert all(title.isprintable() for title in titles)
    left, top, width, height = map(float, (root.get("viewBox") or "").split())
    for use in root.iter(f"{space}use"):
        x, y = float(use.get("x") or ""), float(use.get("y") or "")
        assert left <= x <= left + width - 20
        assert top <= y <= top + height - 20
    shapes = {symbol.get("id") for symbol in root.iter(f"{space}symbol")}
    assert {(use.get("href") or "")[1:] for use in root.iter(f"{space}use")} <= shapes


def test_a_picture_of_nothing_is_a_picture() -> None:
    made = Machine()
    made.task(100, 1, nspid=1)
    ET.fromstring(drawing(made))  # noqa: S314 - our own
    assert "Nothing to draw." in rendered(reported(made)).text


# --- the command line


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "leaks.crz"
    leaking().snapshot(100).save(path)
    return path


def test_report_writes_the_page_once(snapshot: Path, tmp_path: Path) -> None:
    words = ("report", str(snapshot), "--html", "out.html")
    ran = run(*words, cwd=tmp_path)
    told = "cranalyze: wrote out.html: the page\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", told)
    text = (tmp_path / "out.html").read_text("utf-8")
    assert "not contained: 10 of 13 objects" in Page(text).text
    assert run("report", str(snapshot), "--html", "-").stdout == text
    again = run(*words, cwd=tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "out.html exists: --force replaces it" in again.stderr
    assert run(*words, "--force", "--check", cwd=tmp_path).returncode == 16
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


def test_a_page_is_utf_8_whatever_the_locale(snapshot: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "analyzer", "report", str(snapshot), "--html", "-"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
    )
    assert "\u2191" in ran.stdout.decode("utf-8")


def test_a_page_has_one_place_and_is_one_form(snapshot: Path, tmp_path: Path) -> None:
    for more in (("--json",), ("-o", "other.html"), ("--output", "other.html")):
        ran = run("report", str(snapshot), "--html", "out.html", *more, cwd=tmp_path)
        assert ran.returncode == 2
    assert not list(tmp_path.iterdir())
    ran = run("report", str(snapshot), "--html", "no/such/folder.html", cwd=tmp_path)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)

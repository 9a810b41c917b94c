"""Files of other versions: an old one is read, a newer one is shown, and what is new never judged.

`tests/data/snapshot-schema-1.crz` was written by the last version of schema 1, and stays as it is.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import analyzer
from analyzer.check.leaks import check
from analyzer.check.objhash import find_ref_leaks
from analyzer.core.errors import BadInputError
from analyzer.core.model import Rules, Verdict
from analyzer.kinds import associations, facts, registry
from analyzer.relations import relations
from analyzer.snapshot import crz, vocabulary
from analyzer.snapshot.crz import pack, unpack
from analyzer.snapshot.tables import only_used
from analyzer.writers import json as json_writer
from analyzer.writers import junit, markdown, page, terminal, tree
from tests.build import Machine

if TYPE_CHECKING:
    from collections.abc import Mapping

OLD: Final = Path(__file__).parents[1] / "data" / "snapshot-schema-1.crz"
NEWER: Final[Mapping[str, Any]] = {
    "kinds": {
        "SPACE_WARP": {
            "title": "space warp", "plural": "space warps", "judged": "ARITHMETIC",
            "rules": ["MODERN"], "derived": False, "namespace": "",
        },
    },
    "associations": {
        "warp": {"words": "is warp {slot} of it", "rules": ["MODERN"], "collects": True,
                 "leads": True},
        "warp.file": {"words": "bends it", "rules": ["MODERN"], "collects": True, "leads": True},
    },
    "relations": {
        "entangled": {
            "title": "entangled with another", "plural": "entangled", "left": "is entangled",
            "right": "is entangled too", "next": "measure it", "impact": "reaches out",
            "shared": True, "alone": False, "told": True,
        },
    },
    "facts": {"spin": {"type": "number", "meaning": "which way it turns", "unit": ""}},
}  # fmt: skip


def written(told: object = NEWER, **names: str) -> bytes:
    """Return the file of a newer version: with kinds and so on that this one does not know."""
    kind, by = names.get("kind", "SPACE_WARP"), names.get("association", "warp")
    made = Machine()
    made.task(77, 1, comm="shell")
    made.task(100, 77, comm="app", nspid=1)
    outside = made.object("FILE_TABLE", 1, holders=[(77, "files")])
    inside = made.object("FILE_TABLE", 1, holders=[(100, "files")])
    file = made.object("FILE", 2, name="/a", holders=[(inside, "fd", 3), (outside, "fd", 3)])
    warp = made.object(kind, 9, holders=[(file, by, 4)])
    made.object("FILE", 2, name="/b", holders=[(warp, "warp.file"), (outside, "fd", 4)])
    for end in (77, 100):
        made.relation(names.get("relation", "entangled"), end, warp)
    made.fact(warp, "spin", 1)
    data = pack(made.snapshot(100))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    manifest = json.loads(members["manifest.json"])
    manifest["vocabulary"] = told  # what is known needs not be told
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            new = json.dumps(manifest).encode()
            archive.writestr(name, new if name == "manifest.json" else content)
    return out.getvalue()


def changed(part: str, word: str, **values: object) -> dict[str, Any]:
    return {**NEWER, part: {**NEWER[part], word: {**NEWER[part][word], **values}}}


def test_a_file_of_schema_1_is_read_and_checked() -> None:
    snapshot = crz.load(OLD)
    assert snapshot.meta["format"] == 1
    assert (len(snapshot.tables["relations"]), len(snapshot.tables["facts"])) == (0, 0)
    report = analyzer.check(snapshot)
    assert {entry.name for entry in report.objects} >= {"/etc/passwd", "net:[4026532183]"}


def test_a_file_tells_what_its_words_mean_and_no_others() -> None:
    data = pack(crz.load(OLD))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        told = json.loads(archive.read("manifest.json"))["vocabulary"]
    snapshot = unpack(data)
    assert {*told["kinds"]} == {*snapshot.objects["kind"], *snapshot.references["holder_kind"]}
    assert {*told["associations"]} == {*snapshot.references["association"]}
    assert told["kinds"]["FILE"]["title"] == "open file"
    assert told["associations"]["peer"]["leads"] is False if "peer" in told["associations"] else 1


def test_what_a_newer_version_knows_is_shown_and_not_judged() -> None:
    snapshot = unpack(written())
    verdicts = check(snapshot, rules=Rules.MODERN)
    report = analyzer.check(snapshot, everything=True)
    assert {entry.name: entry.verdict for entry in report.objects if entry.kind == "FILE"} == {
        "/a": Verdict.USAGE_LEAK,
        "/b": Verdict.USAGE_LEAK,  # it is followed through the unknown
    }
    assert "SPACE_WARP" not in {entry.kind for entry in report.objects}
    assert verdicts.judged.tolist() == [False, True, True, False, True]
    assert {*find_ref_leaks(snapshot, 100, Rules.MODERN)} == {2, 3, 5}
    (crossing,) = report.crossings
    assert crossing.title.endswith("entangled with another (unknown to this version)")
    assert not crossing.gates
    said = terminal.to_text(terminal.render(report, 200))
    assert "space warp (unknown to this version) no. 4" in said
    assert "1 space warp is unknown to this version: shown, and not judged" in said


def test_every_output_shows_it() -> None:
    report = analyzer.check(unpack(written()), everything=True)
    everything = (json_writer.render(report), markdown.render(report), junit.render(report),
                  page.render(report))  # fmt: skip
    for text in everything:
        assert "unknown to this version" in text
    assert tree.render(report, width=80)
    graph = analyzer.graph(unpack(written()))
    assert any("space warp" in data["label"] for _, data in graph.nodes(data=True))


def test_it_is_written_again_as_it_was_told() -> None:
    once = unpack(written())
    again = unpack(pack(once))
    told = vocabulary.spoken({name: only_used(table) for name, table in again.tables.items()})
    assert told["kinds"]["SPACE_WARP"] == {**NEWER["kinds"]["SPACE_WARP"], "rules": []}
    for part in ("associations", "relations", "facts"):
        for word, meant in NEWER[part].items():
            assert told[part][word] == meant


def test_no_file_changes_what_this_version_knows() -> None:
    told = {"kinds": {**NEWER["kinds"], "FILE": {"title": "nothing"}}}
    title = registry()["FILE"].title
    unpack(written({**NEWER, **told}))
    assert registry()["FILE"].title == title
    assert "SPACE_WARP" not in registry()  # not for what iterates over all that can be read


def test_what_a_word_counts_for_is_the_same_in_every_file() -> None:
    unpack(written())
    with pytest.raises(BadInputError, match="says of warp what another file denies"):
        unpack(written(changed("associations", "warp", leads=False)))
    unpack(written(changed("kinds", "SPACE_WARP", title="warp of space")))
    assert registry()["SPACE_WARP"].title == "warp of space (unknown to this version)"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (7, "kind 'SPACE_WARP' is unknown to this version, and the file does not tell"),
        ({**NEWER, "kinds": {}}, "kind 'SPACE_WARP' is unknown"),
        ({**NEWER, "associations": {}}, "association 'warp' is unknown"),
        ({**NEWER, "relations": {"entangled": 7}}, "relation 'entangled' is unknown"),
        (changed("kinds", "SPACE_WARP", title="\x1b[2J"), "'SPACE_WARP' is damaged"),
        (changed("kinds", "SPACE_WARP", title="<b>"), "'SPACE_WARP' is damaged"),
        (changed("kinds", "SPACE_WARP", title="x" * 300), "'SPACE_WARP' is damaged"),
        (changed("kinds", "SPACE_WARP", judged="HARSHLY"), "'SPACE_WARP' is damaged"),
        (changed("kinds", "SPACE_WARP", derived=1), "'SPACE_WARP' is damaged"),
        (changed("associations", "warp", words="{slot.__class__}"), "'warp' is damaged"),
        (changed("associations", "warp", rules=7), "'warp' is damaged"),
        (changed("relations", "entangled", impact="boredom"), "'entangled' is damaged"),
        (changed("facts", "spin", type="tensor"), "'spin' is damaged"),
    ],
)
def test_what_a_file_tells_is_held_to_plain_words(told: object, said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        unpack(written(told))


@pytest.mark.parametrize("name", ["X\x1b[2J", "<b>", "", "x" * 70])
def test_names_are_plain_words_too(name: str) -> None:
    for part, word in (("kinds", "kind"), ("associations", "association")):
        meant = next(iter(NEWER[part].values()))
        with pytest.raises(BadInputError, match="is damaged"):
            unpack(written({**NEWER, part: {**NEWER[part], name: meant}}, **{word: name}))


def test_what_we_write_ourselves_is_understood() -> None:
    for part, known in (
        ("kinds", registry()),
        ("associations", associations()),
        ("relations", relations()),
        ("facts", facts()),
    ):
        for word, meant in known.items():
            told = vocabulary.TELL[part](meant)
            assert vocabulary.TELL[part](vocabulary.MAKE[part](word, told)).keys() == told.keys()

"""Write docs/ from the code: the commands, the columns, the kinds, the JSON, and the man page.

    python -m scripts.docs        # or: make docs

One module writes one family of pages, `PAGES` is the list of all. tests/unit/test_docs.py fails
when docs/ is not what this would write.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from scripts.docs.changes import changes_page
from scripts.docs.columns import columns_page, report_columns_page
from scripts.docs.commands import commands_page
from scripts.docs.contributing import contributing_page
from scripts.docs.criu import criu_page
from scripts.docs.crossings import facts_page, relations_page
from scripts.docs.dumps import dumps_page
from scripts.docs.export import export_page
from scripts.docs.fleet import fleet_page
from scripts.docs.json_keys import json_page
from scripts.docs.kinds import kinds_page
from scripts.docs.man import man_page
from scripts.docs.policy import policy_page, policy_schema
from scripts.docs.profiles import profiles_page
from scripts.docs.prometheus import prometheus_page
from scripts.docs.schemas import schemas
from scripts.docs.subjects import subjects_page
from scripts.docs.who import who_page

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT: Final = Path(__file__).parents[2]

PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "CONTRIBUTING.md": contributing_page,
    "docs/changes.md": changes_page,
    "docs/commands.md": commands_page,
    "docs/columns.md": columns_page,
    "docs/report-columns.md": report_columns_page,
    "docs/export.md": export_page,
    "docs/fleet.md": fleet_page,
    "docs/json.md": json_page,
    "docs/kinds.md": kinds_page,
    "docs/relations.md": relations_page,
    "docs/facts.md": facts_page,
    "docs/man/cranalyze.1": man_page,
    "docs/policy.md": policy_page,
    "docs/schemas/policy.json": policy_schema,
    "docs/profiles.md": profiles_page,
    "docs/prometheus.md": prometheus_page,
    "docs/subjects.md": subjects_page,
    "docs/who.md": who_page,
    "docs/dumps.md": dumps_page,
    "docs/criu.md": criu_page,
    **schemas("docs/schemas"),
    **schemas("analyzer/assets/schemas"),
}
"""What is written, by its path in the repository."""

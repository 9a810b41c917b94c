"""The one hook that points forward: Jupyter asks a value for its HTML, and a writer has the answer.

A snapshot, a report and an object show themselves in a notebook (`_repr_html_`); what they show is
made at the end of the flow, in `analyzer.writers.notebook`. It is looked up by name here and
nowhere else, so that no room imports one that is further down.
"""

from __future__ import annotations

import importlib
from typing import Any

from analyzer.core.values import dataclass


@dataclass(frozen=True, repr=False)
class Page:
    """A page in a frame, for Jupyter to show; `height` is in pixels."""

    content: str
    height: int

    def __repr__(self) -> str:
        """Say what it is: the content is long."""
        return f"<the page of a report, {len(self.content):,} characters of HTML>"

    def _repr_html_(self) -> str:
        import html

        return (
            f'<iframe srcdoc="{html.escape(self.content)}" sandbox="allow-scripts" '
            f'title="cranalyze report" width="100%" height="{self.height:d}" '
            'style="border:0"></iframe>'
        )


def display(how: str, *what: object) -> Any:  # noqa: ANN401 - HTML, or a Page
    """Return what the function `how` of the notebook writer makes of a value."""
    return getattr(importlib.import_module("analyzer.writers.notebook"), how)(*what)

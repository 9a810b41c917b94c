# ruff: noqa: INP001 - a script: no package
"""Take the pictures of the README, of a recorded container: `make pictures` (needs Chromium).

docs/pictures/page.png is the page of `cranalyze report --html` with a row chosen.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import analyzer
from analyzer.writers import page
from tests.browser.driver import browser

ROOT: Final = Path(__file__).parents[1]
RECORDED: Final = ROOT / "notebooks/data/shop-1.crz"
PICTURES: Final = ROOT / "docs/pictures"
WIDTH, HEIGHT = 1500, 860


def main() -> None:
    """Write the pictures."""
    report = analyzer.check(analyzer.load(RECORDED), subtree=True)
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browser() as window:
        file = Path(folder, "page.html")
        file.write_text(page.render(report), encoding="utf-8")
        window.size(WIDTH, HEIGHT)
        window.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        window.open(file)
        window.until("document.querySelectorAll('tbody tr').length > 0")
        window.click("tbody tr:nth-child(1)")
        window.run_later("setTimeout(arguments[arguments.length - 1], 500)")
        window.picture(PICTURES / "page.png")


if __name__ == "__main__":
    main()

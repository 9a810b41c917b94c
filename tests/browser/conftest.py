"""Tests of the page in a real Chromium: one browser for all of them, an empty profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.browser.driver import Browser, browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE: Final = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("live")  # a browser is a real process


@pytest.fixture(scope="session")
def _chromium(require: Callable[..., None]) -> Iterator[Browser]:
    require("chromium")
    with browser() as started:
        yield started


@pytest.fixture
def window(_chromium: Browser) -> Browser:
    """Return the browser's window, as large as a desktop's, in its light colours."""
    _chromium.cdp("Emulation.setScriptExecutionDisabled", value=False)
    _chromium.size(1440, 900)
    _chromium.media(prefers_color_scheme="light", prefers_reduced_motion="reduce")
    return _chromium

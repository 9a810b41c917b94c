"""A real Chromium for tests, through Selenium and Debian's chromedriver.

`browser()` starts both with an empty profile in a folder of its own, and leaves nothing behind.
Where chromedriver is, is said: Selenium's own manager, which would look for one in the network, is
never asked.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from selenium.webdriver import Chrome

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
_WAYS: Final = ("Down", "Up", "Left", "Right")


@dataclass
class Browser:
    """One session: a window that can be told and asked."""

    chrome: Chrome

    def cdp(self, command: str, **params: object) -> Any:  # noqa: ANN401 - JSON
        """Ask the DevTools protocol."""
        return self.chrome.execute_cdp_cmd(command, params)

    def open(self, page: Path) -> None:
        self.logs()
        self.chrome.get(page.as_uri())

    def run(self, script: str, *args: object) -> Any:  # noqa: ANN401 - JSON
        """Run the body of a function in the page; what it returns comes back."""
        return self.chrome.execute_script(script, *args)

    def run_later(self, script: str) -> Any:  # noqa: ANN401 - JSON
        """Run a body that calls its last argument with the result."""
        return self.chrome.execute_async_script(script)

    def until(self, expression: str, seconds: float = 10) -> Any:  # noqa: ANN401 - JSON
        """Wait until an expression of the page is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {expression}")):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}"
            time.sleep(0.02)
        return found

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is."""
        from selenium.webdriver import ActionChains, Keys

        named = {"Enter": Keys.ENTER, "Tab": Keys.TAB, "Escape": Keys.ESCAPE}
        arrows = {f"Arrow{way}": getattr(Keys, f"ARROW_{way.upper()}") for way in _WAYS}
        acts = ActionChains(self.chrome, duration=0)
        for key in keys:
            acts.send_keys((named | arrows).get(key, key))
        acts.perform()

    def click(self, selector: str) -> None:
        self.chrome.find_element("css selector", selector).click()

    def click_at(self, x: float, y: float) -> None:
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        acts = ActionBuilder(self.chrome, duration=0)
        acts.pointer_action.move_to_location(round(x), round(y)).click()
        acts.perform()

    def logs(self) -> tuple[list[str], list[str]]:
        """Return what the console said, and which addresses were asked for, since the last time.

        What the page's policy held back was not asked for: the console says so. The browser's own
        first page may still load when ours is opened.
        """
        console = [f"{e['level']}: {e['message']}" for e in self.chrome.get_log("browser")]
        events = [
            json.loads(entry["message"])["message"] for entry in self.chrome.get_log("performance")
        ]
        asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        own = [p for p in asked if not p["documentURL"].startswith("chrome:")]
        failed = [e["params"] for e in events if e["method"] == "Network.loadingFailed"]
        held = {each["requestId"] for each in failed if each.get("blockedReason") == "csp"}
        return console, [e["request"]["url"] for e in own if e["requestId"] not in held]

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=1, mobile=phone)  # fmt: skip

    def media(self, kind: str = "", **features: str) -> None:
        """Emulate a medium ("print") and features: prefers_color_scheme="dark"."""
        named = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.cdp("Emulation.setEmulatedMedia", media=kind, features=named)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextlib.contextmanager
def browser(flags: Sequence[str] = ()) -> Iterator[Browser]:
    """Start a browser, and end it and everything of it."""
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    with tempfile.TemporaryDirectory(
        prefix="cranalyze-browser-", ignore_cleanup_errors=True
    ) as folder:
        options = ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        for flag in (*FLAGS, *flags, f"--user-data-dir={folder}/profile"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        own = {**os.environ, "TMPDIR": folder, "HOME": folder}
        service = ChromeService(shutil.which("chromedriver"), env=own)
        with Chrome(options, service) as chrome:
            yield Browser(chrome)

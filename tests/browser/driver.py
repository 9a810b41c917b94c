"""A real Chromium for tests, over chromedriver's W3C WebDriver protocol: JSON over HTTP.

`browser()` starts both with an empty profile in a folder of its own, and leaves nothing behind.
Beyond the protocol only chromedriver's door to the DevTools (`cdp`) and its logs are used.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

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
KEYS: Final = {"Enter": "\ue007", "Tab": "\ue004", "Escape": "\ue00c", "ArrowDown": "\ue015",
               "ArrowUp": "\ue013", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}  # fmt: skip
_ELEMENT: Final = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, section 12


@dataclass
class Browser:
    """One session: a window that can be told and asked."""

    url: str

    def call(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        data = None if method == "GET" else json.dumps(body or {}).encode()
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - 127.0.0.1
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                said = json.load(error)["value"]
            raise AssertionError(f"{said['error']}: {said['message'].splitlines()[0]}") from None

    def cdp(self, command: str, **params: object) -> Any:  # noqa: ANN401 - JSON
        """Ask the DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, page: Path) -> None:
        self.logs()
        self.call("POST", "/url", {"url": page.as_uri()})

    def run(self, script: str, *args: object) -> Any:  # noqa: ANN401 - JSON
        """Run the body of a function in the page; what it returns comes back."""
        return self.call("POST", "/execute/sync", {"script": script, "args": args})

    def run_later(self, script: str) -> Any:  # noqa: ANN401 - JSON
        """Run a body that calls its last argument with the result."""
        return self.call("POST", "/execute/async", {"script": script, "args": []})

    def until(self, expression: str, seconds: float = 10) -> Any:  # noqa: ANN401 - JSON
        """Wait until an expression of the page is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {expression}")):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}"
            time.sleep(0.02)
        return found

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is."""
        said = [KEYS.get(key, key) for key in keys]
        acts = [{"type": kind, "value": key} for key in said for kind in ("keyDown", "keyUp")]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": acts}]})

    def click(self, selector: str) -> None:
        found = self.call("POST", "/element", {"using": "css selector", "value": selector})
        self.call("POST", f"/element/{found[_ELEMENT]}/click")

    def click_at(self, x: float, y: float) -> None:
        acts = [
            {"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self.call(
            "POST", "/actions", {"actions": [{"type": "pointer", "id": "m", "actions": acts}]}
        )

    def logs(self) -> tuple[list[str], list[str]]:
        """Return what the console said, and which addresses were asked for, since the last time.

        What the page's policy held back was not asked for: the console says so.
        """
        console = [f"{e['level']}: {e['message']}" for e in self._log("browser")]
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        asked = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        failed = [e["params"] for e in events if e["method"] == "Network.loadingFailed"]
        held = {each["requestId"] for each in failed if each.get("blockedReason") == "csp"}
        return console, [e["request"]["url"] for e in asked if e["requestId"] not in held]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

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
    with tempfile.TemporaryDirectory(
        prefix="cranalyze-browser-", ignore_cleanup_errors=True
    ) as folder:
        own = [*flags, f"--user-data-dir={folder}/profile"]
        with _driver(folder) as address, _session(address, own) as started:
            yield started


@contextlib.contextmanager
def _driver(folder: str) -> Iterator[str]:
    with subprocess.Popen(
        ["chromedriver", "--port=0", "--log-level=SEVERE"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": folder, "HOME": folder},
    ) as process:
        try:
            assert process.stdout is not None
            said = next(line for line in process.stdout if "started successfully" in line)
            port = re.search(r"port (\d+)", said)
            assert port, said
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()


@contextlib.contextmanager
def _session(address: str, flags: Sequence[str]) -> Iterator[Browser]:
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": {"args": [*FLAGS, *flags], "binary": shutil.which("chromium")},
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    made = Browser(address).call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
    session = Browser(f"{address}/session/{made['sessionId']}")
    try:
        yield session
    finally:
        session.call("DELETE", "")

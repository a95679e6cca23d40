"""A headless Chromium that a test drives over a pipe, with the words of the DevTools protocol."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from typing_extensions import Self


_PATIENCE_SECONDS = 15  # for what never comes
PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    PROGRAM is None, reason="needs Chromium, which `make test` installs: apt-get install chromium"
)
_WORDS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--window-size=1000,1400",
    "--remote-debugging-pipe",
)


class Chromium:
    """One page. `events` are what the browser told by itself: requests, exceptions, messages of the console."""

    def __init__(self, directory: Path) -> None:
        ours_in, theirs_out = map(_high, os.pipe())
        theirs_in, ours_out = map(_high, os.pipe())
        # it reads from descriptor 3 and writes to 4
        shell = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash"]
        words = [*shell, PROGRAM or "", *_WORDS, f"--user-data-dir={directory}", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self._in, self._out = os.fdopen(ours_in, "rb", 0), os.fdopen(ours_out, "wb", 0)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        targets = self._send("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        self._session = self._send("Target.attachToTarget", targetId=page["targetId"], flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._send(f"{domain}.enable")
        self._send("Page.setLifecycleEventsEnabled", enabled=True)

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._in.close()
        self._out.close()
        self._process.wait()

    def open(self, path: Path, fragment: str = "") -> None:
        """Loads a file and waits for its end."""
        self.events.clear()
        loader = self._send("Page.navigate", url=f"file://{path}{fragment}").get("loaderId")
        while loader is not None and not any(_has_loaded(event, loader) for event in self.events):
            self._read()

    def value(self, script: str) -> Any:
        """What an expression is, once it is settled."""
        found = self._send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> None:
        """Waits, a frame at a time, for an expression to be true."""
        look = f"const look = () => ({script}) ? is(true) : requestAnimationFrame(look)"
        self.value(f"new Promise((is) => {{ {look}; look(); }})")

    def key(self, key: str, code: int = 0) -> None:
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self._send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def media(self, kind: str = "", **features: str) -> None:
        """`print`, or `prefers_color_scheme="dark"`."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._send("Emulation.setEmulatedMedia", media=kind, features=wanted)

    def width(self, pixels: int) -> None:
        self._send(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=1400, deviceScaleFactor=1, mobile=False
        )

    def pdf(self) -> bytes:
        return base64.b64decode(self._send("Page.printToPDF", printBackground=False)["data"])

    def screenshot(self) -> bytes:
        return base64.b64decode(self._send("Page.captureScreenshot", format="png")["data"])

    def accessible(self) -> list[dict[str, Any]]:
        """What a screen reader is told."""
        self._send("Accessibility.enable")
        nodes: list[dict[str, Any]] = self._send("Accessibility.getFullAXTree")["nodes"]
        return [node for node in nodes if not node["ignored"]]

    @property
    def complaints(self) -> list[str]:
        """Exceptions, errors, warnings, and what a policy has refused."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in kinds]

    @property
    def requests(self) -> list[str]:
        asked = (event for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in asked]

    @property
    def refused(self) -> list[str]:
        """Requests that were not sent, because the page's policy forbids them."""
        failed = (event["params"] for event in self.events if event["method"] == "Network.loadingFailed")
        numbers = {about["requestId"] for about in failed if about.get("blockedReason") == "csp"}
        asked = (event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [about["request"]["url"] for about in asked if about["requestId"] in numbers]

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], _PATIENCE_SECONDS)
            assert ready, "Chromium does not answer: what was waited for has not come"
            piece = self._in.read(1 << 20)
            if not piece:
                raise EOFError("Chromium has ended")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message


def _has_loaded(event: dict[str, Any], loader: str) -> bool:
    if event["method"] != "Page.lifecycleEvent":
        return False
    return bool(event["params"]["loaderId"] == loader and event["params"]["name"] == "load")


def _high(descriptor: int) -> int:
    """The same under a number that is not one of the browser's."""
    other = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return other


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser

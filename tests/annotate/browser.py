"""A real Chromium on a real server, for the tests of the page; absent, they skip and say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn

from vidseg.annotate import Session, api
from vidseg.annotate.server import Server, bind

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 20_000  # milliseconds until a condition that does not come true is a failure


class Serving:
    """A server of a session in a thread; `address` opens the page."""

    def __init__(self, session: Session, *, port: int = 0, token: str | None = None) -> None:
        self.session = session
        self.listener = bind("127.0.0.1", port)
        self.port = self.listener.getsockname()[1]
        self.server = Server(session, port=self.port, token=token)
        config = uvicorn.Config(
            self.server.app, log_level="error", ws="websockets-sansio", ws_max_size=api.MAX_MESSAGE, lifespan="on",
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.005)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/?token={self.server.token}"

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join()
        self.listener.close()


@contextmanager
def chromium() -> Iterator[Any]:
    """A running browser; closed, with all its processes, at the end."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the page's tests need playwright: pip install playwright"
    )
    if not CHROMIUM.exists():
        pytest.skip(f"the page's tests need a browser at {CHROMIUM}; install chromium")
    with playwright.sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class View:
    """A tab, and what a person does with it: points are in pixels of the frame."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        self.held: list[Any] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    @classmethod
    @contextmanager
    def open(
        cls, browser: Any, address: str, *, size: tuple[int, int] = (1280, 720), held: str | None = None
    ) -> Iterator[View]:
        """Open the page and wait until it shows a frame; at the end, check that no script failed.

        What it asks of addresses that match `held` waits in `View.held` for `continue_()`.
        """
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce")
        try:
            view = cls(context.new_page())
            if held:
                view.page.route(held, lambda route: view.held.append(route))
            view.page.goto(address)
            view.page.locator("#overlay[data-frame]").wait_for()
            yield view
            assert not view.errors
        finally:
            context.close()

    def until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for a condition; `what` says in a failure what did not come true."""
        end = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < end, f"not so: {what}"
            self.page.wait_for_timeout(50)

    def settle(self) -> None:
        """Wait until everything that was asked has been answered, and the address of the tab is written."""
        self.page.locator("#status:not(.busy)").wait_for()
        self.page.wait_for_timeout(300)

    @property
    def frame(self) -> int:
        """The frame whose picture is on the screen."""
        return int(self.page.locator("#overlay").get_attribute("data-frame") or -1)

    def go(self, frame: int) -> None:
        """Type a frame's number, and wait for its picture."""
        self.page.keyboard.press("j")
        self.page.keyboard.type(str(frame))
        self.page.keyboard.press("Enter")
        self.until(lambda: self.frame == frame, f"frame {frame} is shown")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the frame is in the window."""
        left, top = self.page.locator("#overlay").evaluate(
            "(one, [x, y]) => { const box = one.getBoundingClientRect(), at = one.dataset;"
            " return [box.left + Number(at.left) + x * at.scale, box.top + Number(at.top) + y * at.scale]; }",
            [x, y],
        )
        return left, top

    def click(self, x: float, y: float, *, button: str = "left") -> None:
        self.page.mouse.click(*self.place(x, y), button=button)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*end), steps=12)
        self.page.mouse.up()

    def drawn(self, size: tuple[int, int]) -> np.ndarray:
        """The (H, W) bool union of the masks as they are on the screen, read from the canvas at the pixels' centres."""
        found = self.page.locator("#masks").evaluate(
            "(canvas, [height, width]) => { const at = document.getElementById('overlay').dataset;"
            " const ratio = canvas.width / canvas.clientWidth;"
            " const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
            " let found = ''; for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {"
            " const column = Math.floor((Number(at.left) + (x + 0.5) * at.scale) * ratio);"
            " const row = Math.floor((Number(at.top) + (y + 0.5) * at.scale) * ratio);"
            " found += image.data[4 * (row * canvas.width + column) + 3] > 60 ? '1' : '0'; } return found; }",
            list(size),
        )
        return np.array([sign == "1" for sign in found]).reshape(size)

    def alpha(self, canvas: str, x: float, y: float) -> int:
        """How opaque (0-255) a canvas is at a point of the frame."""
        found = self.page.locator(canvas).evaluate(
            "(canvas, [x, y]) => { const at = document.getElementById('overlay').dataset;"
            " const ratio = canvas.width / canvas.clientWidth;"
            " return canvas.getContext('2d').getImageData((Number(at.left) + x * at.scale) * ratio,"
            " (Number(at.top) + y * at.scale) * ratio, 1, 1).data[3]; }",
            [x, y],
        )
        return int(found)

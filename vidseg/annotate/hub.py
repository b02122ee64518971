"""The open tabs: each gets every event and its own answers, in order, or is told that it missed some."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

BACKLOG = 2000
"""Messages that may wait for a slow tab; beyond, events are dropped and the tab is asked to read everything again."""
RESYNC = json.dumps({"event": "resync", "revision": 0})


class Tab:
    """One WebSocket's outgoing messages. Used on the event loop only."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[bool, str]] = deque()  # (is an event, text)
        self._some = asyncio.Event()

    def push(self, text: str, *, event: bool) -> None:
        """Queue a message. Answers are never dropped."""
        if event and len(self._waiting) >= BACKLOG:
            answers = [one for one in self._waiting if not one[0]]
            self._waiting = deque([*answers, (True, RESYNC)])
        else:
            self._waiting.append((event, text))
        self._some.set()

    async def next(self) -> str:
        """Wait for the next message."""
        while not self._waiting:
            self._some.clear()
            await self._some.wait()
        return self._waiting.popleft()[1]


class Hub:
    """All tabs of a server; `tell` may be called from any thread, the rest on the event loop only."""

    def __init__(self) -> None:
        self._tabs: set[Tab] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Belong to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def __len__(self) -> int:
        return len(self._tabs)

    def join(self, tab: Tab) -> None:
        """Let a tab hear everything from now on."""
        self._tabs.add(tab)
        self._tell_tabs()

    def leave(self, tab: Tab) -> None:
        """Forget a tab."""
        self._tabs.discard(tab)
        self._tell_tabs()

    def _tell_tabs(self) -> None:
        self.push({"event": "tabs", "tabs": len(self._tabs)})

    def tell(self, event: dict[str, Any]) -> None:
        """Send an event to all tabs."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.push, event)

    def push(self, event: dict[str, Any]) -> None:
        """Send an event to all tabs, from the event loop."""
        if self._tabs:
            text = json.dumps(event, separators=(",", ":"))
            for tab in self._tabs:
                tab.push(text, event=True)

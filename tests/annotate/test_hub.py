"""Outgoing messages: order, and what a tab that reads too slowly gets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from vidseg.annotate.hub import BACKLOG, RESYNC, Hub, Tab


async def drain(tab: Tab) -> list[Any]:
    found = []
    while True:
        try:
            found.append(json.loads(await asyncio.wait_for(tab.next(), 0.05)))
        except asyncio.TimeoutError:
            return found


def test_events_and_answers_keep_their_order() -> None:
    async def work() -> list[Any]:
        hub, tab = Hub(), Tab()
        hub.start()
        hub.join(tab)
        hub.push({"event": "a"})
        tab.push(json.dumps({"id": 1, "ok": True}), event=False)
        await asyncio.to_thread(hub.tell, {"event": "b"})
        return await drain(tab)

    assert asyncio.run(work()) == [{"event": "tabs", "tabs": 1}, {"event": "a"}, {"id": 1, "ok": True}, {"event": "b"}]


def test_a_slow_tab_loses_events_but_no_answer_and_is_told_to_read_again() -> None:
    async def work() -> list[Any]:
        tab = Tab()
        tab.push(json.dumps({"id": 1, "ok": True}), event=False)
        for n in range(BACKLOG):
            tab.push(json.dumps({"event": "masks", "n": n}), event=True)
        tab.push(json.dumps({"id": 2, "ok": True}), event=False)
        return await drain(tab)

    found = asyncio.run(work())
    assert found == [{"id": 1, "ok": True}, json.loads(RESYNC), {"id": 2, "ok": True}]


def test_a_tab_that_left_hears_nothing_more() -> None:
    async def work() -> tuple[list[Any], int]:
        hub, tab = Hub(), Tab()
        hub.join(tab)
        hub.leave(tab)
        hub.push({"event": "a"})
        return await drain(tab), len(hub)

    assert asyncio.run(work()) == ([{"event": "tabs", "tabs": 1}], 0)

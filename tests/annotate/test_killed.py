"""The server is killed (SIGKILL) at random moments of an annotation: nothing that was answered may be lost.

A scripted person talks to a real server process over its WebSocket. After each kill the project is opened again and
compared with what was answered; only the one gesture in flight may or may not have happened.
"""

from __future__ import annotations

import copy
import json
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import shapes
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from vidseg.annotate import Project

FRAMES = 12
Place = tuple[int, int]


class Person:
    """Does random gestures and remembers what was answered.

    `said` maps (object, frame) to its prompts' ids, the mask's run lengths and its state; `names` are the objects'.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.said: dict[Place, tuple[tuple[int, ...], str, str]] = {}
        self.names: dict[int, str] = {}
        self.past: list[Any] = []
        self.future: list[Any] = []
        self.answered = 0
        self.flying: dict[str, Any] | None = None

    def choose(self) -> dict[str, Any]:
        """The next gesture."""
        if not self.names or (len(self.names) < 3 and self.random.random() < 0.1):
            return {"do": "object.add", "video": 1, "name": f"name {self.random.random()}"}
        number, frame = self.random.choice(list(self.names)), self.random.randrange(FRAMES)
        here = {"video": 1, "object": number, "frame": frame, "overwrite": True}
        x, y = self.random.uniform(1, shapes.SIZE[1]), self.random.uniform(1, shapes.SIZE[0])
        choices: list[dict[str, Any]] = [
            {"do": "prompt.click", **here, "x": x, "y": y, "on": self.random.random() < 0.7},
            {"do": "prompt.brush", **here, "mode": "add", "radius": 4.0, "points": [[x, y], [x + 5, y]]},
            {"do": "prompt.box", **here, "box": [x / 2, y / 2, x / 2 + 20, y / 2 + 20]},
            {"do": "object.update", "video": 1, "object": number, "name": f"name {self.random.random()}"},
            {"do": "propagate.start", "video": 1, "objects": None, "direction": "both", "frame": 0, "reach": "all"},
        ]
        if self.past:
            choices += [{"do": "undo"}, {"do": "redo"}]
        pinned = [place for place in self.said if place[0] == number]
        if pinned:
            frame = self.random.choice(pinned)[1]
            span = {"objects": [number], "start": frame, "stop": frame + 1}
            choices.append(
                {"do": "review.set", "video": 1, **span, "state": self.random.choice(["accepted", "rejected"])}
            )
        return self.random.choice(choices)

    def hear(self, asked: dict[str, Any], answer: dict[str, Any]) -> None:
        """Remember an answer."""
        self.answered += 1
        if not answer["ok"]:
            assert answer["error"]["code"] == "nothing", answer
            if asked["do"] == "redo":
                self.future.clear()
            return
        result, before = answer["result"], copy.deepcopy((self.said, self.names))
        if asked["do"] in ("undo", "redo"):
            self.exchange(asked["do"], result["label"], before)
            return
        if asked["do"] == "propagate.start":
            return
        if asked["do"] in ("object.add", "object.update"):
            self.names[result["object"]["id"]] = result["object"]["name"]
        elif asked["do"] == "review.set":
            place = (asked["objects"][0], asked["start"])
            self.said[place] = (*self.said[place][:2], asked["state"])
            if not result["changed"]:
                return
        else:
            mask, prompts = result["mask"], tuple(one["id"] for one in result["prompts"])
            self.said[asked["object"], asked["frame"]] = (prompts, mask["rle"]["counts"], mask["state"])
        self.past.append(before)
        self.future.clear()

    def exchange(self, name: str, label: str, before: Any) -> None:
        if label.startswith("propagate"):
            return  # says nothing about prompts; the line of an automatic propagation came in between
        source, target = (self.past, self.future) if name == "undo" else (self.future, self.past)
        self.said, self.names = source.pop()
        target.append(before)

    def compare(self, project: Project) -> None:
        """Assert that all that was answered is in the project; take over what the gesture in flight has done."""
        assert project.check() == []
        names = {one.id: one.name for one in project.objects(1)} if project.videos() else {}
        said = {}
        for number in names:
            for frame in project.anchors(1, number).frames:
                mask = project.mask(1, number, frame)
                assert mask is not None
                prompts = project.prompts(1, number, start=frame, stop=frame + 1)
                said[number, frame] = (tuple(one.id for one in prompts), mask.counts, mask.state)
        flying = self.flying or {"do": ""}
        possible = [(self.said, self.names)]
        if flying["do"] == "undo" and self.past:
            possible.append(self.past[-1])
        elif flying["do"] == "redo" and self.future:
            possible.append(self.future[-1])
        elif flying["do"].startswith("prompt."):
            place = (flying["object"], flying["frame"])
            possible.append(({**self.said, place: said.get(place)}, self.names))
        elif flying["do"] == "review.set":
            place = (flying["objects"][0], flying["start"])
            possible.append(({**self.said, place: (*self.said[place][:2], flying["state"])}, self.names))
        elif flying["do"] == "object.update":
            possible.append((self.said, {**self.names, flying["object"]: flying["name"]}))
        elif flying["do"] == "object.add":
            possible.append((self.said, {**self.names, max(names, default=0): flying["name"]}))
        assert (said, names) in possible, (flying, said, names, possible)
        self.said, self.names = said, names
        self.past, self.future = [], []


def one_life(project: Path, clip: Path, person: Person) -> None:
    """Start a server, work with it, kill it after a random time, and compare."""
    command = [sys.executable, str(Path(__file__).parent / "serve_flood.py"), str(project), str(clip)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        killer = threading.Timer(person.random.uniform(0.01, 1.0), process.send_signal, [signal.SIGKILL])
        killer.start()
        try:
            work(address, person)
        except (WebSocketException, OSError):
            pass
        finally:
            killer.join()
            process.wait()
    with Project.open(project) as opened:
        person.compare(opened)


def work(address: str, person: Person) -> None:
    """Do gestures until the server is gone."""
    person.flying = None
    live = address.replace("http", "ws", 1).replace("/?", "/api/live?")
    with connect(live) as socket:
        for number in range(1, 10_000):
            asked = person.choose()
            person.flying = asked
            socket.send(json.dumps({"id": number, **asked}))
            answer = json.loads(socket.recv())
            while answer.get("id") != number:
                answer = json.loads(socket.recv())
            person.flying = None
            person.hear(asked, answer)


def lives(count: int, folder: Path, seed: int) -> Person:
    person = Person(seed)
    clip = shapes.write(folder / "clip", frames=FRAMES)
    for _ in range(count):
        one_life(folder / "p.vidseg", clip, person)
    return person


def test_nothing_answered_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    assert lives(3, tmp_path, 1).answered > 5


@pytest.mark.slow
def test_nothing_answered_is_lost_in_two_hundred_kills(tmp_path: Path) -> None:
    person = lives(200, tmp_path, 2)
    print(f"{person.answered} gestures were answered")
    assert person.answered > 500

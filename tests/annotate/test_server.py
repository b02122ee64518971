"""The real server on a real port: who may talk to it, what it answers, and two tabs that stay in step."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapes
import uvicorn
from flood import Flood
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from vidseg.annotate import Session, api, open_session
from vidseg.annotate.gate import names_of
from vidseg.annotate.server import STATIC, Server, bind
from vidseg.cli import annotate


class Running:
    """A server in a thread, and a small client for it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.server = Server(session, port=self.port)
        config = uvicorn.Config(
            self.server.app, log_level="error", ws="websockets-sansio", ws_max_size=api.MAX_MESSAGE, lifespan="on"
        )
        self.uvicorn = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.uvicorn.run, kwargs={"sockets": [self.listener]})
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.005)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join()
        self.listener.close()

    def ask(
        self, path: str, *, method: str = "GET", body: bytes | None = None, token: bool = True, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request, exactly as given; underscores in header names become dashes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent.setdefault("X-Vidseg-Token", self.server.token)
        connection.request(method, path, body=body, headers=sent)
        response = connection.getresponse()
        content = response.read()
        found = {name.lower(): value for name, value in response.getheaders()}
        connection.close()
        return response.status, found, content

    def json(self, path: str, **fields: Any) -> Any:
        status, _, content = self.ask(path, **fields)
        assert status == 200, content
        return json.loads(content)

    def tab(self, **headers: str) -> ClientConnection:
        extra = {"X-Vidseg-Token": self.server.token, **headers}
        address = f"ws://127.0.0.1:{self.port}/api/live"
        return connect(address, additional_headers=extra, legacy=True, max_size=None, max_queue=None)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, video: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    with open_session(folder / "p.vidseg", videos=[video], load=Flood) as session:
        session.project.set_settings({"repropagate": "off"})
        found = Running(session)
        yield found
        found.stop()


def do(tab: ClientConnection, number: int, name: str, /, **fields: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Do a gesture; return its answer and the events before it."""
    tab.send(json.dumps({"id": number, "do": name, **fields}))
    events = []
    while True:
        message = json.loads(tab.recv(timeout=20))
        if message.get("id") == number:
            return message, events
        events.append(message)


# Who may talk


@pytest.mark.parametrize(
    "path", ["/api/project", "/api/videos/1/frames/0", "/api/formats", "/", "/api/live", "/nothing"]
)
def test_without_the_token_there_is_nothing(running: Running, path: str) -> None:
    for address in (path, f"{path}?token=", f"{path}?token=wrong", f"{path}?token={running.server.token}x"):
        status, _, content = running.ask(address, token=False)
        assert status == 401
        assert b"open the link that the terminal shows" in content
    assert running.ask(path, token=False, Cookie=f"vidseg_{running.port}=wrong")[0] == 401
    assert running.ask(path, token=False, Cookie=f"vidseg_{running.port + 1}={running.server.token}")[0] == 401


def test_the_link_sets_a_cookie_that_scripts_and_other_sites_cannot_use(running: Running) -> None:
    status, headers, _ = running.ask(f"/?token={running.server.token}", token=False)
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert running.ask("/api/project", token=False, Cookie=cookie.partition(";")[0])[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::1", "localhost.evil"]
)
def test_another_host_name_is_refused(running: Running, host: str) -> None:
    assert running.ask("/api/project", Host=host)[0] == 403
    assert running.ask("/static/x.js", Host=host)[0] == 403


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}", "localhost:9999"]
)
def test_loopback_names_are_answered_on_any_port_so_that_tunnels_work(running: Running, host: str) -> None:
    assert running.ask("/api/project", Host=host.format(port=running.port))[0] == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1", ""]
)
def test_another_page_is_refused(running: Running, origin: str) -> None:
    origin = origin.format(port=running.port)
    assert running.ask("/api/project", Origin=origin)[0] == 403
    assert running.ask("/api/export", method="POST", body=b'{"format": "coco"}', Origin=origin)[0] == 403
    with pytest.raises(ConnectionClosed) as caught:
        tab = running.tab(Origin=origin)
        tab.recv(timeout=5)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 4403


def test_a_picture_embedded_in_another_page_is_refused(running: Running) -> None:
    assert running.ask("/api/videos/1/frames/0", Sec_Fetch_Site="cross-site")[0] == 403
    assert running.ask("/api/videos/1/frames/0", Sec_Fetch_Site="same-origin")[0] == 200


def test_a_socket_without_token_is_closed_with_a_code_that_the_page_understands(running: Running) -> None:
    tab = connect(f"ws://127.0.0.1:{running.port}/api/live", legacy=True)
    with pytest.raises(ConnectionClosed) as caught:
        tab.recv(timeout=5)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 4401


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py", "/static/%2e%2e/server.py", "/static/..%2fserver.py", "/static//etc/passwd",
        "/static/%2fetc/passwd", "/static/....//server.py", "/api/exports/..%2f..%2fetc%2fpasswd", "/api/exports/x",
        "/api/videos/1/frames/../../../etc/passwd", "/api/videos/2/frames/0", "/api/videos/1/frames/24",
        "/api/videos/1/frames/-1", "/api/videos/1/frames/99999999999999999999", "/api/videos/etc/frames/0",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_what_is_served(running: Running, path: str) -> None:
    status, _, content = running.ask(path)
    assert status in (404, 400)
    assert json.loads(content)["error"]["code"] in ("not_found", "bad_request")
    assert b"import" not in content and b"root:" not in content


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "not_found"), ("DELETE", "/api/project", 405, "bad_request")],
)
def test_what_nothing_answers_to_is_an_error_of_the_protocol(
    running: Running, method: str, path: str, status: int, code: str
) -> None:
    found, headers, content = running.ask(path, method=method)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert json.loads(content)["error"] == {"code": code, "message": f"nothing answers to {method} {path}"}


def test_bound_to_all_addresses_it_answers_to_addresses_and_its_own_name_only() -> None:
    names = names_of("0.0.0.0")
    assert "*" in names and "localhost" in names
    assert "*" not in names_of("127.0.0.1")
    assert names_of("192.168.0.7") == {"192.168.0.7"}


def test_the_page_and_its_modules_are_served_with_the_right_types(running: Running) -> None:
    page = STATIC / "index.html"
    if not page.is_file():
        pytest.skip("the page is not built yet")
    status, headers, content = running.ask("/")
    assert (status, content) == (200, page.read_bytes())
    assert "default-src 'self'" in headers["content-security-policy"]
    for module in STATIC.glob("*.js"):
        _, headers, _ = running.ask(f"/static/{module.name}", token=False)
        assert headers["content-type"].startswith("text/javascript")


def test_answers_forbid_sniffing_framing_and_leaking(running: Running) -> None:
    _, headers, _ = running.ask("/api/project")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"


def test_too_long_requests_are_refused(running: Running) -> None:
    status, _, content = running.ask("/api/export", method="POST", body=b"x" * ((1 << 20) + 1))
    assert (status, json.loads(content)["error"]["code"]) == (413, "too_large")
    with running.tab() as tab:
        tab.send(json.dumps({"id": 1, "do": "ping", "x": "y" * api.MAX_MESSAGE}))
        with pytest.raises(ConnectionClosed) as caught:
            for _ in range(10):
                tab.recv(timeout=5)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 1009


def test_bad_messages_are_answered_and_the_socket_stays_open(running: Running) -> None:
    with running.tab() as tab:
        tab.send("nonsense")
        while "error" not in (answer := json.loads(tab.recv(timeout=5))):
            pass
        assert (answer["id"], answer["error"]["code"]) == (None, "bad_request")
        answer, _ = do(tab, 5, "prompt.mask", video=1, object=1, frame=0, rle={"size": [1, 1], "counts": "~~"})
        assert answer["error"]["code"] == "bad_request"
        answer, _ = do(tab, 6, "prompt.click", video=7, object=1, frame=0, x=1, y=1, on=True)
        assert answer["error"] == {"code": "not_found", "message": "there is no video 7 in this project"}
        assert do(tab, 7, "ping")[0]["ok"]


def test_markup_in_names_comes_back_as_text_in_json(running: Running) -> None:
    name = "<img src=x onerror=alert(1)>"
    with running.tab() as tab:
        answer, _ = do(tab, 1, "object.add", video=1, name=name)
        assert answer["result"]["object"]["name"] == name
        do(tab, 2, "undo")
    assert running.ask("/api/project")[1]["content-type"] == "application/json"


# What it answers


def test_the_snapshot_and_the_times(running: Running) -> None:
    found = running.json("/api/project")
    assert found["protocol"] == 1
    (video,) = found["videos"]
    assert (video["size"], video["frames"], video["status"]) == (list(shapes.SIZE), 24, "ok")
    assert len(running.json("/api/videos/1/times")["seconds"]) == 24


@pytest.mark.parametrize("frame", [0, 5, 6, 7, 23, 22, 21, 3, 12])
def test_frames_are_exact_and_cached_for_ever(running: Running, frame: int) -> None:
    mark = running.json("/api/project")["videos"][0]["fingerprint"]
    status, headers, content = running.ask(f"/api/videos/1/frames/{frame}?format=png&v={mark}")
    assert (status, headers["content-type"]) == (200, "image/png")
    assert "immutable" in headers["cache-control"]
    assert (decode(content) == shapes.draw(frame)).all()


def test_frames_come_as_jpeg_and_webp_and_smaller(running: Running) -> None:
    for form, limit in (("jpeg", 12), ("webp", 12)):
        _, headers, content = running.ask(f"/api/videos/1/frames/9?format={form}&quality=95")
        assert headers["content-type"] == f"image/{form}"
        assert np.abs(decode(content).astype(int) - shapes.draw(9)).mean() < limit
    assert decode(running.ask("/api/videos/1/frames/9?width=45")[2]).shape == (30, 45, 3)
    assert decode(running.ask("/api/videos/1/thumbnails/9?height=30")[2]).shape == (30, 45, 3)
    status, _, content = running.ask("/api/videos/1/frames/9?quality=400")
    assert status == 400 and b"quality is not a whole number from 40 to 100" in content


def decode(content: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)


def test_a_click_and_a_propagation_reach_every_tab_in_the_same_order(running: Running) -> None:
    with running.tab() as one, running.tab() as two:
        made, _ = do(one, 1, "object.add", video=1, name="disc")
        number = made["result"]["object"]["id"]
        answer, events = do(one, 2, "prompt.click", video=1, object=number, frame=0, x=12.5, y=15.5, on=True)
        assert {"prompts", "masks", "history", "candidates"} <= {event["event"] for event in events}
        assert answer["revision"] >= events[-1]["revision"]
        do(one, 3, "propagate.start", video=1, objects=[number], direction="forward", frame=0, reach="all")
        heard = [collect(tab, number) for tab in (one, two)]
        assert heard[0] == heard[1] and len(heard[0]) == 23
        annotation = running.json(f"/api/videos/1/annotation?start=0&stop=24&objects={number}")
        assert len(annotation["masks"]) == 24 and len(annotation["prompts"]) == 1
        lane = running.json("/api/videos/1/timeline")["objects"][-1]
        assert (lane["prompted"], lane["visible"], len(lane["confidence"])) == ([0], [[0, 24]], 24)
        assert running.json("/api/videos/1/ranking?limit=3")["frames"]
        do(two, 4, "object.delete", video=1, object=number)


def collect(tab: ClientConnection, number: int) -> list[int]:
    """The frames of the masks that a propagation has sent, until it is done."""
    frames: list[int] = []
    while True:
        message = json.loads(tab.recv(timeout=20))
        if message.get("event") == "masks" and message["job"]:
            frames += [mask["frame"] for mask in message["masks"] if mask["object"] == number]
        if message.get("event") == "job" and message["job"]["state"] == "done":
            return frames


def test_an_export_is_made_told_and_downloaded_and_can_be_imported_again(running: Running) -> None:
    with running.tab() as tab:
        made, _ = do(tab, 1, "object.add", video=1)
        number = made["result"]["object"]["id"]
        place = {"video": 1, "object": number, "frame": 2}
        do(tab, 2, "prompt.polygon", **place, mode="add", points=[[5, 5], [30, 5], [30, 30]])
        started = running.json("/api/export", method="POST", body=b'{"format": "davis"}')
        while True:
            event = json.loads(tab.recv(timeout=20))
            if event.get("event") == "export" and event["state"] != "running":
                break
        assert (event["state"], event["export"]) == ("done", started["export"]), event
        assert any("davis: " in line for line in event["report"])
        status, headers, content = running.ask(f"/api/exports/{started['export']}")
        assert status == 200 and headers["content-disposition"].startswith("attachment")
        assert len(content) == event["bytes"]
        found = running.json("/api/import?video=1&format=davis", method="POST", body=content)
        assert found["masks"] == 1
        project = running.session.project
        imported = project.mask(1, found["objects"][0]["id"], 2)
        assert imported is not None
        assert imported.counts == project.mask(1, number, 2).counts
        for n in (3, 4, 5):
            assert do(tab, n, "undo")[0]["ok"]


@pytest.mark.parametrize(
    ("format", "body", "says"),
    [
        ("davis", b"not a zip", "expected a folder of index masks"),
        ("coco", b"{", ""),
        ("coco", b'{"images": [], "annotations": [], "categories": []}', ""),
        ("mot", b"hello", "line 1"),
        ("word", b"", "cannot be imported"),
    ],
)
def test_a_bad_upload_is_refused_in_one_line(running: Running, format: str, body: bytes, says: str) -> None:
    status, _, content = running.ask(f"/api/import?video=1&format={format}", method="POST", body=body)
    error = json.loads(content)["error"]
    assert (status, error["code"]) == (400, "bad_request"), error
    assert says in error["message"] and "/tmp" not in error["message"] and "\n" not in error["message"]


@pytest.mark.parametrize("way_out", [True, False])
def test_other_machines_are_told_an_address_that_reaches_this_one(
    way_out: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Datagrams(socket.socket):
        def connect(self, address: object) -> None:
            if not way_out:
                raise OSError("network is unreachable")

        def getsockname(self) -> tuple[str, int]:
            return "10.1.2.3", 5

    monkeypatch.setattr(socket, "socket", Datagrams)
    for host in ("127.0.0.1", "0.0.0.0"):
        annotate._announce(Path("p.vidseg"), "http://127.0.0.1:8765/?token=t", host=host, browser=False)
    told = [line for line in capsys.readouterr().out.splitlines() if "other machines" in line]
    name = "10.1.2.3" if way_out else socket.gethostname()
    assert told == [f"from other machines: http://{name}:8765/?token=t"]

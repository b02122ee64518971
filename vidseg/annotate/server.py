"""The web server of `vidseg annotate`: HTTP for pictures and large answers, one WebSocket a tab for everything live.

The protocol is `docs/annotate-protocol.md`. Nothing is decided here: requests are checked by `gate` and `api`, done by
the session, and its events are passed to all tabs. starlette and uvicorn are imported only when a server is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ProjectError, VideoError, VidsegError, needs_extra
from . import api, exports, imports, view
from .gate import Gate, names_of
from .guards import need_frame, need_video
from .hub import Hub, Tab
from .refused import CODES, Refused
from .session import Session

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.websockets import WebSocket

STATIC = Path(__file__).parent / "static"
MAX_BODY = 1 << 20
SIDEWAYS = ("hover", "frame.prepare", "proposals.make", "automatic.start")
"""Gestures that may take long and change nothing that a later one needs: they do not hold up their tab."""
_THREADS = 8

_FRAME_QUERY = {
    "format": (api.one_of("jpeg", "webp", "png"), False),
    "quality": (api.whole(40, 100), False),
    "width": (api.whole(16, 65535), False),
}
_SPAN_QUERY = {"start": (api.whole(), True), "stop": (api.whole(1), True)}
_RANKING_QUERY = {"limit": (api.whole(1, 1000), False), "object": (api.whole(1, 65535), False)}


class Server:
    """The application on one session; `app` is an ASGI application.

    Args:
        session: what it serves; it is not closed here.
        host: the address it will be bound to, which decides by which names it may be called.
        port: the port, for the name of its cookie.
        token: what the page must know; random by default.
    """

    def __init__(self, session: Session, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None) -> None:
        self.session = session
        self.token = token or secrets.token_urlsafe(24)
        self.cookie = f"vidseg_{port}"
        self.hub = Hub()
        self.exports = exports.Exports(session)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vidseg-request")
        self.app = Gate(self._routes(), token=self.token, names=names_of(host), cookie=self.cookie)

    def _routes(self) -> Starlette:
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Mount, Route, WebSocketRoute
        from starlette.staticfiles import StaticFiles

        one = "/api/videos/{video:int}"
        get = {
            "/api/project": self._project,
            f"{one}/times": self._times,
            f"{one}/frames/{{frame:int}}": self._frame,
            f"{one}/thumbnails/{{frame:int}}": self._thumbnail,
            f"{one}/annotation": self._annotation,
            f"{one}/timeline": self._timeline,
            f"{one}/ranking": self._ranking,
            "/api/formats": self._formats,
            "/api/exports/{export}": self._download,
        }
        post = {"/api/export": self._export, "/api/import": self._import}
        routes: list[Any] = [Route("/", self._page, methods=["GET"])]
        routes += [Route(path, self._answering(handler), methods=["GET"]) for path, handler in get.items()]
        routes += [Route(path, self._answering(handler), methods=["POST"]) for path, handler in post.items()]
        routes.append(WebSocketRoute("/api/live", self._live))
        if STATIC.is_dir():
            mimetypes.add_type(
                "text/javascript", ".js"
            )  # some systems think it is plain text, and browsers refuse that
            routes.append(Mount("/static", StaticFiles(directory=STATIC)))
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_such_place})

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Any) -> AsyncIterator[None]:
        self.hub.start()
        leave = self.session.listen(self.hub.tell)
        try:
            yield
        finally:
            leave()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self.exports.close()

    async def _off_loop(self, work: Callable[..., Any], *args: Any, **fields: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, partial(work, *args, **fields))

    def _answering(self, handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Turn refusals and errors of a handler into the protocol's error answers."""

        async def endpoint(request: Request) -> Response:
            try:
                return await handler(request)
            except Exception as error:
                refusal = as_refusal(error)
                return _json({"error": refusal.to_json()}, status=CODES[refusal.code])

        return endpoint

    # HTTP

    async def _page(self, request: Request) -> Response:
        from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse

        if "token" in request.query_params:
            # A browser sends no strict cookie along a redirect that began on another site (a terminal in a web page).
            foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
            hop = HTMLResponse('<!doctype html><meta http-equiv="refresh" content="0;url=/">')
            answer: Response = hop if foreign else RedirectResponse("/", status_code=303)
            answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
            return answer
        page = STATIC / "index.html"
        if not page.is_file():
            return PlainTextResponse(
                "vidseg annotate: this installation lacks the page (vidseg/annotate/static)\n", 500
            )
        host = request.headers["host"]
        policy = (
            "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'none'; connect-src 'self' ws://{host}"
        )
        return FileResponse(page, headers={"content-security-policy": policy, "cache-control": "no-store"})

    async def _project(self, request: Request) -> Response:
        return _json(await self._off_loop(self.session.snapshot))

    async def _times(self, request: Request) -> Response:
        video = need_video(self.session.project, request.path_params["video"])
        return _json({"seconds": video.times.tolist()})

    async def _frame(self, request: Request) -> Response:
        options = api.query(request.query_params, _FRAME_QUERY)
        form = options.pop("format", "jpeg")
        return await self._picture(request, self.session.frames.picture, form, {"form": form, **options})

    async def _thumbnail(self, request: Request) -> Response:
        options = api.query(request.query_params, {"height": (api.whole(24, 240), False)})
        return await self._picture(request, self.session.frames.thumbnail, "jpeg", options)

    async def _picture(
        self, request: Request, make: Callable[..., bytes], form: str, options: dict[str, Any]
    ) -> Response:
        from starlette.responses import Response

        video, frame = request.path_params["video"], request.path_params["frame"]
        known = need_frame(self.session.project, video, frame)
        picture = await self._off_loop(make, video, frame, **options)
        fresh = request.query_params.get("v") == known.fingerprint
        keep = "private, max-age=31536000, immutable" if fresh else "no-store"
        return Response(picture, media_type=f"image/{form}", headers={"cache-control": keep})

    async def _annotation(self, request: Request) -> Response:
        span = api.query(request.query_params, _SPAN_QUERY)
        objects = None
        if "objects" in request.query_params:
            objects = [_object_id(one) for one in request.query_params["objects"].split(",")]
        video = request.path_params["video"]
        return _json(await self._off_loop(view.annotation, self.session.project, video, objects=objects, **span))

    async def _timeline(self, request: Request) -> Response:
        return _json(await self._off_loop(view.timeline, self.session.project, request.path_params["video"]))

    async def _ranking(self, request: Request) -> Response:
        options = api.query(request.query_params, _RANKING_QUERY)
        found = await self._off_loop(view.ranking, self.session.project, request.path_params["video"], **options)
        return _json(found)

    async def _formats(self, request: Request) -> Response:
        return _json({"export": exports.about(), "import": imports.about()})

    async def _export(self, request: Request) -> Response:
        asked = api.check_export(await _body(request, MAX_BODY))
        return _json(self.exports.start(**asked))

    async def _download(self, request: Request) -> Response:
        from starlette.responses import FileResponse

        path = self.exports.file(request.path_params["export"])
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def _import(self, request: Request) -> Response:
        asked = api.query(request.query_params, {"video": (api.whole(1), True), "format": (api.text(1, 20), True)})
        with imports.upload() as file:
            async for chunk in request.stream():
                file.write(chunk)  # raises when the limit is passed
            return _json(await self._off_loop(imports.import_upload, self.session, file, **asked))

    # WebSocket

    async def _live(self, socket: WebSocket) -> None:
        from starlette.websockets import WebSocketDisconnect

        await socket.accept()
        tab = Tab()
        self.hub.join(tab)
        hello = {"event": "hello", "revision": self.session.project.store.revision}
        await socket.send_json({**hello, "protocol": view.PROTOCOL, "tabs": len(self.hub)})
        sending = asyncio.create_task(_send(socket, tab))
        aside: set[asyncio.Task[None]] = set()
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                text = message.get("text") or message.get("bytes") or ""
                if len(text) > api.MAX_MESSAGE:
                    await socket.close(1009)
                    break
                await self._message(tab, text, aside)
        except WebSocketDisconnect:
            pass
        finally:
            self.hub.leave(tab)
            for task in (sending, *aside):
                task.cancel()

    async def _message(self, tab: Tab, text: str | bytes, aside: set[asyncio.Task[None]]) -> None:
        try:
            request = api.parse(text)
        except Refused as refusal:
            number = refusal.extra.pop("id", None)
            tab.push(_dump({"id": number, "ok": False, "error": refusal.to_json()}), event=False)
            return
        if request.do not in SIDEWAYS:
            await self._do(tab, request)
            return
        if len(aside) >= _THREADS // 2:
            busy = Refused("superseded", "too many requests of this kind are waiting")
            tab.push(_dump({"id": request.id, "ok": False, "error": busy.to_json()}), event=False)
            return
        task = asyncio.create_task(self._do(tab, request))
        aside.add(task)
        task.add_done_callback(aside.discard)

    async def _do(self, tab: Tab, request: api.Request) -> None:
        try:
            result = await self._off_loop(self.session.do, request.do, **request.fields)
            answer: dict[str, Any] = {"id": request.id, "ok": True, "result": result}
        except Exception as error:
            answer = {"id": request.id, "ok": False, "error": as_refusal(error).to_json()}
        answer["revision"] = self.session.project.store.revision
        tab.push(_dump(answer), event=False)


def as_refusal(error: Exception) -> Refused:
    """Return any exception as a refusal that the page can show; unexpected ones are printed in full to stderr."""
    if isinstance(error, Refused):
        return error
    text = " ".join(str(error).split())
    if isinstance(error, VideoError):
        return Refused("unavailable", text)
    if isinstance(error, VidsegError):
        return Refused("bad_request", text)
    import traceback

    traceback.print_exception(error, file=sys.stderr)
    return Refused("failed", f"internal error: {type(error).__name__}: {text}")


def _object_id(text: str) -> int:
    found: int = api.query({"objects": text}, {"objects": (api.whole(1, 65535), True)})["objects"]
    return found


def _dump(value: Any) -> str:
    import json

    return json.dumps(value, separators=(",", ":"))


def _json(value: Any, *, status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(_dump(value), status_code=status, media_type="application/json")


async def _no_such_place(request: Request, error: Any) -> Response:
    """The answer to an address or a method that nothing answers to."""
    refusal = Refused(
        "not_found" if error.status_code == 404 else "bad_request",
        f"nothing answers to {request.method} {request.url.path}",
    )
    return _json({"error": refusal.to_json()}, status=error.status_code)


async def _body(request: Request, limit: int) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            raise Refused("too_large", f"the request is larger than {limit} bytes")
    return bytes(found)


async def _send(socket: WebSocket, tab: Tab) -> None:
    with contextlib.suppress(RuntimeError, OSError):  # the tab was closed while we were sending
        while True:
            await socket.send_text(await tab.next())


def check_installed() -> None:
    """Raise VidsegError, naming what to install, if the server's packages are missing."""
    from importlib.util import find_spec

    for package in ("starlette", "uvicorn", "websockets"):
        if find_spec(package) is None:
            raise needs_extra(package, "annotate")


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket on `port`, or on a free one for 0.

    Raises ProjectError if the address cannot be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ProjectError(
            f"cannot listen on {host} port {port} ({error.strerror}); choose another with --port"
        ) from None
    return listener


def serve(session: Session, listener: socket.socket, *, host: str, ready: Callable[[str], None]) -> None:
    """Serve a session on a bound socket until interrupted; `ready` is called with the address to open."""
    import uvicorn

    port = listener.getsockname()[1]
    server = Server(session, host=host, port=port)
    name = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
    address = f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={server.token}"
    config = uvicorn.Config(
        server.app, log_level="warning", access_log=False, lifespan="on", ws="websockets-sansio",
        ws_max_size=api.MAX_MESSAGE, timeout_graceful_shutdown=1, server_header=False,
    )  # fmt: skip
    running = _announcing(config, partial(ready, address), server.hub)
    running.run(sockets=[listener])


def _announcing(config: Any, ready: Callable[[], None], hub: Hub) -> Any:
    """Return a uvicorn server that says when it answers, and tells the tabs when it ends."""
    import uvicorn

    class Announcing(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                ready()

        async def shutdown(self, sockets: Any = None) -> None:
            hub.push({"event": "closing", "message": "vidseg annotate has ended; everything is saved"})
            await asyncio.sleep(0.05)
            await super().shutdown(sockets=sockets)

    return Announcing(config)

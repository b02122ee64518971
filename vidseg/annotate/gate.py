"""Who may talk to the server: checks of Host, Origin and token before any request is looked at.

Plain ASGI, so that it covers HTTP and WebSockets alike. Host is checked against the names the server was started for,
so a foreign domain that resolves to this machine (DNS rebinding) gets nothing; Origin against Host, so no foreign page
can; the token, so no other user or program of this machine can.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import socket
from collections.abc import Callable, Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
OPEN = "/static/"
"""The page's own files hold no secrets and need no token."""


def names_of(host: str) -> frozenset[str]:
    """Return the host names by which a server bound to `host` may be called; "*" stands for any IP address.

    A server bound to all addresses is also called by the machine's name; any IP address will do, as rebinding needs a
    name.
    """
    loopback = {"127.0.0.1", "localhost", "::1"}
    if host in loopback:
        return frozenset(loopback)
    if host in ("0.0.0.0", "::", ""):
        return frozenset({*loopback, "*", socket.gethostname().lower(), socket.getfqdn().lower()})
    return frozenset({host.lower()})


class Gate:
    """ASGI middleware that lets through only who knows the token and comes from the right place."""

    def __init__(self, app: Callable[..., Any], *, token: str, names: Collection[str], cookie: str) -> None:
        self._app = app
        self._token = token
        self._names = names
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Callable[..., Any], send: Callable[..., Any]) -> None:
        """Refuse, or pass on with headers that keep the page to itself."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(scope, receive, send, *refusal)
            return

        async def harden(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                extra = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                if b"cache-control" not in present:
                    extra.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message.get("headers", ()), *extra]}
            await send(message)

        await self._app(scope, receive, harden)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        hosts = headers.get("host", [])
        if len(hosts) != 1 or not self._knows(hosts[0]):
            return 403, "this server does not answer to that host name; open the link that the terminal shows"
        for origin in headers.get("origin", []):
            if origin != f"http://{hosts[0]}":
                return 403, "another page may not talk to this server"
        if headers.get("sec-fetch-site", ["none"])[0] not in ("same-origin", "none") and scope["path"] != "/":
            return 403, "another page may not talk to this server"
        if scope["path"].startswith(OPEN) and scope["type"] == "http":
            return None
        if not self._has_token(scope, headers):
            return 401, "the token is missing or wrong; open the link that the terminal shows"
        return None

    def _knows(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._names:
            return True
        if "*" not in self._names:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, scope: Scope, headers: dict[str, list[str]]) -> bool:
        given = list(headers.get("x-vidseg-token", []))
        given += parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        for line in headers.get("cookie", []):
            try:
                cookie = SimpleCookie(line).get(self._cookie)
            except CookieError:
                continue
            if cookie is not None:
                given.append(cookie.value)
        return any(hmac.compare_digest(one.encode(), self._token.encode()) for one in given)


async def _refuse(
    scope: Scope, receive: Callable[..., Any], send: Callable[..., Any], status: int, message: str
) -> None:
    if scope["type"] == "websocket":
        await receive()
        # Accepted first, so that the page learns the code; a refused handshake would tell it nothing.
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000 + status, "reason": message[:120]})
        return
    code = "unauthorised" if status == 401 else "forbidden"
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    kind = b"application/json"
    if scope["path"] == "/":
        body, kind = f"vidseg annotate: {message}\n".encode(), b"text/plain; charset=utf-8"
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

"""Refuse requests to the live page that its own browser would not make."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .token_login import TokenLogin

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class RequestGuard:
    """ASGI middleware for a read-only page: refuses requests that the page never makes.

    405 for any method but GET and HEAD; 421 for a Host that is not in `hosts`, which protects from
    DNS rebinding; 403 for a request from another site, and for one without a login.

    Args:
        app: the application to protect.
        policy: the Content-Security-Policy of every response.
        hosts: allowed host names; None: any, if a host application checks them.
        login: checks every request; None: a host application does it.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: str,
        hosts: Collection[str] | None = None,
        login: TokenLogin | None = None,
    ) -> None:
        self._app = app
        self._headers = {**_HEADERS, "Content-Security-Policy": policy}
        self._hosts = hosts
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._respond(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        response = self._refusal(request)
        if response is None and self._login is not None:
            response = self._login.response(request)
        await (self._app if response is None else response)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "this page is read-only; allowed: GET, HEAD", Allow="GET, HEAD")
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return _refuse(421, f"not served under this name; allowed: {', '.join(self._hosts)}")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refuse(403, "requested by another site; type the address yourself")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refuse(403, "requested by another site")
        return None

    def _with_headers(self, send: Send) -> Send:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return send_with_headers


def _host_name(host: str) -> str:
    """The name in a Host header, without the port; empty if the header is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, why: str, **headers: str) -> Response:
    return PlainTextResponse(f"{why}\n", status, headers)

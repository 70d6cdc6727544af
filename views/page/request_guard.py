"""Who may read the live page: its own browser, and nobody else."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .token_login import Login

_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Stands before an application that only shows, and refuses what its own page never asks.

    405 for any method but GET and HEAD; 421 for a Host that is none of `hosts`, which is how a
    foreign page whose name has been pointed to this machine is known; 403 for a request that a
    browser says another site made, and for one without a login.

    Args:
        app: what is guarded.
        policy: the Content-Security-Policy of every answer.
        hosts: names under which it may be asked for; None: any, where a host application decides.
        login: who may come in; None: whoever the host application lets through.
    """

    def __init__(
        self,
        app: ASGIApp,
        policy: str,
        hosts: Collection[str] | None = None,
        login: Login | None = None,
    ) -> None:
        self._app = app
        self._headers = {**_HEADERS, "Content-Security-Policy": policy}
        self._hosts = hosts
        self._login = login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, self._with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        answer = self._refusal(request)
        if answer is None and self._login is not None:
            answer = self._login.answer(request)
        await (self._app if answer is None else answer)(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "this page only shows; allowed: GET, HEAD", Allow="GET, HEAD")
        if self._hosts is not None and _name(host) not in self._hosts:
            return _refuse(421, f"not served under this name; allowed: {', '.join(self._hosts)}")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _refuse(403, "asked for by another site; type the address yourself")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return _refuse(403, "asked for by another site")
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return sending


def _name(host: str) -> str:
    """The name in a Host header, without its port; no name at all where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refuse(status: int, why: str, **headers: str) -> Response:
    return PlainTextResponse(f"{why}\n", status, headers)

"""The live page as an ASGI application: the page, the list of recordings, a stream of each."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import closing

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ..recordings.recording_index import Shelf
from ..recordings.records import RecordingError
from .chart_svg import drawn
from .event_stream import messages
from .feed import Feed
from .page import WATCH
from .request_guard import Guard
from .token_login import Login

STREAMS = 16
"""Pages that may be open at once."""


def live_app(
    shelf: Shelf,
    hosts: Collection[str] | None = None,
    login: Login | None = None,
    ends: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """The application, behind its guard; its streams end when the server does."""
    live = _Live(shelf, ends)
    routes = [
        Route("/", live.page),
        Route("/recordings", live.recordings),
        Route("/recordings/{name}/events", live.events),
        Route("/recordings/{name}/chart", live.chart),
    ]
    return Guard(Starlette(routes=routes), f"{WATCH.policy}; frame-ancestors 'self'", hosts, login)


class _Live:
    def __init__(self, shelf: Shelf, ends: Callable[[], bool]) -> None:
        self._shelf = shelf
        self._ends = ends
        self._free = threading.BoundedSemaphore(STREAMS)

    def page(self, request: Request) -> Response:
        return HTMLResponse(WATCH.html())

    def recordings(self, request: Request) -> Response:
        return JSONResponse(self._shelf.entries())

    def chart(self, request: Request) -> Response:
        try:
            with closing(self._feed(request)) as feed:
                return Response(drawn(feed.rows), media_type="image/svg+xml")
        except (KeyError, RecordingError) as error:
            return _unknown(error)

    async def events(self, request: Request) -> Response:
        if not self._free.acquire(blocking=False):
            return PlainTextResponse(f"{STREAMS} pages are open; close one\n", 503)
        try:
            feed = self._feed(request)
        except (KeyError, RecordingError) as error:
            self._free.release()
            return _unknown(error)
        after = request.headers.get("last-event-id", "")
        return _Stream(messages(feed, after, self._ends), (feed.close, self._free.release))

    def _feed(self, request: Request) -> Feed:
        return Feed(self._shelf.path(request.path_params["name"]))


class _Stream(StreamingResponse):
    """Server-sent events; `after` is called however they end, also before the first."""

    def __init__(self, events: AsyncIterator[str], after: Sequence[Callable[[], None]]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )
        self._after = after

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for done in self._after:
                done()


def _unknown(error: Exception) -> Response:
    return PlainTextResponse(f"there is no such recording: {error}\n", 404)

"""The routes of the live page: the page, the recordings, their results, events and pictures.

Imports starlette, which is optional: `watch_app` and `serve` import this module when called.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence

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

from ..recordings.recording_index import RecordingIndex
from ..recordings.records import RecordingError
from .event_stream import event_stream
from .page import WATCH
from .recording_feed import RecordingFeed
from .request_guard import RequestGuard
from .run_numbers import results_of, run_details
from .shown_pictures import shown_pictures
from .token_login import TokenLogin

MAX_STREAMS = 16
"""Pages that may be open at once."""


def asgi_app(
    index: RecordingIndex,
    hosts: Collection[str] | None = None,
    login: TokenLogin | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """Build the application, wrapped in a `RequestGuard`.

    Args:
        index: the recordings to show.
        hosts, login: see `RequestGuard`.
        is_stopping: returns whether the server is shutting down; event streams end then.
    """
    endpoints = _Endpoints(index, is_stopping)
    routes = [
        Route("/", endpoints.page),
        Route("/recordings", endpoints.recordings),
        Route("/results", endpoints.results),
        Route("/recordings/{name}/events", endpoints.events),
        Route("/recordings/{name}/details", endpoints.details),
        Route("/recordings/{name}/pictures", endpoints.pictures),
    ]
    policy = f"{WATCH.policy}; frame-ancestors 'self'"
    return RequestGuard(Starlette(routes=routes), policy, hosts, login)


class _Endpoints:
    def __init__(self, index: RecordingIndex, is_stopping: Callable[[], bool]) -> None:
        self._index = index
        self._is_stopping = is_stopping
        self._free_streams = threading.BoundedSemaphore(MAX_STREAMS)

    def page(self, request: Request) -> Response:
        return HTMLResponse(WATCH.html())

    def recordings(self, request: Request) -> Response:
        return JSONResponse(self._index.entries())

    def results(self, request: Request) -> Response:
        return JSONResponse({name: results_of(one) for name, one in self._index.results().items()})

    def details(self, request: Request) -> Response:
        try:
            return JSONResponse(run_details(self._index.path(request.path_params["name"])))
        except (KeyError, RecordingError) as error:
            return _not_found(error)

    def pictures(self, request: Request) -> Response:
        try:
            return JSONResponse(shown_pictures(self._index.path(request.path_params["name"])))
        except (KeyError, RecordingError) as error:
            return _not_found(error)

    async def events(self, request: Request) -> Response:
        if not self._free_streams.acquire(blocking=False):
            return PlainTextResponse(f"{MAX_STREAMS} pages are open; close one\n", 503)
        try:
            feed = RecordingFeed(self._index.path(request.path_params["name"]))
        except BaseException as error:
            self._free_streams.release()
            if isinstance(error, (KeyError, RecordingError)):
                return _not_found(error)
            raise
        last_id = request.headers.get("last-event-id", "")
        events = event_stream(feed, last_id, self._is_stopping)
        return _EventResponse(events, (self._free_streams.release, feed.close))


def _not_found(error: Exception) -> Response:
    return PlainTextResponse(f"there is no such recording: {error}\n", 404)


class _EventResponse(StreamingResponse):
    """Server-sent events. Calls `on_close` however they end, even before the first event."""

    def __init__(self, events: AsyncIterator[str], on_close: Sequence[Callable[[], None]]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )
        self._on_close = on_close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            for callback in self._on_close:
                callback()

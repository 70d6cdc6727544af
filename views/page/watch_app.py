"""The live page as an ASGI application, to mount in another application."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from ..recordings.recording_index import RecordingIndex

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def watch_app(*paths: str | Path, hosts: Collection[str] | None = None) -> ASGIApp:
    """Build an ASGI application that shows recordings while they are written.

    `app.mount("/training", watch_app("runs"))`: it accepts only GET and HEAD, refuses requests
    that another site's page makes, and leaves the login to `app`. An open page holds a connection,
    for which a server waits when it shuts down: see `timeout_graceful_shutdown` of uvicorn.

    Args:
        paths: recordings, or folders of them.
        hosts: names of the server for which it answers; None: any.

    Raises:
        ImportError: starlette is missing: `pip install 'trackside[watch]'`.
    """
    try:
        from .asgi_app import asgi_app
    except ModuleNotFoundError as error:
        raise ImportError(
            f"the live page needs {error.name}, which is not installed: "
            "pip install 'trackside[watch]'"
        ) from error
    return asgi_app(RecordingIndex([Path(path) for path in paths]), hosts)

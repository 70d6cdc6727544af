"""The live page, to be mounted in an application of your own."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def watch_app(*paths: str | Path, hosts: Collection[str] | None = None) -> ASGIApp:
    """An ASGI application that shows recordings while they are written.

    `app.mount("/training", watch_app("runs"))`: it only reads, takes GET and HEAD alone, refuses
    what another site's page asks for, and leaves it to `app` who may log in. An open page holds a
    connection, for which a server that is to end waits: `timeout_graceful_shutdown` of uvicorn.

    Args:
        paths: of recordings, or of folders of them.
        hosts: names of the server under which it answers; None: any.

    Raises:
        ImportError: starlette is missing: `pip install trackside[watch]`.
    """
    try:
        from .live_app import live_app
    except ModuleNotFoundError as error:
        raise ImportError(
            f"the live page needs {error.name}, which is not installed: "
            "pip install 'trackside[watch]'"
        ) from error
    from ..recordings.recording_index import Shelf

    return live_app(Shelf([Path(path) for path in paths]), hosts)

"""Serves the live page until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from ..recordings.recording_index import Shelf
from .live_app import live_app
from .loopback import LOOPBACK
from .token_login import Login


def serve(
    paths: Sequence[Path], listening: socket.socket, host: str, token: str, chosen: bool
) -> None:
    """Print the address, and serve.

    Args:
        paths: of recordings, or of folders of them.
        listening: a bound socket.
        host: what it is bound to.
        token: what the address must carry.
        chosen: whether a person chose the token; it is then good for any number of browsers.
    """
    port = listening.getsockname()[1]
    login = Login(token, f"trackside-{port}", chosen)
    app = live_app(Shelf(paths), _names(host), login, lambda: server.should_exit)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=1, lifespan="off"
    )
    server = uvicorn.Server(config)
    listening.listen()  # who opens the address at once waits, and is not refused
    print(f"http://{_in_address(host)}:{port}/?token={quote(token)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _names(host: str) -> tuple[str, ...]:
    """Under which a browser may ask; behind a name of your own, mount `watch_app` instead."""
    names = (socket.gethostname(), socket.getfqdn()) if host in ("0.0.0.0", "::") else ()
    return tuple(dict.fromkeys((*LOOPBACK, host, *names)))


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""Serve the live page until Ctrl-C."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import uvicorn

from ..recordings.recording_index import RecordingIndex
from .asgi_app import asgi_app
from .loopback import LOOPBACK_HOSTS
from .token_login import TokenLogin


def serve(
    paths: Sequence[Path], listening: socket.socket, host: str, token: str, reusable: bool
) -> None:
    """Print the address of the page, then serve it.

    Args:
        paths: recordings, or folders of them.
        listening: a bound socket.
        host: the host that the socket is bound to.
        token: the token that the address must contain.
        reusable: whether the token logs in any number of browsers, or only one.
    """
    port = listening.getsockname()[1]
    login = TokenLogin(token, f"trackside-{port}", reusable)
    app = asgi_app(RecordingIndex(paths), _host_names(host), login, lambda: server.should_exit)
    config = uvicorn.Config(
        app, log_level="warning", server_header=False, timeout_graceful_shutdown=1, lifespan="off"
    )
    server = uvicorn.Server(config)
    listening.listen()  # a browser that opens the address at once waits and is not refused
    print(f"http://{_in_address(host)}:{port}/?token={quote(token)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listening])


def _host_names(host: str) -> tuple[str, ...]:
    """Names that a browser may use; for another name, mount `watch_app` instead."""
    names = (socket.gethostname(), socket.getfqdn()) if host in ("0.0.0.0", "::") else ()
    return tuple(dict.fromkeys((*LOOPBACK_HOSTS, host, *names)))


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host

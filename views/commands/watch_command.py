"""`trackside watch`: serve the live page."""

from __future__ import annotations

import argparse
import secrets
import socket
from pathlib import Path

from ..options.parser import Commands, whole_number
from ..output.usage_error import UsageError
from ..page.loopback import LOOPBACK_HOSTS
from ..recordings.recording import Recording


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "show recordings in a browser, live"
    watch = commands.add_parser("watch", help=about, description=about)
    watch.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("runs")],
        metavar="PATH",
        help="a recording, or a folder of recordings; default: runs",
    )
    watch.add_argument(
        "--port", type=whole_number, default=0, metavar="N", help="default: a free port"
    )
    watch.add_argument(
        "--host",
        default=LOOPBACK_HOSTS[0],
        help="the address to listen on; one that other machines can reach needs --token",
    )
    watch.add_argument(
        "--token", help="the secret in the address; default: a random one that works once"
    )
    watch.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    _check(arguments)
    try:
        from ..page.page_server import serve
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the live page needs {error.name}: pip install 'trackside[watch]'"
        ) from None
    token = arguments.token or secrets.token_urlsafe(24)
    listening = _listen(arguments.host, arguments.port)
    serve(arguments.paths, listening, arguments.host, token, reusable=arguments.token is not None)


def _check(arguments: argparse.Namespace) -> None:
    for path in arguments.paths:
        if not path.exists():
            raise UsageError(f"cannot find {path}: a Recorder creates recordings when a fit begins")
        if not path.is_dir():
            with Recording(path):  # a folder may get its first recording later
                pass
    if arguments.host not in LOOPBACK_HOSTS and not arguments.token:
        raise UsageError(
            f"--host {arguments.host}: other machines can reach it; set --token, of 16 or more "
            "characters"
        )
    if arguments.token is not None and len(arguments.token) < 16:
        raise UsageError("--token is too short; allowed: 16 or more characters")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise UsageError(f"cannot listen on {host}, port {port}: {error}") from None
    return listening

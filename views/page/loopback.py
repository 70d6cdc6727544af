"""The names under which only this machine reaches a server."""

from __future__ import annotations

LOOPBACK = ("127.0.0.1", "localhost", "::1")

"""`trackside handlers`: list the installed handlers."""

from __future__ import annotations

import argparse

from ..options.parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "list the handlers of installed distributions, without importing them"
    handlers = commands.add_parser("handlers", help=about, description=about)
    handlers.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ...events.bus.plugins import list_plugins
    from ..handler_docs.static_docstring import summary

    rows = [
        (plugin.distribution, plugin.name, plugin.entry.value, summary(plugin.entry.value))
        for plugin in list_plugins()
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())

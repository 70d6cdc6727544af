"""`trackside handlers`: list the installed handlers, or show one."""

from __future__ import annotations

import argparse
import inspect
import re

from ...events.utils.exception_text import first_message_line
from ..options.parser import Commands
from ..output.text_columns import align_columns
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "list the handlers of installed distributions, without importing them; or show one"
    handlers = commands.add_parser("handlers", help=about, description=about)
    handlers.add_argument(
        "name", nargs="?", metavar="NAME", help="show what this handler does, and its arguments"
    )
    handlers.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.name is None:
        _list()
    else:
        _show(arguments.name)


def _list() -> None:
    from ...events.bus.plugins import list_plugins
    from ..handler_docs.static_docstring import summary

    rows = [
        (plugin.distribution, plugin.name, plugin.entry.value, summary(plugin.entry.value))
        for plugin in list_plugins()
    ]
    print(align_columns(rows, left=4))


def _show(name: str) -> None:
    from ...events import AttachError
    from ...events.bus.plugins import find_plugin, load_handler
    from ..options.typed_parser import typed_parser

    try:
        plugin, factory = find_plugin(name), load_handler(name)
    except AttachError as error:
        raise UsageError(first_message_line(error)) from None
    print(f"{plugin.name}: {plugin.entry.value} of {plugin.distribution}\n")
    doc = inspect.getdoc(factory) or "It has no docstring."
    print(re.sub(r"^Args:\n(?: .*\n|\n(?= ))*\n?", "", f"{doc}\n", flags=re.M))
    parser = typed_parser(factory, name)
    if vars(parser.get_defaults()):
        print("Arguments, each as --handler NAME.ARGUMENT=VALUE:\n")
        print(_as_arguments(plugin.name, parser.format_help()))


def _as_arguments(name: str, options: str) -> str:
    """`--max_norm MAX_NORM` as `gradient_clip.max_norm=MAX_NORM`, without a title."""
    without_help = re.sub(r"^  --\S+\.help.*\n(?:   .*\n)*", "", options, flags=re.M)
    lines = re.sub(r"^  --(\S+)(?: (\S+))?", rf"  {name}.\1=\2", without_help, flags=re.M)
    return lines.partition(":\n")[2].rstrip()

"""The factory on the command line: its target, its own parameters as options, their help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from ..options.handler_option import add_handler_option, check_handler_names
from ..options.parser import FACTORY, Parser
from ..options.precision_option import add_precision_option
from ..output.usage_error import UsageError
from .import_target import import_factory


def add_factory(command: Parser) -> None:
    """Add the factory, and what the job of `trackside fit` may have besides: `--config FILE`,
    `--handler NAME`, `--precision NAME`; the help of the command needs `add_help=False`."""
    command.add_argument(
        "factory",
        help=f"{FACTORY}; its own parameters follow it, such as --lr 0.003; one "
        "that has the name of an option here is --factory.NAME",
    )
    command.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="read arguments from this YAML file, such as the config.yaml that --out writes; those "
        "on the command line win",
    )
    add_handler_option(command)
    add_precision_option(command)
    command.add_argument(
        "-h",
        "--help",
        nargs=0,
        action=_Help,
        help="show this help, and after a factory also its parameters",
    )
    command.set_defaults(takes_more=True, prog=command.prog, known=command.names)


def import_named(arguments: argparse.Namespace) -> Callable[..., Any]:
    """Import the factory that a command names.

    Raises:
        UsageError: as `import_factory`; an option of the factory stands before it, or no
            distribution has a handler of `--handler`.
    """
    check_handler_names(arguments.handler)
    if arguments.more and ":" not in arguments.factory:
        raise UsageError(
            f"unrecognized arguments: {' '.join(arguments.more)}; options of a factory follow it: "
            f"{arguments.prog} module:function {arguments.more[0]} …; see {arguments.prog} --help"
        )
    return import_factory(arguments.factory)


class _Help(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        print(parser.format_help())
        if (target := getattr(namespace, "factory", None)) is not None:
            from .factory_arguments import parameters_help

            known = getattr(parser, "names", ())
            own = parameters_help(import_factory(target), target, known)
            print(own or f"{target} has no parameters of its own")
        parser.exit()

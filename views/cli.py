"""The command line: `trackside demo`, `trackside fit module:factory`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from .errors import UsageError
from .factory import find_factory
from .output import writable


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0; 2 after an error of use, one line on stderr; 130 after Ctrl-C. What a
        model, a loader or a handler raises escapes.
    """
    try:
        arguments = parser().parse_args(argv)
        arguments.command(arguments)
    except UsageError as error:
        print(f"trackside: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("trackside: interrupted; every scope is closed", file=sys.stderr)
        return 130
    return 0


class Parser(argparse.ArgumentParser):
    """One whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def parser() -> Parser:
    """What the command line takes."""
    root = Parser(prog="trackside", description="Training as a state machine.")
    root.add_argument("--version", action="version", version=f"trackside {version('trackside')}")
    commands = root.add_subparsers(required=True, metavar="demo | fit")
    _add_demo(commands)
    _add_fit(commands)
    return root


def _add_demo(commands: argparse._SubParsersAction[Parser]) -> None:
    about = "train a small convolutional net on scikit-learn's digits"
    demo = commands.add_parser("demo", help=about, description=about)
    demo.add_argument("--epochs", type=_count, metavar="N", help="default: 8")
    demo.add_argument("--seed", type=_count, default=0, metavar="N", help="default: 0")
    _add_out(demo, default="runs/demo")
    demo.set_defaults(command=_demo)


def _add_fit(commands: argparse._SubParsersAction[Parser]) -> None:
    about = "train the trackside.views.Job that a function of yours returns"
    fit = commands.add_parser("fit", help=about, description=about)
    fit.add_argument("factory", help="module:function, or path/to/file.py:function")
    fit.add_argument("--epochs", type=_count, metavar="N", help="default: the job's own")
    fit.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the job's own")
    _add_out(fit)
    fit.set_defaults(command=_fit)


def _add_out(command: Parser, default: str | None = None) -> None:
    command.add_argument(
        "--out",
        metavar="DIR",
        default=default,
        help=f"where history.csv and model.pt are written; default: {default or 'nowhere'}",
    )


def _count(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to 2**63 - 1")
    return int(text)


def _demo(arguments: argparse.Namespace) -> None:
    out = writable(arguments.out)

    import torch

    from .demo import digits
    from .training import train

    torch.set_num_threads(1)  # more gain nothing for so small a net, and lose on a busy machine
    train(digits(arguments.seed), arguments.epochs, out)


def _fit(arguments: argparse.Namespace) -> None:
    out = None if arguments.out is None else writable(arguments.out)
    factory = find_factory(arguments.factory)

    from .device import usable_device
    from .making import make_job
    from .training import train

    device = None if arguments.device is None else usable_device(arguments.device)
    train(make_job(factory, arguments.factory, device), arguments.epochs, out)


if __name__ == "__main__":
    sys.exit(main())

"""The option `--handler NAME`: attach handlers by their published names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...events import AttachError, OrderError
from ...events.utils.exception_text import first_message_line
from ..output.usage_error import UsageError
from .parser import Parser

if TYPE_CHECKING:
    from ...engine import Trainer


def add_handler_option(command: Parser) -> None:
    """Add `--handler NAME`."""
    command.add_argument(
        "--handler",
        action="append",
        default=[],
        metavar="NAME[.ARGUMENT=VALUE]",
        help="attach a handler that `trackside handlers` lists, such as "
        "gradient_clip.max_norm=1.0; may be given several times, and for each argument; "
        "`trackside handlers NAME` shows them",
    )


def check_handler_names(handlers: Sequence[str]) -> None:
    """Check that each name is published, without importing the handlers.

    Raises:
        UsageError: no distribution publishes a name, or several do.
    """
    from ...events.bus.plugins import find_plugin

    with _usage_errors():
        for name in _by_name(handlers):
            find_plugin(name)


def attach_handlers(trainer: Trainer, handlers: Sequence[str]) -> None:
    """Load each handler, create it with its arguments, and attach it.

    Raises:
        UsageError: a handler cannot be imported, created with these arguments, or attached.
    """
    from ...events.bus.plugins import load_handler

    for name, arguments in _by_name(handlers).items():
        with _usage_errors(_hint(name)):
            made = _made(load_handler(name), name, arguments) if arguments else name
            trainer.attach(made)


def _made(factory: Callable[..., Any], name: str, arguments: Sequence[str]) -> Any:
    from .typed_parser import parse_typed, typed_parser

    tried = f"--handler {name}"
    parser = typed_parser(factory, tried)
    words = [f"--{argument}" for argument in arguments]
    found = parse_typed(parser, words, tried, _hint(name))
    given = parser.instantiate(found).as_dict()
    try:
        return factory(**{k: v for k, v in given.items() if found[k] != parser.get_default(k)})
    except (TypeError, ValueError, ImportError) as error:
        raise UsageError(f"{tried}: {first_message_line(error)}") from None


def _hint(name: str) -> str:
    return f"; `trackside handlers {name}` shows its arguments"


def _by_name(handlers: Sequence[str]) -> dict[str, list[str]]:
    """`max_norm=1.0` of `gradient_clip.max_norm=1.0`, by the name of the handler.

    A name may have dots, as those of other distributions.
    """
    found: dict[str, list[str]] = {}
    for text in handlers:
        path, equals, value = text.partition("=")
        name, _, argument = path.rpartition(".") if equals else (path, "", "")
        found.setdefault(name or path, [])
        if equals:
            found[name or path].append(f"{argument}={value}")
    return found


@contextmanager
def _usage_errors(hint: str = "") -> Iterator[None]:
    try:
        yield
    except (AttachError, OrderError) as error:
        raise UsageError(f"--handler: {first_message_line(error)}{hint}") from None

"""The parameters of a function or class as options, by jsonargparse."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ...events.utils.similar_names import did_you_mean
from ..output.usage_error import UsageError

_UNION = r"Expected one of: \1. Got value: "


def typed_parser(
    function: Callable[..., Any], name: str, skipped: Collection[str] = ()
) -> ArgumentParser:
    """A parser of the parameters of `function`, typed by its signature and docstring.

    Args:
        name: of the function, in messages.
        skipped: parameters that are no options.

    Raises:
        UsageError: the signature cannot be read.
    """
    parser = ArgumentParser(
        exit_on_error=False,
        print_config=None,
        add_help=False,
        allow_abbrev=False,
        usage=argparse.SUPPRESS,
    )
    add_parameters(parser, function, name, skipped)
    return parser


def add_parameters(
    parser: ArgumentParser,
    function: Callable[..., Any],
    name: str,
    skipped: Collection[str],
    prefix: str | None = None,
) -> None:
    """Add parameters of `function` to a parser, with a prefix as `--prefix.NAME`.

    Raises: as `typed_parser`.
    """
    is_class = inspect.isclass(function)
    add = parser.add_class_arguments if is_class else parser.add_function_arguments
    try:
        add(function, prefix, as_group=not prefix, skip={*skipped}, fail_untyped=False)
    except Exception as error:  # annotations are code of the user
        raise UsageError(
            f"cannot read the parameters of {name}: {type(error).__name__}: {error}"
        ) from None


def parse_typed(
    parser: ArgumentParser,
    arguments: Sequence[str],
    tried: str,
    hint: str,
    known: Sequence[str] = (),
) -> Namespace:
    """Parse arguments; a name may be written with - or with _.

    Args:
        hint: the end of a message, which says where to look.
        known: names of options that may be meant, beside those of the parser.

    Raises:
        UsageError: begins with `tried`.
    """
    try:
        return parser.parse_args([_with_underscores(word) for word in arguments])
    except argparse.ArgumentError as error:
        files = [word.partition("=")[2] for word in arguments if word.startswith("--config=")]
        found = str(error).replace('"<unicode string>"', " or ".join(files))  # of a YAML parser
        message = _in_one_line(_as_typed(found, arguments))
        similar = _similar(message, [*known, *map(_option, parser.get_defaults().keys())])
        raise UsageError(f"{tried}: {message}{similar}{hint}") from None


def options_help(parser: ArgumentParser, known: Collection[str] = (), prefix: str = "") -> str:
    """The options of a parser, with type, default and description.

    Args:
        known: options of another parser; one of these names is shown with the prefix.
    """

    def shown(name: re.Match[str]) -> str:
        option = _option(name[0][2:])
        return _option(f"{prefix}.{option[2:]}") if option in known else option

    return re.sub(r"--[\w.]+", shown, _plain_types(parser.format_help())).strip()


def _in_one_line(message: str) -> str:
    """`Parser key "lr": Expected a <class 'float'>` as `--lr: Expected a float`."""
    named = re.sub(r'Parser key "([^"]*)"', lambda found: _option(found[1]), message)
    line = " ".join(_plain_types(named).split())
    line = re.sub(r"Does not validate .*? Subtypes: \[(.*)\] Errors: .* value: ", _UNION, line)
    line = re.sub(r"Expected a (?=[aeiou])", "Expected an ", line)
    begin, required, names = line.partition("arguments are required: ")
    return begin + required + ", ".join(map(_option, names.split(", "))) if required else line


def _plain_types(text: str) -> str:
    """`<class 'float'>` as `float`, `typing.Literal[1, 2]` as `Literal[1, 2]`."""
    return re.sub(r"<(?:class|enum) '([^']*)'>", r"\1", text).replace("typing.", "")


def _similar(message: str, known: Sequence[str]) -> str:
    unknown = re.search(r"unrecognized arguments: -*([^\s=]+)|Option '(.+?)' is not", message)
    name = unknown and (unknown[1] or unknown[2])
    return did_you_mean(_option(name), known, cutoff=0.6) if name else ""


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _as_typed(message: str, arguments: Sequence[str]) -> str:
    """The message with the names of options as they were written."""
    for word in arguments:
        if word.startswith("--"):
            message = message.replace(_with_underscores(word), word)
    return message


def _with_underscores(word: str) -> str:
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    return f"--{name.replace('-', '_')}{equals}{value}"

"""The arguments of a factory, from the command line and from YAML files."""

from __future__ import annotations

import argparse
import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import yaml
from jsonargparse import ArgumentParser, Namespace

from ...events.utils.hidden_secrets import is_secret
from ..options.typed_parser import options_help, parse_typed, typed_parser

SHARED = ("device", "epochs", "seed")
"""Options of a command that its factory gets too, if it has a parameter of this name."""
_CONFIG = "config"
_NOT_TEXT = "Unable to serialize instance"


@dataclass(frozen=True)
class FactoryArguments:
    """What a factory is called with, and what there is to print and to keep of it."""

    given: dict[str, Any]
    """By name, without those that equal the default of the factory."""
    effective: dict[str, Any]
    """All that the factory uses, as in YAML, without secrets."""
    options: dict[str, Any]
    """The options of the command that a file may contain, and that are set."""

    def text(self, **options: Any) -> str:
        """All as YAML, which the option `--config` reads; with more options of the command."""
        return str(yaml.safe_dump(self.effective | options | self.options, sort_keys=False))


def parameters_help(factory: Callable[..., Any], name: str) -> str:
    """The parameters of a factory that are options, with type, default and description."""
    parser = typed_parser(factory, name, {*SHARED, _CONFIG})
    return options_help(parser) if vars(parser.get_defaults()) else ""


def read_arguments(
    factory: Callable[..., Any],
    arguments: argparse.Namespace,
    in_files: Mapping[str, Any] = MappingProxyType({}),
) -> FactoryArguments:
    """Read the arguments of a factory: those in `arguments.more` win over those in files.

    What a file says of the command itself is set in `arguments`, where the command line does not.

    Args:
        arguments: `factory` is its name, `more` what the command does not know, `config` the files.
        in_files: the options of the command that a file may contain, with their types.

    Raises:
        UsageError: a file cannot be read, or an argument is wrong.
    """
    parser = typed_parser(factory, arguments.factory, {*SHARED, *in_files, _CONFIG})
    defaults = parser.get_defaults().clone()
    for option, kind in in_files.items():
        parser.add_argument(f"--{option}", type=kind)
    parser.add_argument(f"--{_CONFIG}", action="config")
    words = [f"--{_CONFIG}={path}" for path in arguments.config]
    hint = f"; see {arguments.prog} {arguments.factory} --help"
    words += arguments.more
    found = parse_typed(parser, words, arguments.factory, hint, arguments.known)
    _merge_options(arguments, found, in_files)
    made, text = vars(parser.instantiate(found)), _as_text(parser, found)
    given = {k: made[k] for k in vars(defaults) if _differs(found[k], defaults[k])}
    return FactoryArguments(
        given | _shared(factory, arguments),
        {name: text[name] for name in vars(defaults) if name in text},
        {name: text[name] for name in in_files if text[name] not in (None, [])},
    )


def _differs(value: Any, default: Any) -> bool:
    try:
        return bool(value != default)
    except Exception:  # a tensor, or another object that compares in a way of its own
        return value is not default


def _merge_options(
    arguments: argparse.Namespace, found: Namespace, in_files: Mapping[str, Any]
) -> None:
    """Options of the command that are only in files are set, and the others win over files."""
    for option in in_files:
        if getattr(arguments, option) in (None, []) and found[option] is not None:
            setattr(arguments, option, found[option])
        found[option] = getattr(arguments, option)


def _shared(factory: Callable[..., Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """The epochs, if they are given and the factory has such a parameter."""
    if getattr(arguments, "epochs", None) is None:
        return {}
    return {"epochs": arguments.epochs} if "epochs" in inspect.signature(factory).parameters else {}


def _as_text(parser: ArgumentParser, found: Namespace) -> dict[str, Any]:
    """Values as in YAML: names of classes, functions and enum members; without others, and
    without secrets."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jsonargparse names each object that is no text
        text = parser.dump(found, format="json", skip_unset=False, skip_validation=True)
    values: dict[str, Any] = json.loads(text)
    return _without_secrets({k: v for k, v in values.items() if not str(v).startswith(_NOT_TEXT)})


def _without_secrets(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_secrets(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if not is_secret(name)
    }

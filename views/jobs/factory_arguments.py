"""The arguments of a factory, from the command line and from YAML files.

A parameter is the option `--NAME`. One that has the name of an option of the command is
`--factory.NAME`. In a file only the `FILE_OPTIONS` have a meaning of their own: a parameter with
the name of one of them is there under the key `factory`.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentParser, Namespace

from ...events.utils.hidden_secrets import is_secret
from ..options.typed_parser import add_parameters, options_help, parse_typed, typed_parser

SHARED = ("device", "epochs", "seed")
"""Options of a command that its factory gets too, if it has a parameter of this name."""
FILE_OPTIONS = (*SHARED, "handler", "precision", "strategy")
"""The options that a file may contain: what the fit is, and not where its files are."""
OWN = "factory"
"""The prefix of a parameter that has the name of an option."""
_CONFIG = "config"
_TAKEN = {*FILE_OPTIONS, _CONFIG, OWN}
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


def parameters_help(factory: Callable[..., Any], name: str, known: Sequence[str] = ()) -> str:
    """The parameters of a factory that are options, with type, default and description.

    Args:
        known: the options of the command.
    """
    parser = _factory_parser(factory, name)
    return options_help(parser, known, OWN) if vars(parser.get_defaults()) else ""


def read_arguments(factory: Callable[..., Any], arguments: argparse.Namespace) -> FactoryArguments:
    """Read the arguments of a factory: those in `arguments.more` win over those in files.

    What a file says of the fit itself is set in `arguments`, where the command line does not.

    Args:
        arguments: `factory` is its name, `more` what the command does not know, `config` the files.

    Raises:
        UsageError: a file cannot be read, or an argument is wrong.
    """
    parser = _factory_parser(factory, arguments.factory)
    defaults = parser.get_defaults().clone()
    for option, kind in _file_options().items():
        parser.add_argument(f"--{option}", type=kind)
    parser.add_argument(f"--{_CONFIG}", action="config")
    words = [f"--{_CONFIG}={path}" for path in arguments.config]
    hint = f"; see {arguments.prog} {arguments.factory} --help"
    words += [_without_prefix(word) for word in arguments.more]
    found = parse_typed(parser, words, arguments.factory, hint, arguments.known)
    _merge_options(arguments, found)
    made, text = parser.instantiate(found), _as_text(parser, found)
    given = {
        key.removeprefix(f"{OWN}."): made[key]
        for key in _keys(defaults)
        if _differs(found[key], defaults[key])
    }
    return FactoryArguments(
        _shared(factory, arguments) | given,
        _effective(text, defaults, given),
        {name: text[name] for name in FILE_OPTIONS if text[name] not in (None, [])},
    )


def _factory_parser(factory: Callable[..., Any], name: str) -> ArgumentParser:
    """A parser of its parameters, those with the name of an option of a file under `factory`."""
    parser = typed_parser(factory, name, _TAKEN)
    parameters = inspect.signature(factory).parameters
    own = {n for n, p in parameters.items() if n in _TAKEN and _is_settable(p)}
    if own:
        others = {*parameters} - own
        add_parameters(parser, factory, name, others, OWN)
    return parser


def _is_settable(parameter: inspect.Parameter) -> bool:
    """Not the device, whose type has no text; nor what only the option of the command gives."""
    is_given = parameter.name in SHARED and parameter.default is parameter.empty
    return parameter.name != "device" and not is_given


def _file_options() -> dict[str, Any]:
    """The types of the options that a file may contain."""
    from jsonargparse.typing import NonNegativeInt

    return {
        "epochs": NonNegativeInt | None,
        "seed": NonNegativeInt | None,
        "device": str | None,
        "handler": list[str] | None,
        "precision": Literal["bf16", "fp16"] | None,
        "strategy": Literal["ddp", "fsdp2"] | None,
    }


def _without_prefix(word: str) -> str:
    """`--out=x` of `--factory.out=x`: only the command has an option of this name."""
    name = re.match(rf"--{OWN}\.([\w-]+)", word)
    is_own = name is not None and name[1].replace("-", "_") not in _TAKEN
    return f"--{word.removeprefix(f'--{OWN}.')}" if is_own else word


def _keys(defaults: Namespace) -> Iterator[str]:
    """The parameters: `lr`, `optimizer`, `factory.precision`."""
    for name, value in defaults.as_dict().items():  # `vars` has its own name for `update`
        yield from (f"{OWN}.{own}" for own in value) if name == OWN else (name,)


def _effective(
    text: Mapping[str, Any], defaults: Namespace, given: Mapping[str, Any]
) -> dict[str, Any]:
    """What the factory uses; a seed or epochs of its own only if it has been given one."""
    found = {name: text[name] for name in defaults.as_dict() if name in text and name != OWN}
    own = {k: v for k, v in text.get(OWN, {}).items() if k not in SHARED or k in given}
    return found | ({OWN: own} if own else {})


def _differs(value: Any, default: Any) -> bool:
    try:
        return bool(value != default)
    except Exception:  # a tensor, or another object that compares in a way of its own
        return value is not default


def _merge_options(arguments: argparse.Namespace, found: Namespace) -> None:
    """Options of the command that are only in files are set, and the others win over files."""
    for option in FILE_OPTIONS:
        value = getattr(arguments, option, None)
        if value in (None, []) and found[option] is not None:
            value = found[option]
        setattr(arguments, option, value)
        found[option] = value


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

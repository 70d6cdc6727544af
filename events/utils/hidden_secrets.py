"""Values and command lines as JSON, without the secrets in them."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_SECRET_WORDS = {"secret", "password", "passwd", "pwd", "token", "credential", "credentials"}
_SECRET_NAMES = re.compile(r"(api|access|private|secret|auth)[-_. ]?key|apikey|authorization")
_KEYS = re.compile(r"\b(sk|hf|pk|gh[opsu]|glpat|xox[abp]|AKIA)[-_]?[A-Za-z0-9_-]{16,}")
_LOGIN = re.compile(r"(://)[^/@\s]+@")
_MOST_CHARACTERS, _MOST_PARTS = 500, 100


def plain(value: Any, name: str = "") -> Any:
    """A value as JSON: without secrets, and shortened; of another object its type."""
    if is_secret(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): plain(v, str(key)) for key, v in list(value.items())[:_MOST_PARTS]}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(part) for part in list(value)[:_MOST_PARTS]]
    if value is None or isinstance(value, (bool, int)):
        return value
    return _number_or_text(value)


def _number_or_text(value: Any) -> float | str:
    if isinstance(value, float) and math.isfinite(value):
        return value
    is_torch = type(value).__module__ == "torch" and not hasattr(value, "shape")  # device, dtype
    if is_torch or isinstance(value, (float, str, os.PathLike)):
        return hidden_text(str(value))
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def is_secret(name: str) -> bool:
    """Whether what has this name is not to be kept: `api_key`, `--hf-token`, `dbPassword`."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
    has_word = bool(_SECRET_WORDS & set(re.split(r"[^a-z0-9]+", words)))
    return has_word or bool(_SECRET_NAMES.search(words))


def hidden_command(arguments: list[str]) -> list[str]:
    """A command line without secrets: `--token=***`, `--token ***`."""
    kept: list[str] = []
    hides_next = False
    for argument in arguments[:_MOST_PARTS]:
        name, equals, _ = argument.partition("=")
        if kept[-1:] == ["-c"] and not any(map(_names_program, kept)):
            kept.append("…")
        elif hides_next and not argument.startswith("-"):
            kept.append(HIDDEN)
        elif equals and is_secret(name):
            kept.append(f"{name}={HIDDEN}")
        else:
            kept.append(hidden_text(argument))
        hides_next = argument.startswith("-") and not equals and is_secret(name)
    return kept


def _names_program(argument: str) -> bool:
    """Whether what follows is for a program, and `-c` is no option of Python."""
    return argument == "-m" or argument.endswith(".py")


def hidden_text(text: str) -> str:
    """A text without logins in addresses and what looks like a key; shortened."""
    shown = _KEYS.sub(HIDDEN, _LOGIN.sub(rf"\1{HIDDEN}@", text))
    return shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}…"

"""Handlers that installed distributions publish: listed without loading, made only when named.

A distribution publishes them under the entry-point group `trackside.handlers`, each a class, or a
function, that makes a handler when it is called without arguments. Loading one runs its code, so
nothing here does it but `make`, for the one that it is given the name of.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, NamedTuple

from .handler_discovery import AttachError, did_you_mean
from .log import log

GROUP = "trackside.handlers"


class Plugin(NamedTuple):
    """A published handler, which is not loaded."""

    name: str
    """What it is named by: its own name, or `distribution:name` where several have that name."""
    distribution: str
    """Name and version of the distribution that published it."""
    entry: EntryPoint
    """Its `value` is the `module:object` that makes it."""


def published() -> list[Plugin]:
    """All of them, by distribution and name. Reads metadata, and imports nothing."""
    entries = list(entry_points(group=GROUP))
    uses = Counter(entry.name for entry in entries)
    plugins = [_plugin(entry, shared=uses[entry.name] > 1) for entry in entries]
    return sorted(plugins, key=lambda plugin: (plugin.distribution.lower(), plugin.name))


def find(name: str) -> Plugin:
    """The published handler called `name`; `distribution:name` is always one of its names.

    Raises:
        AttachError: there is none, and the nearest is named; or several distributions publish it.
    """
    plugins = published()
    found = [p for p in plugins if name in (p.entry.name, f"{_of(p.entry).name}:{p.entry.name}")]
    if not found:
        raise AttachError(
            f"no installed distribution publishes a handler {name!r}"
            f"{did_you_mean(name, [plugin.name for plugin in plugins], cutoff=0.6)}; "
            "`trackside handlers` lists them"
        )
    if len(found) > 1:
        raise AttachError(
            f"several distributions publish a handler {name!r}: "
            f"{', '.join(plugin.distribution for plugin in found)}; "
            f"name one of them: {', '.join(plugin.name for plugin in found)}"
        )
    return found[0]


def make(name: str) -> Any:
    """Load the published handler called `name`, and call it.

    Raises:
        AttachError: as `find`; or it cannot be loaded, or made without arguments.
    """
    plugin = find(name)
    what = f"handler {plugin.name!r} ({plugin.entry.value} of {plugin.distribution})"
    factory = _called(plugin.entry.load, f"cannot load {what}")
    _check_factory(factory, what)
    handler = _called(factory, f"cannot make {what}")
    log.info("loaded %s", what)
    return handler


def _called(function: Callable[[], Any], failure: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # a stranger's module must not end the process
        raise AttachError(f"{failure}: {type(error).__name__}: {error}") from error


def _plugin(entry: EntryPoint, shared: bool) -> Plugin:
    distribution = _of(entry)
    name = f"{distribution.name}:{entry.name}" if shared else entry.name
    return Plugin(name, f"{distribution.name} {distribution.version}", entry)


def _of(entry: EntryPoint) -> Distribution:
    assert entry.dist is not None  # entry_points() reads them from distributions
    return entry.dist


def _check_factory(factory: Any, what: str) -> None:
    if not callable(factory):
        raise AttachError(
            f"{what} is a {type(factory).__name__}; expected a class, or a function, that makes a "
            "handler"
        )
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise AttachError(
            f"cannot make {what} without arguments: {error}; import it, and attach one that "
            "you have made"
        ) from None

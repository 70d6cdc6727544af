"""Handlers of installed distributions: listed without loading them, loaded by name.

A distribution publishes them under the entry-point group `trackside.handlers`, each a class, or a
function, that returns a handler when it is called without arguments. Loading one runs its code, so
only `load_handler` does it, and only for the handler that it is called with.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, entry_points
from typing import Any, NamedTuple

from ..utils.log import log
from ..utils.similar_names import did_you_mean
from .handler_discovery import AttachError

GROUP = "trackside.handlers"


class Plugin(NamedTuple):
    """A published handler that is not loaded."""

    name: str
    """Its entry-point name, or `distribution:name` if several distributions have that name."""
    distribution: str
    """Name and version of the distribution that publishes it."""
    entry: EntryPoint
    """Its `value` is the `module:object` of the class or function."""


def list_plugins() -> list[Plugin]:
    """All published handlers, sorted by distribution and name. Reads metadata, imports nothing."""
    entries = list(entry_points(group=GROUP))
    uses = Counter(entry.name for entry in entries)
    plugins = [_plugin(entry, shared=uses[entry.name] > 1) for entry in entries]
    return sorted(plugins, key=lambda plugin: (plugin.distribution.lower(), plugin.name))


def find_plugin(name: str) -> Plugin:
    """Find a published handler by its name or by `distribution:name`, without loading it.

    Raises:
        AttachError: no handler has this name, and the most similar name is suggested; or several
            distributions publish it.
    """
    plugins = list_plugins()
    matches = [plugin for plugin in plugins if name in _names(plugin.entry)]
    if not matches:
        raise AttachError(
            f"no installed distribution publishes a handler {name!r}"
            f"{did_you_mean(name, [plugin.name for plugin in plugins], cutoff=0.6)}; "
            "`trackside handlers` lists them"
        )
    if len(matches) > 1:
        raise AttachError(
            f"several distributions publish a handler {name!r}: "
            f"{', '.join(plugin.distribution for plugin in matches)}; "
            f"name one of them: {', '.join(plugin.name for plugin in matches)}"
        )
    return matches[0]


def make_handler(name: str) -> Any:
    """Load a published handler by its name, and call it.

    Raises:
        AttachError: as `find_plugin`; or it cannot be loaded, or called without arguments.
    """
    what = _described(find_plugin(name))
    factory = load_handler(name)
    _check_bare(factory, what)
    handler = _call(factory, f"cannot make {what}")
    log.info("loaded %s", what)
    return handler


def load_handler(name: str) -> Callable[..., Any]:
    """Load the class, or function, that a published handler is made with.

    Raises:
        AttachError: as `find_plugin`; or it cannot be loaded.
    """
    plugin = find_plugin(name)
    factory = _call(plugin.entry.load, f"cannot load {_described(plugin)}")
    if not callable(factory):
        raise AttachError(
            f"{_described(plugin)} is a {type(factory).__name__}; expected a class, or a function, "
            "that returns a handler"
        )
    return factory  # type: ignore[no-any-return]


def _described(plugin: Plugin) -> str:
    return f"handler {plugin.name!r} ({plugin.entry.value} of {plugin.distribution})"


def _call(function: Callable[[], Any], failure: str) -> Any:
    try:
        return function()
    except (Exception, SystemExit) as error:  # foreign code must not end the process
        raise AttachError(f"{failure}: {type(error).__name__}: {error}") from error


def _plugin(entry: EntryPoint, shared: bool) -> Plugin:
    distribution = _distribution(entry)
    name = f"{distribution.name}:{entry.name}" if shared else entry.name
    return Plugin(name, f"{distribution.name} {distribution.version}", entry)


def _names(entry: EntryPoint) -> tuple[str, str]:
    return entry.name, f"{_distribution(entry).name}:{entry.name}"


def _distribution(entry: EntryPoint) -> Distribution:
    assert entry.dist is not None  # entry_points() reads them from distributions
    return entry.dist


def _check_bare(factory: Callable[..., Any], what: str) -> None:
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise AttachError(
            f"cannot make {what} without arguments: {error}; import it, and attach an instance"
        ) from None

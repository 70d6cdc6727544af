"""States of the random number generators: Python's, NumPy's, torch's on every device."""

from __future__ import annotations

import importlib
import random
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Generator, nn

from ...events.utils.exact_context import exact_context
from .numpy_state import numpy_state_dict
from .python_state import packed_python_state

_PLAIN_KINDS = {bool, dict, float, int, str, set, tuple, list, OrderedDict, type(None)}

NamedGenerators = list[tuple[str, Generator]]
"""Generators other than the global ones, by name."""


def generator_states(generators: NamedGenerators) -> dict[str, Any]:
    """The states of the global generators and of `generators`; draws nothing, no device sync."""
    return {
        "python": packed_python_state(),
        "numpy": numpy_state_dict(),
        "torch": torch.get_rng_state(),
        "devices": [get() for get, _ in _device_accessors()],
        "own": {name: generator.get_state() for name, generator in generators},
    }


def restore_generators(states: dict[str, Any], generators: NamedGenerators) -> None:
    """Restore the global generators, and those of `generators` that have a saved state."""
    version, words, gauss = states["python"]
    random.setstate((version, struct.unpack(f"<{len(words) // 4}I", words), gauss))
    _set_numpy_state(states["numpy"])
    torch.set_rng_state(states["torch"].cpu())
    for (_, set_state), state in zip(_device_accessors(), states["devices"], strict=False):
        set_state(state.cpu())
    for name, generator in generators:
        if name in states["own"]:
            generator.set_state(states["own"][name].cpu())


@exact_context
def preserve_generators(generators: NamedGenerators) -> Iterator[None]:
    """Restore the global generators and `generators` when the block ends."""
    devices = [(set_state, get_state()) for get_state, set_state in _device_accessors()]
    states = [(generator, generator.get_state()) for _, generator in generators]
    with preserve_host_generators():
        try:
            yield
        finally:
            for set_state, state in devices:
                set_state(state)
            for generator, state in states:
                generator.set_state(state)


@exact_context
def preserve_host_generators() -> Iterator[None]:
    """Restore the global CPU generators of Python, NumPy and torch when the block ends."""
    python_state, torch_state = random.getstate(), torch.get_rng_state()
    numpy = sys.modules.get("numpy")
    numpy_state = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)


def module_generators(modules: Iterable[tuple[str, nn.Module]]) -> NamedGenerators:
    """Generators that are attributes of modules, named by module and attribute."""
    return [
        item
        for name, module in modules
        if not _PLAIN_KINDS.issuperset(map(type, module.__dict__.values()))  # of 25 attributes
        for item in _generators_of(module, name)
    ]


def loader_generators(loader: Any) -> NamedGenerators:
    """Generators that are attributes of a DataLoader, its dataset and its samplers."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = {
        "loader": loader,
        "batch_sampler": batch_sampler,
        "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
        "sampler": getattr(loader, "sampler", None),
        "dataset": getattr(loader, "dataset", None),
    }
    return [item for name, part in parts.items() for item in _generators_of(part, name)]


def with_prefix(prefix: str, generators: Iterable[tuple[str, Generator]]) -> NamedGenerators:
    """`generators` with `prefix` added to their names."""
    return [(f"{prefix}.{name}", generator) for name, generator in generators]


def _generators_of(holder: Any, name: str) -> Iterator[tuple[str, Generator]]:
    for attribute, value in getattr(holder, "__dict__", {}).items():
        if Generator in type(value).__mro__:  # torch's own isinstance takes five times as long
            yield f"{name}.{attribute}", value


def _set_numpy_state(state: dict[str, Any] | None) -> None:
    if state is None:
        return
    numpy = importlib.import_module("numpy")
    inner = state["state"]
    if "key" in inner:
        inner = {**inner, "key": numpy.frombuffer(inner["key"], dtype=numpy.uint32)}
    numpy.random.set_state({**state, "state": inner})


@cache
def _accelerator() -> torch.device | None:
    """The kind of accelerator of this machine."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None


def _device_accessors() -> list[tuple[Any, Any]]:
    """Functions to get and set the generator state of each accelerator."""
    device = _accelerator()
    if device is None:
        return []
    module = torch.get_device_module(device)
    if not getattr(module, "is_initialized", lambda: True)():  # do not initialize it here
        return []
    if device.type == "mps":  # has one device
        return [(module.get_rng_state, module.set_rng_state)]

    def accessors(index: int) -> tuple[Any, Any]:
        return (
            lambda: module.get_rng_state(index),
            lambda state: module.set_rng_state(state, index),
        )

    return [accessors(index) for index in range(torch.accelerator.device_count())]

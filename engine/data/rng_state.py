"""Where the random number generators stand: Python's, NumPy's, torch's on every device."""

from __future__ import annotations

import importlib
import random
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import torch
from torch import Generator, nn

Own = list[tuple[str, Generator]]
"""Generators that somebody has of their own, by name."""


def generator_states(own: Own) -> dict[str, Any]:
    """The states of the global generators, and of `own`; nothing is drawn, no device waits."""
    return {
        "python": _python_state(),
        "numpy": _numpy_state(),
        "torch": torch.get_rng_state(),
        "devices": [get() for get, _ in _devices()],
        "own": {name: generator.get_state() for name, generator in own},
    }


def set_generators(states: dict[str, Any], own: Own) -> None:
    """Put all generators where they stood; one of `own` that is not among `states` stays."""
    version, words, gauss = states["python"]
    random.setstate((version, struct.unpack(f"<{len(words) // 4}I", words), gauss))
    _set_numpy_state(states["numpy"])
    torch.set_rng_state(states["torch"].cpu())
    for (_, put), state in zip(_devices(), states["devices"], strict=False):
        put(state.cpu())
    for name, generator in own:
        if name in states["own"]:
            generator.set_state(states["own"][name].cpu())


@contextmanager
def generators_kept(own: Own) -> Iterator[None]:
    """Leave all global generators, and `own`, as they are now."""
    devices = [(put, get()) for get, put in _devices()]
    states = [(generator, generator.get_state()) for _, generator in own]
    with host_generators_kept():
        try:
            yield
        finally:
            for put, state in devices:
                put(state)
            for generator, state in states:
                generator.set_state(state)


@contextmanager
def host_generators_kept() -> Iterator[None]:
    """Leave the generators of Python, NumPy and torch on the CPU as they are now."""
    python, numpy, own = random.getstate(), sys.modules.get("numpy"), torch.get_rng_state()
    numbers = None if numpy is None else numpy.random.get_state()
    try:
        yield
    finally:
        random.setstate(python)
        if numpy is not None:
            numpy.random.set_state(numbers)
        torch.set_rng_state(own)


def seed_host_generators(key: bytes) -> None:
    """Seed the generators of Python, NumPy and torch on the CPU by 32 bytes."""
    words = struct.unpack("<8I", key)
    random.seed(key)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(words[:4])
    torch.default_generator.manual_seed(words[4] | words[5] << 32)


def digest(*numbers: int) -> bytes:
    """32 bytes that are a function of some numbers, alike for no two that differ."""
    return blake2b("/".join(map(str, numbers)).encode(), digest_size=32).digest()


def of_modules(model: nn.Module) -> Own:
    """Generators that modules keep as attributes, by the names of both."""
    return [found for name, module in model.named_modules() for found in _of(module, name)]


def of_loader(loader: Any) -> Own:
    """Those of a torch DataLoader, its dataset and its samplers."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    parts = {
        "loader": loader,
        "batch_sampler": batch_sampler,
        "batch_sampler.sampler": getattr(batch_sampler, "sampler", None),
        "sampler": getattr(loader, "sampler", None),
        "dataset": getattr(loader, "dataset", None),
    }
    return [found for name, part in parts.items() for found in _of(part, name)]


def prefixed(prefix: str, own: Iterable[tuple[str, Generator]]) -> Own:
    """`own` with names that begin with `prefix`."""
    return [(f"{prefix}.{name}", generator) for name, generator in own]


def _of(holder: Any, name: str) -> Iterator[tuple[str, Generator]]:
    for attribute, value in getattr(holder, "__dict__", {}).items():
        if isinstance(value, Generator):
            yield f"{name}.{attribute}", value


def _python_state() -> tuple[int, bytes, float | None]:
    """In one piece: 625 numbers take long to be read again."""
    version, words, gauss = random.getstate()
    return version, struct.pack(f"<{len(words)}I", *words), gauss


def _numpy_state() -> dict[str, Any] | None:
    """None where nobody has imported NumPy yet: its generator is seeded by the import."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    state = numpy.random.get_state(legacy=False)
    inner = state["state"]
    if "key" in inner:  # the array of a Mersenne twister
        inner = {**inner, "key": inner["key"].tobytes()}
    return {**state, "state": inner}


def _set_numpy_state(state: dict[str, Any] | None) -> None:
    if state is None:
        return
    numpy = importlib.import_module("numpy")
    inner = state["state"]
    if "key" in inner:
        inner = {**inner, "key": numpy.frombuffer(inner["key"], dtype=numpy.uint32)}
    numpy.random.set_state({**state, "state": inner})


def _devices() -> list[tuple[Any, Any]]:
    """How the generator of each accelerator is read, and how it is set."""
    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is None:
        return []
    module = torch.get_device_module(device)
    if not getattr(module, "is_initialized", lambda: True)():  # nor will it be by looking
        return []
    if device.type == "mps":  # there is one
        return [(module.get_rng_state, module.set_rng_state)]

    def of(index: int) -> tuple[Any, Any]:
        return (
            lambda: module.get_rng_state(index),
            lambda state: module.set_rng_state(state, index),
        )

    return [of(index) for index in range(torch.accelerator.device_count())]

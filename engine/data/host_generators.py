"""The global CPU generators of Python, NumPy and torch: seeded for a batch, then restored."""

from __future__ import annotations

import os
import random
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .numpy_state import numpy_restorer, numpy_was_drawn_from

_PYTHON_WORDS = 624  # the position in the state of `random` after seeding

_lock = threading.RLock()  # these generators are shared by all threads of the process


def _renew_lock() -> None:
    """In a forked child, the thread that held the lock does not exist."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def keyed_host_generators(key: bytes, watch: bool) -> Iterator[list[str]]:
    """Seed the global CPU generators by a key of 32 bytes; restore them when the block ends.

    One thread of the process at a time: another one that enters such a block waits.

    Args:
        key: for the seeds.
        watch: append the names of the generators that were drawn from to the yielded list.
    """
    with _lock:
        drawn: list[str] = []
        python_state, torch_state = random.getstate(), torch.default_generator.get_state()
        restore_numpy = numpy_restorer()
        try:
            seed_host_generators(key)
            seeded = torch.default_generator.get_state() if watch else None
            yield drawn
            if seeded is not None:
                drawn += _drawn_from(seeded)
        finally:
            random.setstate(python_state)
            restore_numpy()
            torch.default_generator.set_state(torch_state)


def seed_host_generators(key: bytes) -> None:
    """Seed the global CPU generators of Python, NumPy and torch from a key of 32 bytes."""
    words = struct.unpack("<8I", key)
    random.seed(key)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(words[:4])
    torch.default_generator.manual_seed(words[4] | words[5] << 32)


def _drawn_from(seeded: torch.Tensor) -> Iterator[str]:
    if random.getstate()[1][-1] != _PYTHON_WORDS:
        yield "Python"
    if numpy_was_drawn_from():
        yield "NumPy"
    if not torch.equal(torch.default_generator.get_state(), seeded):
        yield "torch"

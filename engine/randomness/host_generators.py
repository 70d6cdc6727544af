"""The global CPU generators of Python, NumPy and torch: seeded for a batch, then restored."""

from __future__ import annotations

import ctypes
import os
import random
import struct
import sys
import threading
from types import TracebackType
from typing import Any

import torch

from ...events import Cancel
from .numpy_state import numpy_state, restore_numpy_state, seed_numpy
from .python_state import python_state, restore_python_state

_lock = threading.RLock()  # these generators are shared by all threads of the process


def _renew_lock() -> None:
    """In a forked child, the thread that held the lock does not exist."""
    global _lock  # noqa: PLW0603
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


PYTHON, NUMPY, TORCH = "Python", "NumPy", "torch"
NONE: frozenset[str] = frozenset()
ALL = frozenset({PYTHON, NUMPY, TORCH})


class KeyedHostGenerators:
    """Seeds global CPU generators by a key of 32 bytes; restores them when the block ends.

    One thread of the process at a time: another one that enters such a block waits.

    Attributes:
        moved: after the block, those that were drawn from in it; where not all were seeded, only
            among the others.

    Args:
        key: for the seeds.
        seeded: the generators that are seeded. If the block draws from another one, it must be run
            again: an exception of it is dropped, since it may be due to that.
    """

    __slots__ = ("_before", "_key", "_lock", "_seeded", "_start", "_torch", "moved")

    def __init__(self, key: bytes, seeded: frozenset[str] = ALL) -> None:
        self._key, self._seeded = key, seeded
        self._lock = _lock  # the one that is released: a fork may renew it inside the block
        self.moved: frozenset[str] = NONE

    @property
    def surprising(self) -> frozenset[str]:
        """Generators that were drawn from, and had not been seeded."""
        return NONE if self._seeded == ALL else self.moved

    def __enter__(self) -> KeyedHostGenerators:
        self._lock.acquire()
        try:
            self._torch = torch.default_generator.get_state()
            self._before = self._start = python_state(), numpy_state(), _bytes_of(self._torch)
        except BaseException:
            self._lock.release()
            raise
        if self._seeded:
            try:
                self._seed()
                if self._seeded == ALL:
                    self._start = _host_states()
            except BaseException:
                self._restore(ALL)
                raise
        return self

    def _seed(self) -> None:
        words = struct.unpack("<8I", self._key)
        if PYTHON in self._seeded:
            random.seed(self._key)
        if NUMPY in self._seeded:
            seed_numpy(words[:4])
        if TORCH in self._seeded:
            torch.default_generator.manual_seed(words[4] | words[5] << 32)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        touched = ALL
        try:
            self.moved = self._find_moved()
            touched = self.moved | self._seeded
        finally:
            self._restore(touched)
        return bool(self.surprising) and isinstance(error, (Exception, Cancel))

    def _find_moved(self) -> frozenset[str]:
        """Those that were drawn from; where not all were seeded, only among the others."""
        seeded, (python, numpy, torch_bytes) = self._seeded, self._start
        known = NONE if seeded == ALL else seeded
        moved = []
        if PYTHON not in known and python_state() != python:
            moved.append(PYTHON)
        if NUMPY not in known and numpy_state() != numpy:
            moved.append(NUMPY)
        if TORCH not in known and _bytes_of(torch.default_generator.get_state()) != torch_bytes:
            moved.append(TORCH)
        return frozenset(moved) if moved else NONE

    def _restore(self, touched: frozenset[str]) -> None:
        try:
            if PYTHON in touched:
                restore_python_state(self._before[0])
            if NUMPY in touched:
                restore_numpy_state(self._before[1])
            if TORCH in touched:
                torch.default_generator.set_state(self._torch)
        finally:
            self._lock.release()


def _host_states() -> tuple[Any, Any, bytes]:
    return python_state(), numpy_state(), _bytes_of(torch.default_generator.get_state())


def _bytes_of(state: torch.Tensor) -> bytes:
    """The state of torch's generator, to be compared; `torch.equal` takes 10 µs."""
    return ctypes.string_at(state.data_ptr(), state.numel())


def seed_host_generators(key: bytes) -> None:
    """Seed the global CPU generators of Python, NumPy and torch from a key of 32 bytes."""
    words = struct.unpack("<8I", key)
    random.seed(key)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed(words[:4])
    torch.default_generator.manual_seed(words[4] | words[5] << 32)

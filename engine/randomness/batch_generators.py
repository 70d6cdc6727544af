"""Generators of a batch's own, and the key that everything random about it is derived from."""

from __future__ import annotations

import importlib
import random
import struct
from functools import cached_property
from hashlib import blake2b
from typing import Any

import torch


class BatchGenerators:
    """Random number generators that are a function of `(seed, epoch, batch)`, and nobody else's.

    Made at first use; the examples of a batch draw from the same ones, in turn.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    @cached_property
    def python(self) -> random.Random:
        """Python's."""
        return random.Random(self._key)

    @cached_property
    def numpy(self) -> Any:
        """NumPy's, a `numpy.random.Generator`."""
        return importlib.import_module("numpy").random.default_rng([*self._key])

    @cached_property
    def torch(self) -> torch.Generator:
        """torch's, on the CPU."""
        (number,) = struct.unpack_from("<Q", self._key)
        return torch.Generator("cpu").manual_seed(number)


def digest_of(*numbers: int) -> bytes:
    """A 32-byte hash of some integers."""
    return blake2b("/".join(map(str, numbers)).encode(), digest_size=32).digest()


def seed_of(*numbers: int) -> int:
    """A seed for a generator of torch, from some integers."""
    return int.from_bytes(digest_of(*numbers)[:8], "little")

"""Seed everything random of a fit, and restore the generators of the host after it."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from hashlib import blake2b

import torch

from ...events import TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.exact_context import exact_context
from ..data.validation_loaders import by_name
from ..named_parts import named_modules
from ..randomness.rng_state import NamedGenerators, preserve_generators
from .run_generators import all_generators

_MOST = 2**63 - 1


def check_seed(tried: str, seed: int) -> None:
    """Refuse what is no seed.

    Raises:
        TypeError, ValueError: what was tried, and what is allowed.
    """
    check_whole_number(tried, seed, least=0)
    if seed > _MOST:
        raise ValueError(f"{tried}: allowed: an int, from 0 to {_MOST}")


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy (if it is imported) and torch on all devices."""
    random.seed(seed)
    torch.manual_seed(seed)
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed([seed & 0xFFFFFFFF, seed >> 32] if seed >> 32 else seed)


@exact_context
def seeded(seed: int | None) -> Iterator[None]:
    """Seed the global generators for a block, and restore them after it; None: leave them."""
    if seed is None:
        yield
        return
    with preserve_generators([]):
        seed_generators(seed)
        yield


@exact_context
def seeded_fit(state: TrainState, is_new: bool) -> Iterator[None]:
    """Seed all that a fit draws from by `state.seed`; restore the generators when it ends.

    The global generators as `torch.manual_seed(seed)` does, and those of the modules and loaders,
    which are restored afterwards; the order and the random numbers of a `KeyedLoader`, which
    starts at epoch 0 of the seed, and keeps it after the fit. Nothing if `state.seed` is None.

    Args:
        is_new: False where the fit is resumed, which restores all this from its saved state.
    """
    if state.seed is None:
        yield
        return
    own = all_generators(state, named_modules(state))
    with preserve_generators(own):
        if is_new:
            seed_generators(state.seed)
            _seed_own(own, state.seed)
            _seed_loaders(state, state.seed)
        yield


def seed_rank(state: TrainState) -> None:
    """Give each further rank global generators of its own, once the ranks have numbers."""
    if state.seed is not None and state.rank:
        seed_generators((state.seed + state.rank) & _MOST)


def _seed_own(generators: NamedGenerators, seed: int) -> None:
    """Seed each by its name: two that are alike would draw the same numbers."""
    for name, generator in reversed(generators):  # the first name of several counts
        digest = blake2b(f"{seed} {name}".encode(), digest_size=7).digest()
        generator.manual_seed(int.from_bytes(digest, "little"))


def _seed_loaders(state: TrainState, seed: int) -> None:
    for loader in (state.train_loader, *by_name(state.valid_loader).values()):
        if hasattr(loader, "set_seed"):
            loader.set_seed(seed)

"""The random number generators that belong to a run: of its modules and loaders."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ...events import TrainState
from ..data.rng_state import (
    NamedGenerators,
    loader_generators,
    module_generators,
    preserve_generators,
    with_prefix,
)
from ..data.validation_loaders import argument_name, by_name
from ..named_parts import plain_name, run_modules


def own_generators(state: TrainState) -> NamedGenerators:
    """Generators that are attributes of the models and loss modules."""
    return [
        (plain_name(f"model.{prefix}{name}"), generator)
        for prefix, module in run_modules(state).items()
        for name, generator in module_generators(module)
    ]


def all_generators(state: TrainState) -> NamedGenerators:
    """Those of the models, the loss modules and the loaders."""
    return [
        *own_generators(state),
        *with_prefix("train_loader", loader_generators(state.train_loader)),
        *_validation_generators(state),
    ]


def preserve_run_generators(state: TrainState, loader: Any) -> AbstractContextManager[None]:
    """Restore the global generators, and those of the modules and `loader`, after the block."""
    return preserve_generators([*own_generators(state), *loader_generators(loader)])


def _validation_generators(state: TrainState) -> NamedGenerators:
    return [
        entry
        for name, loader in by_name(state.valid_loader).items()
        for entry in with_prefix(argument_name(state.valid_loader, name), loader_generators(loader))
    ]

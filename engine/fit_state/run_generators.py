"""The random number generators that belong to a run: of its modules and loaders."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from ...events import TrainState
from ..data.validation_loaders import argument_name, by_name
from ..named_parts import Modules, named_modules, plain_name
from ..randomness.rng_state import (
    NamedGenerators,
    loader_generators,
    module_generators,
    preserve_generators,
    with_prefix,
)


def own_generators(modules: Modules) -> NamedGenerators:
    """Generators that are attributes of the modules of a run, see `named_modules`."""
    found = module_generators([(prefix + name, part) for prefix, name, part in modules])
    return [(plain_name(f"model.{name}"), generator) for name, generator in found]


def all_generators(state: TrainState, modules: Modules) -> NamedGenerators:
    """Those of the modules of a run, see `named_modules`, and of its loaders."""
    return [
        *own_generators(modules),
        *with_prefix("train_loader", loader_generators(state.train_loader)),
        *_validation_generators(state),
    ]


def preserve_run_generators(state: TrainState, loader: Any) -> AbstractContextManager[None]:
    """Restore the global generators, and those of the modules and `loader`, after the block."""
    return preserve_generators([*own_generators(named_modules(state)), *loader_generators(loader)])


def _validation_generators(state: TrainState) -> NamedGenerators:
    return [
        entry
        for name, loader in by_name(state.valid_loader).items()
        for entry in with_prefix(argument_name(state.valid_loader, name), loader_generators(loader))
    ]

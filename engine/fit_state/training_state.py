"""Capture and load the complete training state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from ...events import TrainState
from ...events.utils.exact_context import exact_context
from ...events.utils.log import log_exception
from ...events.utils.tensor_copy import copy_values, expanded_dimensions
from ..named_parts import (
    Modules,
    all_optimizers,
    loss_modules,
    module_parameters,
    named_modules,
    plain_name,
    plain_names,
    run_modules,
    whole_model,
)
from ..randomness.rng_state import generator_states, restore_generators
from ..torch_internals import own_buffers
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import capture_position
from .loader_position import loader_states
from .optimizer_state import (
    gradients,
    load_gradients,
    load_optimizers,
    optimizer_states,
    with_others,
)
from .plain_data import to_plain_data
from .run_generators import all_generators
from .sharded_tensors import is_sharded, loadable, sharded_like, split_shards, whole_tensors
from .state_dict_check import STANDARD_UNIT

STATE_DICT_FORMAT = 1

StateDict = Mapping[str, Any]


def capture_training_state(trainer: CheckpointedTrainer, shards: bool) -> dict[str, Any]:
    """The return value of `Trainer.state_dict`.

    Args:
        shards: leave sharded tensors with their ranks, see `split_shards`; else collect them.

    Raises:
        RuntimeError: a batch is being processed, or scopes are closing.
        TypeError: the state of a handler, a module or a loader is not plain data.
    """
    state = trainer.state
    if not state.at_boundary or (state.job != "fit" and "." in state.phase):
        raise RuntimeError(
            f"cannot save in {state.phase} of a {state.job}, where the state is incomplete; "
            "allowed: between two batches of a fit, as in a wrap_fetch, and outside of a run"
        )
    modules = named_modules(state)
    parameters = module_parameters(modules)
    named = with_others(state, parameters)
    captured = _captured(trainer, modules, parameters, named)
    if shards:
        return split_shards(captured)
    has_shards = any(map(is_sharded, named.values()))
    return whole_tensors(captured) if has_shards else captured


def _captured(
    trainer: CheckpointedTrainer,
    modules: Modules,
    parameters: Mapping[str, Tensor],
    named: Mapping[str, Tensor],
) -> dict[str, Any]:
    state = trainer.state
    has_buffers = any(own_buffers(part) for _, _, part in modules)
    return {
        "format": STATE_DICT_FORMAT,
        "chart": chart_rows(trainer),
        **({} if state.unit_scope == STANDARD_UNIT else {"unit": state.unit_scope}),
        "phase": state.phase,
        "position": capture_position(state, modules, parameters),
        "model": to_plain_data(model_state(state), "model"),
        "buffers": to_plain_data(unsaved_buffers(state) if has_buffers else {}, "buffers"),
        "loss_fn": to_plain_data(loss_state(state), "loss_fn"),
        **_optimizer_entries(state, named),
        "gradients": to_plain_data(gradients(named), "gradients"),
        "handlers": _handler_states(trainer),
        "heard": trainer.subscription_counts.state_dict(),
        "loaders": loader_states(state) if "." in state.phase else None,
        "generators": to_plain_data(generator_states(all_generators(state, modules)), "generators"),
        **_validated_entry(trainer.handlers),
    }


def _handler_states(trainer: CheckpointedTrainer) -> dict[str, Any]:
    states = {}
    for name, handler in stateful_handlers(trainer).items():
        try:
            if state := handler.state_dict():
                states[name] = to_plain_data(state, f"handler {name}: state_dict()")
        except Exception:
            _detach_or_raise(trainer, handler, name)
    return states


def _detach_or_raise(trainer: CheckpointedTrainer, handler: Any, name: str) -> None:
    """Detach a failing handler that has `on_error = "detach"`; the fit continues."""
    if not _is_detached_on_error(handler):
        raise  # noqa: PLE0704  # the error that the caller handles
    log_exception("handler %s cannot save or load its state; it is detached", name)
    trainer.detach(handler)


def _is_detached_on_error(handler: Any) -> bool:
    return getattr(handler, "on_error", "raise") != "raise"


def chart_rows(trainer: CheckpointedTrainer) -> list[str]:
    """The rows of the trainer's chart, see `Topology.described_rows`."""
    return [*trainer.topology.described_rows]


def load_training_state(
    trainer: CheckpointedTrainer, saved: StateDict, is_rollback: bool = False
) -> None:
    """Load everything but the position; last what cannot be undone.

    Args:
        is_rollback: leave the handlers that have `kept_in_rollback` as they are.
    """
    state = trainer.state
    load_module(whole_model(state), "", saved["model"])
    buffers = unsaved_buffers(state)
    for name, value in saved["buffers"].items():
        copy_values(buffers[name], value)
    for name, module in loss_modules(state).items():
        load_module(module, f"{name}." if name else "", saved["loss_fn"])
    load_optimizers(state, saved_optimizers(saved))
    load_gradients(state, saved["gradients"])
    _load_handlers(trainer, saved["handlers"], is_rollback)
    restore_generators(saved["generators"], all_generators(state, named_modules(state)))
    trainer.subscription_counts.load_state_dict(saved["heard"])


def _load_handlers(
    trainer: CheckpointedTrainer, saved: Mapping[str, Any], is_rollback: bool
) -> None:
    """Load the states of handlers; last those that cannot refuse, and may reopen files."""
    handlers = {
        name: handler
        for name, handler in stateful_handlers(trainer).items()
        if name in saved and not (is_rollback and getattr(handler, "kept_in_rollback", False))
    }
    modules = run_modules(trainer.state).values()
    refusing_first = sorted(handlers, key=lambda name: _is_detached_on_error(handlers[name]))
    for name in refusing_first:
        try:
            handlers[name].load_state_dict(loadable(saved[name], modules))
        except Exception:
            _detach_or_raise(trainer, handlers[name], name)


def stateful_handlers(trainer: CheckpointedTrainer) -> dict[str, Any]:
    """The handlers with `state_dict` and `load_state_dict`, by the names of `named_handlers`."""
    return {
        name: handler for name, handler in named_handlers(trainer).items() if is_stateful(handler)
    }


def is_stateful(handler: Any) -> bool:
    """Whether a handler has `state_dict` and `load_state_dict`."""
    return hasattr(handler, "state_dict") and hasattr(handler, "load_state_dict")


def named_handlers(trainer: CheckpointedTrainer) -> dict[str, Any]:
    """The handlers as `EMA`, `EMA-2`, …, in order of attachment; without functions."""
    named: dict[str, Any] = {}
    for handler in trainer.handlers:
        if not hasattr(handler, "__name__"):
            class_name = type(handler).__name__
            count = sum(type(other).__name__ == class_name for other in named.values())
            named[f"{class_name}-{count + 1}" if count else class_name] = handler
    return named


def saved_optimizers(saved: StateDict) -> dict[str, Any]:
    """The optimizers of a state dict by name, as `all_optimizers` names those of a trainer."""
    if "optimizers" in saved:
        return dict(saved["optimizers"])
    return {} if saved["optimizer"] is None else {"": saved["optimizer"]}


def _optimizer_entries(state: TrainState, named: Mapping[str, Tensor]) -> dict[str, Any]:
    """`optimizer`; of a trainer with named ones also `optimizers`."""
    states = to_plain_data(optimizer_states(all_optimizers(state), named), "optimizer")
    if state.optimizers:
        return {"optimizer": None, "optimizers": states}
    return {"optimizer": states.get("")}


def _validated_entry(handlers: Iterable[Any]) -> dict[str, dict[str, Tensor]]:
    """The state dict entry of the weights with which handlers replace the trained ones."""
    replaced: dict[str, Tensor] = {}
    for handler in handlers:
        if hasattr(handler, "validated_weights"):
            replaced |= handler.validated_weights()
    return {"validated": to_plain_data(replaced, "validated")} if replaced else {}


def model_state(state: TrainState) -> dict[str, Any]:
    """The state dict of the whole model, with the names of a model that is not compiled."""
    return plain_names("", whole_model(state).state_dict().items())


def loss_state(state: TrainState) -> dict[str, Any]:
    """The state of the loss modules; the keys of named ones begin with the name."""
    kept: dict[str, Any] = {}
    for name, module in loss_modules(state).items():
        kept |= plain_names(f"{name}." if name else "", module.state_dict().items())
    return kept


def unsaved_buffers(state: TrainState) -> dict[str, Tensor]:
    """Non-persistent buffers, which are in no state dict of the models and loss modules."""
    buffers: dict[str, Tensor] = {}
    for prefix, module in run_modules(state).items():
        if own := dict(module.named_buffers()):
            saved = module.state_dict()
            unsaved = [(name, value) for name, value in own.items() if name not in saved]
            buffers |= plain_names(prefix, unsaved)
    return buffers


def load_module(module: nn.Module, prefix: str, saved: Mapping[str, Any]) -> None:
    """Load those of the saved values whose names begin with `prefix` into a module."""
    names = module.state_dict()
    with _writable_buffers(module):
        module.load_state_dict(
            {n: sharded_like(own, saved[prefix + plain_name(n)]) for n, own in names.items()}
        )


@exact_context
def _writable_buffers(module: nn.Module) -> Iterator[None]:
    """Let torch load into copies of expanded buffers, into which it cannot write."""
    expanded = [
        (owner, name, buffer)
        for owner in module.modules()
        for name, buffer in owner.named_buffers(recurse=False)
        if expanded_dimensions(buffer)
    ]
    for owner, name, buffer in expanded:
        setattr(owner, name, buffer.clone())
    try:
        yield
    finally:
        for owner, name, buffer in expanded:
            copy_values(buffer, getattr(owner, name))
            setattr(owner, name, buffer)

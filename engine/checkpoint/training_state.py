"""All that a trainer holds, as data, and its way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from ...events.log import log
from ..data.rng_state import Own, generator_states, of_loader, of_modules, prefixed, set_generators
from ..statechart.phase_paths import sources
from .checkpointed_trainer import CheckpointedTrainer
from .fit_position import position
from .loader_position import loader_states
from .optimizer_state import gradients, load_gradients, load_optimizer, optimizer_state
from .plain_data import plain

FORMAT = 1

Saved = Mapping[str, Any]


def state_dict(trainer: CheckpointedTrainer) -> dict[str, Any]:
    """What `Trainer.state_dict` gives.

    Raises:
        RuntimeError: a batch is live, or scopes are being closed.
        TypeError: what a handler, a module or a loader gave is no data.
    """
    state = trainer.state
    if not state.at_boundary or (state.job != "fit" and "." in state.phase):
        raise RuntimeError(
            f"cannot save in {state.phase} of a {state.job}: what it holds is half done; a state "
            "dict is taken between two batches of a fit, as in a wrap_fetch, or outside of a run"
        )
    is_inside = "." in state.phase
    return {
        "format": FORMAT,
        "chart": rows_of(trainer),
        "phase": state.phase,
        "position": position(state),
        "model": plain(state.model.state_dict(), "model"),
        "buffers": plain(_unsaved_buffers(state.model), "model"),
        "loss_fn": plain(_module_state(state.loss_fn), "loss_fn"),
        "optimizer": plain(optimizer_state(state), "optimizer"),
        "gradients": plain(gradients(state), "gradients"),
        "handlers": _handler_states(trainer),
        "heard": trainer.subscription_counts.state_dict(),
        "loaders": loader_states(state) if is_inside else None,
        "generators": plain(generator_states(_own_generators(trainer)), "generators"),
    }


def _handler_states(trainer: CheckpointedTrainer) -> dict[str, Any]:
    found = {}
    for name, handler in stateful(trainer).items():
        with _as_it_says(trainer, handler, name):
            if state := handler.state_dict():
                found[name] = plain(state, f"handler {name}: state_dict()")
    return found


@contextmanager
def _as_it_says(trainer: CheckpointedTrainer, handler: Any, name: str) -> Iterator[None]:
    """Heed the handler's `on_error`: a logger that fails is taken off, and the fit goes on."""
    try:
        yield
    except Exception:
        if getattr(handler, "on_error", "raise") == "raise":
            raise
        log.exception("handler %s cannot save or load its state; it is detached", name)
        trainer.detach(handler)


def rows_of(trainer: CheckpointedTrainer) -> list[str]:
    """The rows of the trainer's chart, each in a line."""
    rows = trainer.topology.rows
    return [f"{row[0]}: {' or '.join(sources(row))} → {row[2]}" for row in rows]


def load_values(trainer: CheckpointedTrainer, saved: Saved) -> None:
    """Load everything but the position; the generators last."""
    state = trainer.state
    state.model.load_state_dict(saved["model"])
    buffers = _unsaved_buffers(state.model)
    for name, value in saved["buffers"].items():
        buffers[name].copy_(value)
    if isinstance(state.loss_fn, nn.Module):
        state.loss_fn.load_state_dict(saved["loss_fn"])
    if state.optimizer is not None:
        load_optimizer(state, saved["optimizer"])
    load_gradients(state, saved["gradients"])
    for name, handler in stateful(trainer).items():
        if name in saved["handlers"]:
            with _as_it_says(trainer, handler, name):
                handler.load_state_dict(saved["handlers"][name])
    trainer.subscription_counts.load_state_dict(saved["heard"])
    set_generators(saved["generators"], _own_generators(trainer))


def stateful(trainer: CheckpointedTrainer) -> dict[str, Any]:
    """The handlers that can save what they keep, by class, numbered where there are several."""
    return {
        name: handler
        for name, handler in named_handlers(trainer).items()
        if hasattr(handler, "state_dict") and hasattr(handler, "load_state_dict")
    }


def named_handlers(trainer: CheckpointedTrainer) -> dict[str, Any]:
    """`EMA`, `EMA-2`, …, in order of attachment; functions are no handlers."""
    named: dict[str, Any] = {}
    for handler in trainer.handlers:
        if not hasattr(handler, "__name__"):
            kind = type(handler).__name__
            count = sum(type(other).__name__ == kind for other in named.values())
            named[f"{kind}-{count + 1}" if count else kind] = handler
    return named


def _module_state(loss_fn: Any) -> dict[str, Any]:
    return loss_fn.state_dict() if isinstance(loss_fn, nn.Module) else {}


def _unsaved_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that are not in the model's own state dict, because they can be computed anew."""
    saved = model.state_dict()
    return {name: buffer for name, buffer in model.named_buffers() if name not in saved}


def _own_generators(trainer: CheckpointedTrainer) -> Own:
    state = trainer.state
    return [
        *prefixed("model", of_modules(state.model)),
        *prefixed("train_loader", of_loader(state.train_loader)),
        *prefixed("valid_loader", of_loader(state.valid_loader)),
    ]

"""Check that a state dict fits a trainer, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from ...events import TrainState
from ..data.keyed_loader import KeyedLoader
from ..data.validation_loaders import ONLY, by_name
from ..named_parts import all_optimizers, loss_modules, whole_model
from .checkpointed_trainer import CheckpointedTrainer
from .loader_position import has_position_or_none
from .optimizer_state import added_groups, named_parameters, optimizer_states
from .sharded_tensors import StoredTensor
from .state_dict_check import STANDARD_UNIT, check_phase, check_values
from .training_state import (
    STATE_DICT_FORMAT,
    StateDict,
    chart_rows,
    loss_state,
    model_state,
    saved_optimizers,
    stateful_handlers,
    unsaved_buffers,
)

_MAX_SHOWN = 5


class ResumeError(ValueError):
    """A state dict does not fit the trainer; the message names the differences. Nothing changed."""


def check_state_dict(trainer: CheckpointedTrainer, saved: Any) -> None:
    """Check that a state dict was saved by a trainer like this one.

    Raises:
        ResumeError: it was not; the message lists the differences.
    """
    _check_format(saved)
    try:
        check_values(saved)
    except ValueError as error:
        raise ResumeError(str(error)) from None
    _check_model(trainer, saved["model"])
    _check_shapes("gradient", named_parameters(trainer.state), saved["gradients"])
    _check_shapes("buffer", unsaved_buffers(trainer.state), saved["buffers"])
    _check_loss(trainer, saved["loss_fn"])
    _check_optimizers(trainer, saved_optimizers(saved))
    with_state = {name for name, kept in saved["handlers"].items() if kept}
    attached = stateful_handlers(trainer)
    missing = with_state - attached.keys()
    _raise_if_any(
        "the state dict contains the state of handlers that are not attached",
        [f"{name}; attached: {', '.join(attached) or 'none'}" for name in sorted(missing)],
    )


def check_resumable(
    trainer: CheckpointedTrainer, saved: StateDict, train_loader: Any, valid_loader: Any
) -> None:
    """Check that a state dict was saved inside a fit with the same chart and kinds of loaders.

    Raises:
        ResumeError: it was not; the message lists the differences.
    """
    check_state_dict(trainer, saved)
    phase, loaders = saved["phase"], saved["loaders"]
    if "." not in phase:
        raise ResumeError(
            f"cannot resume: the state dict was saved outside of a fit, in phase {phase}; load it "
            "with trainer.load_state_dict and begin a new fit"
        )
    here = chart_rows(trainer)
    rows = [f"{row} only in the state dict" for row in saved["chart"] if row not in here]
    rows += [f"{row} only in this trainer" for row in here if row not in saved["chart"]]
    _raise_if_any("the state dict is from a fit with another chart; rows", rows)
    try:
        check_phase({**saved, "unit": trainer.state.unit_scope})
    except ValueError as error:
        raise ResumeError(f"cannot resume: {error}") from None
    if trainer.state.round_scope in phase.split(".") and saved["position"]["epoch"] < 0:
        raise ResumeError(f"cannot resume in phase {phase}: no epoch has begun")
    _check_names(valid_loader, saved)
    valid_loader = by_name(valid_loader).get(saved["position"]["evaluation"], valid_loader)
    for name, loader in (("train", train_loader), ("valid", valid_loader)):
        _check_loader(f"{name}_loader", loader, loaders["tells"][name])
        if trainer.state.world_size == 1:  # else it is sharded first
            _check_position(f"{name}_loader", loader, loaders[name])


def check_unit(trainer: CheckpointedTrainer, saved: StateDict) -> None:
    """Check that a state dict with the chart of the trainer has its unit, too.

    By its unit it is decided which phases are between two batches.

    Raises:
        ValueError: it has another one.
    """
    unit, own = saved.get("unit", STANDARD_UNIT), trainer.state.unit_scope
    if unit != own and saved["chart"] == chart_rows(trainer):
        raise ValueError(f"unit is {unit} in the state dict, and {own} in this chart")


def _check_names(valid_loader: Any, saved: StateDict) -> None:
    """Check that the validations have the same names."""
    names = set(by_name(valid_loader)) or {ONLY}
    there = {saved["position"]["evaluation"], *saved["loaders"]["other"]}
    if names != there:
        raise ResumeError(
            f"cannot resume with the validation loaders {', '.join(sorted(names))}: the fit was "
            f"saved with {', '.join(sorted(there))}"
        )


def _check_format(saved: Any) -> None:
    number = saved.get("format") if isinstance(saved, Mapping) else None
    if not isinstance(number, int):
        raise ResumeError(
            f"a {type(saved).__name__} without a format is not the state dict of a trainer"
        )
    if number > STATE_DICT_FORMAT:
        raise ResumeError(
            f"the state dict has format {number}, from a newer trackside; "
            f"allowed: up to {STATE_DICT_FORMAT}"
        )


def _check_model(trainer: CheckpointedTrainer, saved: Mapping[str, Any]) -> None:
    current = model_state(trainer.state)
    differences = [f"{name} is missing in the state dict" for name in current.keys() - saved.keys()]
    differences += [f"{name} is not in the model" for name in saved.keys() - current.keys()]
    for name in current.keys() & saved.keys():
        here, there = _shape(current[name]), _shape(saved[name])
        if here != there:
            differences.append(f"{name} is {there} in the state dict, {here} in the model")
    name = type(whole_model(trainer.state)).__name__
    _raise_if_any(f"the state dict is from another model than this {name}", differences)


def _check_shapes(kind: str, here: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    _raise_if_any(
        "the state dict does not fit this model",
        [
            f"the {kind} of {name} is {_shape(saved[name])} in the state dict, {_shape(own)} here"
            for name, own in here.items()
            if name in saved and saved[name].shape != own.shape
        ],
    )


def _check_loss(trainer: CheckpointedTrainer, saved: Mapping[str, Any]) -> None:
    here = loss_state(trainer.state)
    if not loss_modules(trainer.state):
        return
    kinds = ", ".join(type(loss).__name__ for loss in loss_modules(trainer.state).values())
    differences = [f"{name} is missing in the state dict" for name in here.keys() - saved.keys()]
    differences += [f"{name} is not in this loss" for name in saved.keys() - here.keys()]
    _raise_if_any(f"the state dict is from another loss than this {kinds}", differences)
    _check_shapes("state", here, saved)


def _check_optimizers(trainer: CheckpointedTrainer, saved: Mapping[str, Any]) -> None:
    state = trainer.state
    current = optimizer_states(all_optimizers(state), named_parameters(state))
    for name in sorted(current.keys() | saved.keys()):
        what = f"the optimizer {name!r}" if name else "the optimizer"
        here, there = (o[name]["class"] if name in o else "none" for o in (current, saved))
        if here != there:
            raise ResumeError(f"{what} is {there} in the state dict, {here} in this trainer")
        own_names, saved_names = _parameter_names(current[name]), _parameter_names(saved[name])
        saved_names -= _names_in_added_groups(trainer.state, current[name], saved[name])
        differences = [f"{n} is optimized only in this trainer" for n in own_names - saved_names]
        differences += [f"{n} is optimized only in the state dict" for n in saved_names - own_names]
        _raise_if_any(f"the state dict has other parameters than this {here}", differences)


def _check_loader(name: str, loader: Any, had_position: bool | None) -> None:
    if has_position_or_none(loader) == had_position:
        return
    there = "the saved fit had none"
    if had_position is not None:
        there = f"the saved fit's loader had {'a' if had_position else 'no'} state_dict()"
    given = "None" if loader is None else f"a {type(loader).__name__}"
    raise ResumeError(f"cannot resume with {name}={given}: {there}; pass a loader of the same kind")


def _check_position(name: str, loader: Any, position: Any) -> None:
    """Check a position of a loader of our own."""
    if not isinstance(loader, KeyedLoader) or position is None:
        return
    try:
        _check_place(position)
        loader.check(position)
    except ValueError as error:
        raise ResumeError(f"cannot resume with this {name}: {error}") from None


def _check_place(position: Mapping[str, Any]) -> None:
    epoch, batch = position.get("epoch"), position.get("batch")
    if type(epoch) is not int or not 0 <= epoch <= 1 << 53:
        raise ValueError(f"epoch {epoch!r} is no position in it")
    if type(batch) is not int or batch < 0:
        raise ValueError(f"batch {batch!r} is no position in it")


def _names_in_added_groups(
    state: TrainState, current: Mapping[str, Any], saved: Mapping[str, Any]
) -> set[str]:
    """The parameters of the groups that a handler had added; loading adds them again."""
    added = added_groups(current["param_groups"], saved["param_groups"])
    names = {name for group in added for name in group["params"]}
    return names & named_parameters(state).keys()


def _parameter_names(optimizer: Mapping[str, Any]) -> set[str]:
    return {name for group in optimizer["param_groups"] for name in group["params"]}


def _shape(value: Any) -> str:
    if isinstance(value, (Tensor, StoredTensor)):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _raise_if_any(summary: str, differences: Iterable[str]) -> None:
    ordered = sorted(differences)
    if ordered:
        more = f"; and {len(ordered) - _MAX_SHOWN} more" if len(ordered) > _MAX_SHOWN else ""
        raise ResumeError(f"{summary}: {'; '.join(ordered[:_MAX_SHOWN])}{more}")

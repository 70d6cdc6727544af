"""Whether a state dict is one of this trainer; found before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from .checkpointed_trainer import CheckpointedTrainer
from .loader_position import tells
from .optimizer_state import optimizer_state
from .training_state import FORMAT, Saved, rows_of, stateful

_SHOWN = 5


class ResumeError(ValueError):
    """A state dict does not fit the trainer; the message says where. The trainer is as it was."""


def check_state_dict(trainer: CheckpointedTrainer, saved: Any) -> None:
    """Refuse what was not saved from such a trainer.

    Raises:
        ResumeError: says what differs.
    """
    _check_format(saved)
    _check_model(trainer, saved["model"])
    _check_optimizer(trainer, saved["optimizer"])
    keeping = {name for name, kept in saved["handlers"].items() if kept}
    missing = keeping - stateful(trainer).keys()
    _refuse(
        "the state dict has the state of handlers that are not attached",
        [f"{name}; attached: {', '.join(stateful(trainer)) or 'none'}" for name in sorted(missing)],
    )


def check_resumable(
    trainer: CheckpointedTrainer, saved: Saved, train_loader: Any, valid_loader: Any
) -> None:
    """Refuse what was not saved inside of a fit with such loaders, in this chart.

    Raises:
        ResumeError: says what differs.
    """
    check_state_dict(trainer, saved)
    phase, loaders = saved["phase"], saved["loaders"]
    if "." not in phase:
        raise ResumeError(
            f"cannot resume: the state dict was taken outside of a fit, in phase {phase}, so there "
            "is nothing to go on with; trainer.load_state_dict loads it, and a new fit begins"
        )
    here = rows_of(trainer)
    rows = [f"{row} only there" for row in saved["chart"] if row not in here]
    rows += [f"{row} only here" for row in here if row not in saved["chart"]]
    _refuse("the state dict is of a fit with another chart; rows", rows)
    _check_loader("train_loader", train_loader, loaders["tells"]["train"])
    _check_loader("valid_loader", valid_loader, loaders["tells"]["valid"])


def _check_format(saved: Any) -> None:
    number = saved.get("format") if isinstance(saved, Mapping) else None
    if not isinstance(number, int):
        raise ResumeError(
            f"a {type(saved).__name__} without a format is no state dict of a trainer"
        )
    if number > FORMAT:
        raise ResumeError(
            f"the state dict has format {number}, of a newer trackside; allowed: up to {FORMAT}"
        )


def _check_model(trainer: CheckpointedTrainer, saved: Mapping[str, Any]) -> None:
    model = trainer.state.model
    own = model.state_dict()
    differences = [f"{name} is missing in the state dict" for name in own.keys() - saved.keys()]
    differences += [f"{name} is unknown to the model" for name in saved.keys() - own.keys()]
    for name in own.keys() & saved.keys():
        here, there = _shape(own[name]), _shape(saved[name])
        if here != there:
            differences.append(f"{name} is {there} there, {here} here")
    _refuse(f"the state dict is of another model than this {type(model).__name__}", differences)


def _check_optimizer(trainer: CheckpointedTrainer, saved: Mapping[str, Any] | None) -> None:
    own = optimizer_state(trainer.state)
    if own is None and saved is None:
        return
    here, there = ("none" if o is None else o["class"] for o in (own, saved))
    if own is None or saved is None or here != there:
        raise ResumeError(
            f"the state dict is of a trainer whose optimizer is {there}, here: {here}"
        )
    names, others = _stepped(own), _stepped(saved)
    differences = [f"{name} is stepped only here" for name in names - others]
    differences += [f"{name} is stepped only there" for name in others - names]
    _refuse(f"the state dict is of another {here}", differences)


def _check_loader(name: str, loader: Any, told: bool | None) -> None:
    if tells(loader) == told:
        return
    there = "there was none" if told is None else "that of the saved fit "
    if told is not None:
        there += f"{'could' if told else 'could not'} tell its position (state_dict)"
    given = "without one" if loader is None else f"with a {type(loader).__name__}"
    raise ResumeError(f"cannot resume {given} as {name}: {there}; pass one of the same kind")


def _stepped(optimizer: Mapping[str, Any]) -> set[str]:
    return {name for group in optimizer["param_groups"] for name in group["params"]}


def _shape(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    return type(value).__name__


def _refuse(what: str, differences: Iterable[str]) -> None:
    told = sorted(differences)
    if told:
        more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
        raise ResumeError(f"{what}: {'; '.join(told[:_SHOWN])}{more}")

"""Activation checkpointing: less memory, more computation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import torch

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.utils.exact_context import exact_context
from .._copying import LeftOut, nothing
from .._stateful import Stateful

Activity = Callable[[TrainState], str]


class ActivationCheckpointing(Stateful):
    """Keeps no activations inside selected submodules: the backward pass computes them again.

    Gradients, random numbers (dropout) and the running statistics of batch norm are the same.
    Forward hooks inside a selected submodule run a second time. If selected submodules contain each
    other, the outermost is used; the model itself is never selected.

    Signals: begin_batch; wraps forward and backward
    Reads: model, training
    Raises: AttachError when the model has no such submodule; TypeError for wrong arguments
    Cost: no sync; a second forward pass of the selected submodules
    Does not: select the model itself, or act in validation and prediction
    Source: Tianqi Chen, Bing Xu, Chiyuan Zhang, Carlos Guestrin, "Training Deep Nets with
        Sublinear Memory Cost", 2016; the second pass is `torch.utils.checkpoint`

    Args:
        which: classes, such as `nn.TransformerEncoderLayer`, and patterns of names in
            `model.named_modules()`, such as `"encoder.layers.*"`.
    """

    reads = ("model", "training")

    left_out: ClassVar[LeftOut] = {"_model": nothing, "_forwards": list}

    def __init__(self, *which: type[torch.nn.Module] | str) -> None:
        wrong = [choice for choice in which if not _is_choice(choice)]
        if wrong or not which:
            raise TypeError(
                f"ActivationCheckpointing({', '.join(map(repr, wrong))}): allowed: classes of "
                'modules, nn.TransformerEncoderLayer, and patterns of their names, "layers.*"'
            )
        self.which = which
        self._model: torch.nn.Module | None = None
        self._forwards: list[tuple[dict[str, Any], Callable[..., Any]]] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        model = trainer.state.model
        submodules = _submodules(model)
        for choice in self.which:
            if not any(_matches(name, module, choice) for name, module in submodules):
                known = ", ".join(
                    f"{name} ({type(module).__name__})" for name, module in submodules
                )
                raise AttachError(
                    f"ActivationCheckpointing({choice!r}): {type(model).__name__} has no such "
                    f"submodule; there are: {known or 'none'}"
                )

    def detached(self, trainer: TrainerProtocol) -> None:
        self._model, self._forwards = None, []

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.model is not self._model:
            self._model = state.model
            chosen = self._outermost(state.model)
            self._forwards = [(vars(m), trainer.recomputed(m.forward, m)) for m in chosen]

    def wrap_forward(self, forward: Activity) -> Activity:
        return self._checkpointed(forward)

    def wrap_backward(self, backward: Activity) -> Activity:
        """Backward may compute the whole model again, which must be the same model then."""
        return self._checkpointed(backward)

    def _checkpointed(self, activity: Activity) -> Activity:
        def checkpointed(state: TrainState) -> str:
            if not state.training:
                return activity(state)
            with self._forwards_replaced():
                return activity(state)

        return checkpointed

    @exact_context
    def _forwards_replaced(self) -> Iterator[None]:
        """Only during an activity: a copy of the model must not call the original."""
        forwards = self._forwards
        before = [attributes.get("forward") for attributes, _ in forwards]
        for attributes, forward in forwards:
            attributes["forward"] = forward
        try:
            yield
        finally:
            for (attributes, _), own_forward in zip(forwards, before, strict=True):
                del attributes["forward"]
                if own_forward is not None:
                    attributes["forward"] = own_forward

    def _outermost(self, model: torch.nn.Module) -> list[torch.nn.Module]:
        chosen: list[torch.nn.Module] = []
        inside: set[torch.nn.Module] = set()
        for name, module in _submodules(model):
            if module not in inside and any(_matches(name, module, c) for c in self.which):
                chosen.append(module)
                inside.update(module.modules())
        return chosen


def _is_choice(choice: Any) -> bool:
    if isinstance(choice, type):
        return issubclass(choice, torch.nn.Module)
    return isinstance(choice, str)


def _submodules(model: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    return [(name, module) for name, module in model.named_modules() if name]


def _matches(name: str, module: torch.nn.Module, choice: type[torch.nn.Module] | str) -> bool:
    if isinstance(choice, str):
        return fnmatchcase(name, choice)
    return isinstance(module, choice)

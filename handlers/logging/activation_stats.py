"""Statistics of the outputs of modules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.utils.nested import leaves
from .._named_target import check_model_target, checked_name, is_own_update, model_of
from .._torch_internals import uncompiled
from ._tensor_stats import TensorStats

Activity = Callable[[TrainState], str]

_AGAIN = {"backward", "step"}
"""Phases that compute a batch again: activation checkpointing, and closures."""


class ActivationStats(TensorStats):
    """Records mean, standard deviation and histogram of the outputs of modules in training.

    Its hooks exist only during the forward pass of an observed batch. A compiled model runs these
    passes in eager mode, because compiled code calls no hooks.

    Signals: begin_fit, after_epoch; wraps forward
    Reads: model, epoch, batch_index, step
    Raises: AttachError when attached: the model has no such module
    Cost: no sync a batch; one an epoch, which reads bins + 2 numbers for each module and observed
        batch
    Does not: observe validation or prediction

    Args:
        modules: names as in `model.named_modules()`; None: all modules without submodules.
        every: observe every n-th batch of an epoch, from 1; the first batch is observed.
        bins: number of bins of the histogram.
        limits: range of the histogram; values outside count in the outermost bins.
        of: name of the model, of a trainer with several; its forward passes in its own update are
            observed. None: the only one.

    Attributes:
        rows: a dict for each observed output: `fit`, `epoch`, `batch`, `step` (optimizer steps made
            before it in this fit), `name`, `mean`, `std`, `histogram`: counts in each bin, without
            NaN. A module that is called twice has two rows. Of several tensors the first is used.
        edges: the edges of the bins, bins + 1 numbers.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    reads = ("model", "epoch", "batch_index", "step")

    def __init__(
        self,
        modules: Iterable[str] | None = None,
        every: int = 100,
        bins: int = 40,
        limits: tuple[float, float] = (-10.0, 10.0),
        *,
        of: str | None = None,
    ) -> None:
        super().__init__(every, bins, limits)
        self.of = checked_name("ActivationStats", of)
        if isinstance(modules, str):
            raise TypeError(
                f"ActivationStats(modules={modules!r}): expected several names, or None"
            )
        self.modules = None if modules is None else tuple(modules)

    def attached(self, trainer: TrainerProtocol) -> None:
        check_model_target(self, trainer)
        self._modules_of(model_of(trainer.state, self.of))

    def wrap_forward(self, forward: Activity) -> Activity:
        def observed(state: TrainState) -> str:
            if not self._is_observed(state):
                return forward(state)
            with torch.compiler.set_stance("force_eager"), ExitStack() as hooks:
                for name, module in self._modules_of(model_of(state, self.of)).items():
                    hook = module.register_forward_hook(self._stats_hook(state, name))
                    hooks.callback(hook.remove)
                return forward(state)

        return observed

    def _is_observed(self, state: TrainState) -> bool:
        if not state.training or state.batch_index % self.every:
            return False
        again = _AGAIN.intersection(state.phase.split("."))
        return not again and is_own_update(state, self.of)

    def _stats_hook(self, state: TrainState, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(module: nn.Module, args: Any, output: Any) -> None:
            first = next(leaves(output, torch.Tensor), None)
            if first is not None:
                self._add(state, name, first)

        return record

    def _modules_of(self, model: nn.Module) -> dict[str, nn.Module]:
        original = uncompiled(model)
        modules = dict(original.named_modules())
        if self.modules is None:
            innermost = ((n, m) for n, m in modules.items() if not any(m.children()))
            return {name or type(module).__name__: module for name, module in innermost}
        missing = [name for name in self.modules if name not in modules]
        if missing:
            raise AttachError(
                f"ActivationStats: {type(original).__name__} has no module "
                f"{missing[0]!r}; it has {', '.join(filter(None, modules))}"
            )
        return {name: modules[name] for name in self.modules}

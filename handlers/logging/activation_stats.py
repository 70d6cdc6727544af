"""What the modules of a model give."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.nested import leaves
from ._tensor_stats import Statistics

Activity = Callable[[TrainState], str]


class ActivationStats(Statistics):
    """Records mean, standard deviation and histogram of the outputs of modules in training.

    The hooks that it needs are there for the forward pass of the batches observed, and for nothing
    else. A compiled model runs these passes uncompiled: a compiled one calls no hooks.

    Signals: begin_fit, after_epoch; wraps forward
    Reads: model, epoch, batch_index, step
    Raises: AttachError when attached: there is no such module
    Cost: no sync a batch; one an epoch, which reads what was kept on the device: bins + 2 numbers
        for each module and batch observed

    Args:
        modules: names as in `model.named_modules()`; None: all that contain no others.
        every: batches from one observed to the next, within an epoch; the first one is.
        bins: of the histogram.
        limits: of the histogram; what lies outside counts in the outermost bins.

    Attributes:
        rows: a dict for each output observed: `fit`, `epoch`, `batch`, `step` (updates made before
            it in this fit), `name`, `mean`, `std`, `histogram`: counts in each bin, without NaN. A
            module that is called twice has two. Of several tensors the first is taken.
        edges: of the bins, one more than there are bins.

    Raises:
        TypeError, ValueError: an argument is out of range.
    """

    def __init__(
        self,
        modules: Iterable[str] | None = None,
        every: int = 100,
        bins: int = 40,
        limits: tuple[float, float] = (-10.0, 10.0),
    ) -> None:
        super().__init__(every, bins, limits)
        if isinstance(modules, str):
            raise TypeError(
                f"ActivationStats(modules={modules!r}): expected several names, or None"
            )
        self.modules = None if modules is None else tuple(modules)

    def attached(self, trainer: TrainerProtocol) -> None:
        self._chosen(trainer.state.model)

    def wrap_forward(self, forward: Activity) -> Activity:
        def observed(state: TrainState) -> str:
            again = state.pred is not None  # what backward computes anew is no news
            if again or not state.training or state.batch_index % self.every:
                return forward(state)
            with torch.compiler.set_stance("force_eager"), ExitStack() as hooks:
                for name, module in self._chosen(state.model).items():
                    hook = module.register_forward_hook(self._recorder(state, name))
                    hooks.callback(hook.remove)
                return forward(state)

        return observed

    def _recorder(self, state: TrainState, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def record(module: nn.Module, args: Any, output: Any) -> None:
            first = next(leaves(output, torch.Tensor), None)
            if first is not None:
                self._add(state, name, first)

        return record

    def _chosen(self, model: nn.Module) -> dict[str, nn.Module]:
        plain: nn.Module = getattr(model, "_orig_mod", model)  # below torch.compile
        modules = dict(plain.named_modules())
        if self.modules is None:
            leaves = ((n, m) for n, m in modules.items() if not any(m.children()))
            return {name or type(module).__name__: module for name, module in leaves}
        missing = [name for name in self.modules if name not in modules]
        if missing:
            raise AttachError(
                f"ActivationStats: {type(plain).__name__} has no module {missing[0]!r}; it has "
                f"{', '.join(filter(None, modules))}"
            )
        return {name: modules[name] for name in self.modules}

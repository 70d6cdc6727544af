"""Base class of MixUp and CutMix: pairs of examples, and the loss for both targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...events import AttachError, Handler, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.nested import leaves, map_nested
from .._copying import LastTrainer
from .._torch_internals import sample_beta

Activity = Callable[[TrainState], str]


class PairMixing(Handler, ABC):
    """Mixes each training input with a partner; the loss is that for both targets."""

    runs_after = ("BatchTransform",)

    def __init__(self, alpha: float, seed: int) -> None:
        owner = type(self).__name__
        if not 0 < alpha < float("inf"):
            raise ValueError(f"{owner}(alpha={alpha}): allowed: a finite number above 0")
        check_whole_number(f"{owner}(seed={seed!r})", seed)
        self.alpha = alpha
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self._seed = seed
        self._trainer = LastTrainer()
        self._mixed: tuple[float, Tensor] | None = None

    def attached(self, trainer: TrainerProtocol) -> None:
        others = [h for h in trainer.handlers if isinstance(h, PairMixing) and h is not self]
        if others:
            raise AttachError(
                f"{type(self).__name__} cannot be attached beside {type(others[0]).__name__}: "
                "each mixes the whole batch; attach one of them"
            )
        self._check(trainer.state)
        if self._trainer.changes_to(trainer):
            self.generator.manual_seed(self._seed)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._check(state)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())

    def within_batch(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        if state.training:
            self._check_examples(state)
            state.xb, share, partners = self._mix(state.xb)
            self._mixed = share, partners
        try:
            yield
        finally:
            self._mixed = None

    def wrap_loss(self, loss: Activity) -> Activity:
        def mixed_loss(state: TrainState) -> str:
            if self._mixed is None:
                return loss(state)
            share, partners = self._mixed
            loss(state)
            own, state.loss = state.loss, None
            targets, weight = state.yb, state.weight
            try:
                state.yb = self._permute(targets, partners)
                state.weight = None if weight is None else self._permute(weight, partners)
                trigger = loss(state)
            finally:
                state.yb, state.weight = targets, weight
            state.loss = share * own + (1 - share) * state.loss
            return trigger

        return mixed_loss

    @abstractmethod
    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        """Return the mixed inputs, the share of the own example, and the index of each partner."""

    def _draw_pairs(self, examples: int, device: torch.device) -> tuple[float, Tensor]:
        """Draw a share from Beta(alpha, alpha), and a partner for each example."""
        share = sample_beta(self.alpha, self.generator)
        partners = torch.randperm(examples, generator=self.generator, device="cpu")
        return share, partners.to(device, non_blocking=True)

    def _permute(self, targets: Any, partners: Tensor) -> Any:
        """The targets of the partners."""

        def permute(part: Any) -> Tensor:
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{type(self).__name__} cannot pair targets of type {type(part).__name__}; "
                    "expected a tensor, or tensors in tuples, lists and dicts"
                )
            return part[partners.to(part.device)]

        return map_nested(permute, targets)

    def _check_examples(self, state: TrainState) -> None:
        for tensor in leaves(state.xb, Tensor):
            if tensor.dim() == 0 or len(tensor) != (state.batch_size or len(tensor)):
                raise TypeError(
                    f"{type(self).__name__} cannot mix an input {tuple(tensor.shape)} in a batch "
                    f"of {state.batch_size} examples; expected these in the first dimension"
                )

    def _check(self, state: TrainState) -> None:
        if state.loss_fn is None:
            raise AttachError(
                f"{type(self).__name__} needs a loss_fn: a loss computed by the model cannot be "
                "computed for other targets"
            )

"""What MixUp and CutMix have in common: pairs of examples, and the loss of both targets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.nested import map_nested

Activity = Callable[[TrainState], str]


class Mixing(ABC):
    """Mixes each training input with another of its batch; the loss is that of both targets."""

    runs_after = ("BatchTransform",)

    def __init__(self, alpha: float, seed: int) -> None:
        owner = type(self).__name__
        if not 0 < alpha < float("inf"):
            raise ValueError(f"{owner}(alpha={alpha}): allowed: a finite number above 0")
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise TypeError(f"{owner}(seed={seed!r}): allowed: an int")
        self.alpha = alpha
        self.generator = torch.Generator("cpu").manual_seed(seed)
        self._mixed: tuple[float, Tensor] | None = None

    def attached(self, trainer: TrainerProtocol) -> None:
        others = [h for h in trainer.handlers if isinstance(h, Mixing) and h is not self]
        if others:
            raise AttachError(
                f"{type(self).__name__} cannot be attached beside {type(others[0]).__name__}: "
                "each mixes the whole batch; attach one of them"
            )
        self._check(trainer.state)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._check(state)

    def state_dict(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())

    def within_batch(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        if state.training:
            state.xb, share, partners = self._mix(state.xb)
            self._mixed = share, partners
        try:
            yield
        finally:
            self._mixed = None

    def wrap_loss(self, loss: Activity) -> Activity:
        def of_both(state: TrainState) -> str:
            if self._mixed is None:
                return loss(state)
            share, partners = self._mixed
            loss(state)
            own, state.loss = state.loss, None
            targets = state.yb
            try:
                state.yb = self._permuted(targets, partners)
                trigger = loss(state)
            finally:
                state.yb = targets
            state.loss = share * own + (1 - share) * state.loss
            return trigger

        return of_both

    @abstractmethod
    def _mix(self, inputs: Any) -> tuple[Any, float, Tensor]:
        """The mixed inputs, the share of each example in its own, the index of its partner."""

    def _drawn(self, examples: int, device: torch.device) -> tuple[float, Tensor]:
        """A share from Beta(alpha, alpha), and a partner for each example."""
        both = torch.full((2,), self.alpha, dtype=torch.float64, device="cpu")
        share = torch._sample_dirichlet(both, generator=self.generator)[0].item()
        partners = torch.randperm(examples, generator=self.generator, device="cpu")
        return share, partners.to(device, non_blocking=True)

    def _permuted(self, targets: Any, partners: Tensor) -> Any:
        def permuted(part: Any) -> Tensor:
            if not isinstance(part, Tensor):
                raise TypeError(
                    f"{type(self).__name__} cannot pair targets of type {type(part).__name__}; "
                    "expected a tensor, or tensors in tuples, lists and dicts"
                )
            return part[partners.to(part.device)]

        return map_nested(permuted, targets)

    def _check(self, state: TrainState) -> None:
        if state.loss_fn is None:
            raise AttachError(
                f"{type(self).__name__} needs a loss_fn: a loss that the model computes itself "
                "cannot be computed for other targets"
            )

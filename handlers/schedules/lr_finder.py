"""The learning-rate range test."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch

from ...events import CancelFitException, Handler, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from .._model_copy import has_lazy_parts
from ..optimization._group_options import set_option
from ._lr_curve import LRCurve
from ._trial_restore import preserve_training_state


class LRFinder(Handler):
    """Trains for some steps with a growing learning rate, suggests one, and restores everything.

    The range test is a separate fit, by a second trainer of the same class, with the model, the
    loss function and the optimizer of the first one. Handlers and replaced activities of the first
    trainer are not used. However the test ends, weights, buffers, gradients, the optimizer and
    random number generators are restored, bit for bit. Not restored: what was read from an
    iterator, and the random numbers of persistent workers.

    Signals: none of the given trainer; begin_batch, after_loss, after_step of the second one
    Raises: CancelFitException in the test, when the loss diverges or all steps are made
    Cost: one sync a batch of the test; the memory of the weights and of the optimizer's state
    Does not: use the handlers of the given trainer, or restore what was read from an iterator
    Source: Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2015; Sylvain
        Gugger and Jeremy Howard, fastai, for smoothing and suggestions

    Args:
        start: the first learning rate, above 0.
        end: the last one, above `start`. Each step raises the rate by the same factor.
        steps: optimizer steps in the test, from 20.
        diverged: the test ends when the smoothed loss exceeds the smallest one this many times,
            above 1.

    Raises:
        TypeError, ValueError: an argument is out of range.

    Example:
        curve = LRFinder().find(trainer, train_loader)
        curve.valley, curve.steepest
        curve.plot("rates.png")
    """

    def __init__(
        self, start: float = 1e-7, end: float = 10.0, steps: int = 100, diverged: float = 4.0
    ) -> None:
        if not 0 < start < end < math.inf:
            raise ValueError(f"LRFinder(start={start}, end={end}): allowed: 0 < start < end")
        check_whole_number(f"LRFinder(steps={steps!r})", steps, 20)
        if not diverged > 1:
            raise ValueError(f"LRFinder(diverged={diverged}): allowed: a number above 1")
        self.start = start
        self.end = end
        self.steps = steps
        self.diverged = diverged

    def find(
        self, trainer: TrainerProtocol, train_loader: Iterable[Any], handlers: Iterable[Any] = ()
    ) -> LRCurve:
        """Run the test with the model, loss and optimizer of `trainer`; return rates and losses.

        Args:
            train_loader: read repeatedly, if it is shorter than the test.
            handlers: attached for the test only, such as one for mixed precision.

        Raises:
            TypeError: the trainer has no optimizer, or several.
            RuntimeError: the trainer is running.
            BaseException: whatever the test raises, after everything is restored.
        """
        state = trainer.state
        if state.optimizer is None:
            raise TypeError("LRFinder.find: the trainer has no optimizer, so there is no rate")
        if len(state.optimizers) > 1:
            raise TypeError(
                f"LRFinder.find: the trainer has several optimizers ({', '.join(state.optimizers)})"
                ", and the test trains one model with one; make a trainer of one of them for it"
            )
        if "." in state.phase:
            raise RuntimeError(
                f"LRFinder.find: the trainer is in {state.phase}; call it when the run has ended"
            )
        if has_lazy_parts(state.model):
            raise TypeError(
                f"LRFinder.find: the {type(state.model).__name__} has parameters without a shape, "
                "which could not be restored; pass one batch through it first: model(x)"
            )
        for number, group in enumerate(state.optimizer.param_groups):
            if "lr" not in group:
                raise TypeError(
                    f"LRFinder.find: parameter group {number} of the "
                    f"{type(state.optimizer).__name__} has no 'lr' to find"
                )
        test = _RangeTest(self)
        kind: Any = type(trainer)
        with preserve_training_state(trainer, state.optimizer, train_loader):
            trial = kind(
                state.model,
                state.loss_fn,
                state.optimizer,
                handlers=[*handlers, test],
                device=state.device,
                batch=state.split_batch,
                batch_size=state.count_examples,
            )
            trial.verbose = False
            trial.fit(train_loader, epochs=self.steps, batches_per_epoch=self.steps)
        return test.curve


class _RangeTest:
    """The handler of the test: sets the rates, records the losses, ends the test."""

    def __init__(self, finder: LRFinder) -> None:
        self.curve = LRCurve()
        self._finder = finder
        self._ratios: list[float] = []
        self._mean = _SmoothedMean(1 - 2 / finder.steps)  # 0.98 for 100 steps, as in fastai
        self._before = self._mean

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        assert state.optimizer is not None
        rates = [float(group["lr"]) for group in state.optimizer.param_groups]
        self._ratios = [rate / rates[0] if rates[0] else 1.0 for rate in rates]

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        assert state.optimizer is not None
        rate = self._rate(state.step)
        for group, ratio in zip(state.optimizer.param_groups, self._ratios, strict=True):
            set_option(group, "lr", rate * ratio)
        self._before = self._mean

    def after_loss(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._mean = copy.copy(self._before)  # this may be the second attempt of the batch
        loss = self._mean.update(float(torch.as_tensor(state.loss).detach()))
        least = min(self.curve.losses, default=loss)
        if not math.isfinite(loss) or loss - least > (self._finder.diverged - 1) * abs(least):
            raise CancelFitException(f"the loss diverged at rate {self._rate(state.step):.2g}")

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.outcome != "completed":
            return
        self.curve.rates.append(self._rate(state.step - 1))
        self.curve.losses.append(self._mean.value)
        if state.step == self._finder.steps:
            raise CancelFitException(f"all {state.step} steps are made")

    def after_train(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.batch_index < 0:
            raise CancelFitException("the loader has no more batches")

    def _rate(self, step: int) -> float:
        start, end = self._finder.start, self._finder.end
        share = step / (self._finder.steps - 1)
        return start * math.pow(end / start, share)


class _SmoothedMean:
    """A mean in which each value has `decay` times the weight of the next one."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.value = 0.0
        self._sum = 0.0
        self._weight = 0.0

    def update(self, value: float) -> float:
        self._sum = self.decay * self._sum + value
        self._weight = self.decay * self._weight + 1
        self.value = self._sum / self._weight
        return self.value

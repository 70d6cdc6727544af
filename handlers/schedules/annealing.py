"""Optimizer options as functions of the fit's progress."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from torch.optim import Optimizer

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_no_class, check_whole_number
from .._copying import LeftOut, nothing
from .._named_target import checked_name, optimizer_of
from .._stateful import Stateful
from ..optimization._group_options import ParamGroup, copy_option, set_option
from ._option_writer import OptionWriter
from ._step_plan import PLAN_READS, PLAN_WRITERS, StepPlan

Curve = Callable[[float], Any]
"""Maps progress, 0 at the fit's first step and below 1 at its last, to a value."""


class Annealing(OptionWriter, Stateful):
    """Sets an option of the optimizer before each step, as a function of the fit's progress.

    Progress is the share of the fit's planned optimizer steps that have passed, by epoch and batch:
    a cancelled batch does not delay it, and a skipped epoch counts as passed. If a StepLimit,
    TokenLimit or TimeLimit is nearer to its end, it is the share of that. When the fit closes, the
    option gets its old value again. Attach one for each option, or for each group:

        Annealing("lr", piecewise((0.1, linear(0.001, 0.1)), (0.9, cosine(0.1, 0.0))))
        Annealing("betas", lambda progress: (0.95 - 0.1 * progress, 0.99), group=1)

    Signals: begin_fit, begin_batch, after_fit
    Reads: optimizer, epoch, n_epochs, batch_index, batches_per_epoch, train_loader, limits
    Writes: the option of the optimizer
    Raises: ValueError, when the end of the fit is not known, or the group or option does not exist
    Cost: no sync
    Does not: work in a fit whose end is not known, or follow a metric

    Args:
        option: its name in the parameter groups: "lr", "momentum", "weight_decay", "betas", …
        curve: `curve(progress)` returns the value; see `linear`, `cosine`, `exponential` and
            `piecewise` beside it.
        group: 0-based number of the parameter group; None: all of them, including those that
            WeightDecayGroups or Unfreeze made.
        of: name of the optimizer, of a trainer with several; None: the only one.

    Raises:
        TypeError: an argument has the wrong type.
        ValueError: `group` is negative, or `option` is "params".
    """

    reads = PLAN_READS

    left_out: ClassVar[LeftOut] = {"_plan": nothing, "_groups": list}

    never_cancels = True
    runs_after = PLAN_WRITERS

    def __init__(
        self, option: str, curve: Curve, group: int | None = None, *, of: str | None = None
    ) -> None:
        check_no_class("Annealing(curve=…)", curve)
        if not isinstance(option, str) or not callable(curve):
            raise TypeError(
                f"Annealing({option!r}, {curve!r}): expected the name of an option and a function "
                'of progress, such as Annealing("lr", cosine(0.1, 0.0))'
            )
        if option == "params":
            raise ValueError("Annealing('params'): these are the parameters, not an option")
        if group is not None:
            check_whole_number(f"Annealing(group={group!r})", group, 0)
        self.of = checked_name("Annealing", of)
        self.option = option
        self.options = (option,)
        self.curve = curve
        self.group = group
        self._groups: list[ParamGroup] = []
        self._plan: StepPlan | None = None

    def attached(self, trainer: TrainerProtocol) -> None:
        super().attached(trainer)
        optimizer = optimizer_of(trainer.state, self.of)
        if optimizer is not None and all(self.option not in g for g in optimizer.param_groups):
            raise AttachError(self._missing_option(optimizer))

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        plan, groups = StepPlan(state, "Annealing", self.of), self._select_groups(optimizer)
        before = [copy_option(group[self.option]) for group in groups]
        self._plan, self._groups = plan, groups
        try:
            yield
        finally:
            self._plan, self._groups = None, []
            for group, value in zip(groups, before, strict=True):
                set_option(group, self.option, value)

    def begin_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if self._plan is None or not state.training:
            return
        progress = self._plan.fraction(state)
        for group in self._groups:
            set_option(group, self.option, self.curve(progress))

    def _select_groups(self, optimizer: Optimizer) -> list[ParamGroup]:
        groups: list[ParamGroup] = optimizer.param_groups
        if self.group is not None:
            if self.group >= len(groups):
                raise ValueError(
                    f"Annealing({self.option!r}, group={self.group}): the optimizer has "
                    f"{len(groups)} parameter groups, counted from 0"
                )
            groups = [groups[self.group]]
        for group in groups:
            if self.option not in group:
                raise ValueError(self._missing_option(optimizer))
        return list(groups)

    def _missing_option(self, optimizer: Optimizer) -> str:
        options = ", ".join(name for name in optimizer.param_groups[0] if name != "params")
        return (
            f"Annealing({self.option!r}): {type(optimizer).__name__} has no such option; "
            f"it has: {options}"
        )


def linear(start: float, end: float) -> Curve:
    """A straight line."""
    return functools.partial(_linear, start, end)


def cosine(start: float, end: float) -> Curve:
    """Half a cosine wave: flat at both ends."""
    return functools.partial(_cosine, start, end)


def exponential(start: float, end: float) -> Curve:
    """An exponential curve: each step changes the value by the same factor.

    Raises:
        ValueError: `start` or `end` is not above 0.
    """
    if not (start > 0 and end > 0):
        raise ValueError(f"exponential({start}, {end}): allowed: numbers above 0")
    return functools.partial(_exponential, start, end)


def piecewise(*parts: tuple[float, Curve]) -> Curve:
    """One curve after the other, each for its share of the progress, from its 0 to its 1.

    Raises:
        ValueError: a share is not above 0, or the shares do not add up to 1.
    """
    shares = [share for share, _ in parts]
    if not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1):
        raise ValueError(f"piecewise with shares {shares}: allowed: above 0, with the sum 1")
    return functools.partial(_piecewise, parts)


def _linear(start: float, end: float, progress: float) -> float:
    return start + (end - start) * progress


def _cosine(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def _exponential(start: float, end: float, progress: float) -> float:
    value: float = start * (end / start) ** progress
    return value


def _piecewise(parts: Sequence[tuple[float, Curve]], progress: float) -> Any:
    begin = 0.0
    for share, part in parts[:-1]:
        if progress < begin + share:
            return part((progress - begin) / share)
        begin += share
    return parts[-1][1](min(1.0, (progress - begin) / (1 - begin)))

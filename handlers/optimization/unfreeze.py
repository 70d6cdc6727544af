"""Gradual unfreezing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import compress
from typing import ClassVar

from torch import nn
from torch.optim import Optimizer

from ...events import AttachError, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.exact_context import exact_context
from .._copying import LeftOut
from .._named_target import OptimizerTarget, checked_name, model_of, optimizer_of
from .._stateful import Stateful
from .._torch_internals import COMPILED_PREFIX
from .._writes import Writes
from ._group_options import ParamGroup, copy_option


class Unfreeze(OptimizerTarget, Stateful):
    """Trains the first group of modules from the start, and unfreezes the others one by one.

    The parameters of a frozen module require no gradient; running statistics such as BatchNorm's
    are still updated. Parameters in no group are trained from the start, and a parameter that
    required no gradient before the fit stays frozen. When the fit closes, `requires_grad` and the
    groups of the optimizer are restored.

    Signals: begin_fit, begin_epoch, after_fit
    Reads: model, optimizer, epoch
    Writes: `requires_grad` of the parameters; the parameter groups of the optimizer, if
        `lr_divisor` is not 1: those of the first group come first
    Cost: no sync
    Does not: stop the updates of running statistics in a frozen module
    Source: Jeremy Howard, Sebastian Ruder, "Universal Language Model Fine-tuning for Text
        Classification", 2018

    Args:
        groups: in the order of unfreezing; the first is trained from the start. Each is one name,
            or a list of names, of modules or parameters, as in `model.named_modules()` and
            `named_parameters()`: `["head", ["layer4", "layer3"], ""]`; the empty name is the
            whole model. A parameter in several groups belongs to the first of them.
        every: epochs from one unfreezing to the next, from 1.
        lr_divisor: the learning rate of each group is that of the group before, divided by this.
        of: name of the optimizer and of its model, of a trainer with several; None: the only one.

    Raises:
        TypeError, ValueError: an argument is out of range.
        AttachError: when attached: a group contains no parameter of the model.
    """

    reads = ("model", "optimizer", "epoch")
    writes: ClassVar[Writes] = dict.fromkeys(
        ("begin_fit", "begin_epoch", "after_fit"), ("optimizer",)
    )

    runs_after = ("WeightDecayGroups",)

    left_out: ClassVar[LeftOut] = {"_frozen": list}

    def __init__(
        self,
        groups: Sequence[str | Sequence[str]],
        every: int = 1,
        lr_divisor: float = 1.0,
        *,
        of: str | None = None,
    ) -> None:
        if isinstance(groups, str) or not isinstance(groups, Sequence) or not groups:
            raise TypeError(
                f'Unfreeze({groups!r}): expected a list of names, such as ["head", "body"]'
            )
        check_whole_number(f"Unfreeze(every={every!r})", every, 1)
        if not lr_divisor > 0:
            raise ValueError(f"Unfreeze(lr_divisor={lr_divisor}): allowed: a number above 0")
        self.groups = [[group] if isinstance(group, str) else list(group) for group in groups]
        self.of = checked_name("Unfreeze", of)
        self.every = every
        self.lr_divisor = lr_divisor
        self._frozen: list[list[nn.Parameter]] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        super().attached(trainer)
        self._group_parameters(model_of(trainer.state, self.of))

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        members = self._group_parameters(model_of(state, self.of))
        with ExitStack() as stack:
            if self.lr_divisor != 1:
                stack.enter_context(_divide_rates(optimizer, members, self.lr_divisor))
            stack.callback(self._unfreeze_all)
            self._frozen = [[p for p in group if p.requires_grad] for group in members[1:]]
            for group in self._frozen:
                _require_grad(group, False)
            yield

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        due = state.epoch // self.every
        for group in self._frozen[:due]:
            _require_grad(group, True)

    def _unfreeze_all(self) -> None:
        frozen, self._frozen = self._frozen, []
        for group in frozen:
            _require_grad(group, True)

    def _group_parameters(self, model: nn.Module) -> list[list[nn.Parameter]]:
        """The parameters of each group; each parameter is in the first group that names it."""
        members: list[list[nn.Parameter]] = [[] for _ in self.groups]
        for name, parameter in model.named_parameters():
            for group, names in zip(members, self.groups, strict=True):
                if any(_is_in(name.replace(COMPILED_PREFIX, ""), module) for module in names):
                    group.append(parameter)
                    break
        for group, names in zip(members, self.groups, strict=True):
            if not group:
                children = ", ".join(name for name, _ in model.named_children())
                raise AttachError(
                    f"Unfreeze: no parameter of {type(model).__name__} is in {names}, and in no "
                    f"group before; its modules are: {children}"
                )
        return members


def _is_in(parameter: str, module: str) -> bool:
    return not module or parameter == module or parameter.startswith(f"{module}.")


def _require_grad(parameters: list[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)


@exact_context
def _divide_rates(
    optimizer: Optimizer, members: list[list[nn.Parameter]], divisor: float
) -> Iterator[None]:
    """Split the parameter groups by `members`; divide the rate of group n by `divisor` ** n."""
    numbers = {id(p): number for number, group in enumerate(members) for p in group}
    before = list(optimizer.param_groups)
    optimizer.param_groups[:] = [
        part
        for number in (*range(len(members)), None)
        for group in before
        if (part := _subgroup(group, numbers, number, divisor))["params"]
    ]
    try:
        yield
    finally:
        optimizer.param_groups[:] = before


def _subgroup(
    group: ParamGroup, numbers: dict[int, int], number: int | None, divisor: float
) -> ParamGroup:
    """A copy of `group` with only the parameters that belong to group `number`."""
    chosen = [numbers.get(id(parameter)) == number for parameter in group["params"]]
    part = {name: copy_option(value) for name, value in group.items()}
    for name in part.keys() & {"params", "param_names"}:
        part[name] = list(compress(group[name], chosen))
    if "lr" not in group:
        raise ValueError("Unfreeze(lr_divisor=…): a parameter group of the optimizer has no 'lr'")
    part["lr"] = group["lr"] / divisor ** (number or 0)
    return part

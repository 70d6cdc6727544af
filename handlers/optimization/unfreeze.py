"""Gradual unfreezing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import compress

from torch import nn
from torch.optim import Optimizer

from ...events import AttachError, TrainerProtocol, TrainState
from .._stateful import Saved
from ._group_options import Group, copied


class Unfreeze(Saved):
    """Trains the first group of modules at once, and the others one by one as epochs go by.

    Of a frozen module the parameters require no gradient; statistics such as BatchNorm's follow
    the batches as ever. What no group names is trained from the beginning, and a parameter that
    required no gradient before the fit never does. When the fit closes, the model and the groups
    of the optimizer are as they were.

    Signals: begin_fit, begin_epoch, after_fit
    Reads: model, optimizer, epoch
    Writes: `requires_grad` of the parameters; the parameter groups of the optimizer, where
        `lr_divisor` is not 1: those of the first group come first
    Cost: no sync
    Source: Jeremy Howard, Sebastian Ruder, "Universal Language Model Fine-tuning for Text
        Classification", 2018

    Args:
        groups: from that which is trained from the beginning to that which is unfrozen last,
            each a name, or several, of modules or parameters, as `model.named_modules()` and
            `named_parameters()` tell them: `["head", ["layer4", "layer3"], ""]`; the empty name
            is the whole model. What several groups name is in the first of them.
        every: epochs from one unfreezing to the next, from 1.
        lr_divisor: the learning rate of each group is that of the group before, divided by this.

    Raises:
        TypeError, ValueError: an argument is out of range.
        AttachError: when attached: the model has nothing of a name.
    """

    runs_after = ("WeightDecayGroups",)

    def __init__(
        self, groups: Sequence[str | Sequence[str]], every: int = 1, lr_divisor: float = 1.0
    ) -> None:
        if isinstance(groups, str) or not isinstance(groups, Sequence) or not groups:
            raise TypeError(
                f'Unfreeze({groups!r}): expected a list of names, such as ["head", "body"]'
            )
        if isinstance(every, bool) or not isinstance(every, int):
            raise TypeError(f"Unfreeze(every={every!r}): allowed: an int, from 1")
        if every < 1:
            raise ValueError(f"Unfreeze(every={every}): allowed: an int, from 1")
        if not lr_divisor > 0:
            raise ValueError(f"Unfreeze(lr_divisor={lr_divisor}): allowed: a number above 0")
        self.groups = [[group] if isinstance(group, str) else list(group) for group in groups]
        self.every = every
        self.lr_divisor = lr_divisor
        self._frozen: list[list[nn.Parameter]] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        self._members(trainer.state.model)

    def within_fit(self, trainer: TrainerProtocol, state: TrainState) -> Iterator[None]:
        assert state.optimizer is not None
        members = self._members(state.model)
        with ExitStack() as stack:
            if self.lr_divisor != 1:
                stack.enter_context(_rates_divided(state.optimizer, members, self.lr_divisor))
            stack.callback(self._unfreeze)
            self._frozen = [[p for p in group if p.requires_grad] for group in members[1:]]
            for group in self._frozen:
                _require_grad(group, False)
            yield

    def begin_epoch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        due = state.epoch // self.every
        for group in self._frozen[:due]:
            _require_grad(group, True)

    def _unfreeze(self) -> None:
        frozen, self._frozen = self._frozen, []
        for group in frozen:
            _require_grad(group, True)

    def _members(self, model: nn.Module) -> list[list[nn.Parameter]]:
        """The parameters of each group; of several, the first has them."""
        found: list[list[nn.Parameter]] = [[] for _ in self.groups]
        for name, parameter in model.named_parameters():
            for group, names in zip(found, self.groups, strict=True):
                if any(_is_in(name.replace("_orig_mod.", ""), other) for other in names):
                    group.append(parameter)
                    break
        for group, names in zip(found, self.groups, strict=True):
            if not group:
                children = ", ".join(name for name, _ in model.named_children())
                raise AttachError(
                    f"Unfreeze: no parameter of {type(model).__name__} is in {names}, and in no "
                    f"group before; its modules are: {children}"
                )
        return found


def _is_in(parameter: str, module: str) -> bool:
    return not module or parameter == module or parameter.startswith(f"{module}.")


def _require_grad(parameters: list[nn.Parameter], required: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(required)


@contextmanager
def _rates_divided(
    optimizer: Optimizer, members: list[list[nn.Parameter]], divisor: float
) -> Iterator[None]:
    """Parameter groups that are split by `members`, the rate of each divided once more."""
    place = {id(p): number for number, group in enumerate(members) for p in group}
    before = list(optimizer.param_groups)
    optimizer.param_groups[:] = [
        part
        for number in (*range(len(members)), None)
        for group in before
        if (part := _part(group, place, number, divisor))["params"]
    ]
    try:
        yield
    finally:
        optimizer.param_groups[:] = before


def _part(group: Group, place: dict[int, int], number: int | None, divisor: float) -> Group:
    """`group` with those of its parameters alone whose place is `number`."""
    chosen = [place.get(id(parameter)) == number for parameter in group["params"]]
    part = {name: copied(value) for name, value in group.items()}
    for name in part.keys() & {"params", "param_names"}:
        part[name] = list(compress(group[name], chosen))
    part["lr"] = group["lr"] / divisor ** (number or 0)
    return part

"""Weight decay only where it belongs."""

from __future__ import annotations

from itertools import compress
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.optim import Optimizer

from ...events import AttachError, TrainerProtocol, TrainState
from .._stateful import Saved
from ._group_options import Group, copied

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class WeightDecayGroups(Saved):
    """Exempts biases and the parameters of norm layers from weight decay.

    When a fit begins, each parameter group of the optimizer that decays is split: what is exempt
    moves to a group of its own at the end, with the same options and a `weight_decay` of 0. Exempt
    are parameters with fewer than two dimensions, those whose names end in `bias`, and all of a
    norm layer. Where all of a group is exempt, it stays there empty. The groups stay split from fit
    to fit; detaching merges them, at the end of the fit if there is one.

    Signals: begin_fit, resumed
    Reads: model, optimizer
    Writes: the parameter groups of the optimizer
    Raises: AttachError when attached or at begin_fit: the optimizer has no weight decay
    Cost: no sync
    """

    # which go by the groups that there are when the fit begins
    runs_before = (
        "Annealing",
        "CosineWarmup",
        "FlatCosine",
        "LRSchedule",
        "OneCycle",
        "ReduceOnPlateau",
        "Unfreeze",
    )

    def __init__(self) -> None:
        self._splits: list[_Split] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        if trainer.state.optimizer is not None:
            _check(trainer.state.optimizer)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        optimizer = state.optimizer
        assert optimizer is not None
        _check(optimizer)
        exempt = {id(parameter) for parameter in _exempt(state.model)}
        for place, group in enumerate(list(optimizer.param_groups)):
            free = [id(parameter) in exempt for parameter in group["params"]]
            if group["weight_decay"] and any(free):
                self._splits.append(_split(optimizer, place, free))

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.begin_fit(trainer, state)

    def detached(self, trainer: TrainerProtocol) -> None:
        splits, self._splits = self._splits[::-1], []
        for split in splits:
            split.undo()

        def drop_empty(trainer: TrainerProtocol, state: TrainState) -> None:
            for split in splits:
                split.drop_empty()
            if drop_empty in trainer.handlers:
                trainer.detach(drop_empty)

        if trainer.state.job == "fit" and "." in trainer.state.phase:
            trainer.on("after_fit")(drop_empty)  # schedules count the groups until then
        else:
            drop_empty(trainer, trainer.state)


class _Split(NamedTuple):
    """What a group was, and the two that it became, by their places: loading makes new ones."""

    optimizer: Optimizer
    home: int
    extra: int
    whole: Group
    kept: list[Tensor]
    added: Group
    weight_decay: Any

    def undo(self) -> None:
        """Have all parameters at home; where others have changed the groups, have them decay."""
        groups, moved = self.optimizer.param_groups, self.added["params"]
        for group in (self.added, *groups):  # who has others there now may bring `added` back
            if group["params"] and _ids(group["params"]) <= _ids(moved):
                group["weight_decay"] = self.weight_decay
        if self._stands(self.home, self.kept) and self._stands(self.extra, moved):
            groups[self.home].update(self.whole)
            groups[self.extra].update({name: [] for name in self.whole})

    def drop_empty(self) -> None:
        if self._stands(self.extra, []):
            del self.optimizer.param_groups[self.extra]

    def _stands(self, place: int, parameters: list[Tensor]) -> bool:
        found = self.optimizer.param_groups[place : place + 1]
        return bool(found) and _ids(found[0]["params"]) == _ids(parameters)


def _split(optimizer: Optimizer, home: int, free: list[bool]) -> _Split:
    """Move what is free of decay from the group at `home` to a new one at the end."""
    group = optimizer.param_groups[home]
    whole: Group = {name: group[name] for name in ("params", "param_names") if name in group}
    kept: Group = {n: list(compress(x, (not out for out in free))) for n, x in whole.items()}
    moved: Group = {n: list(compress(x, free)) for n, x in whole.items()}
    extra, weight_decay = len(optimizer.param_groups), group["weight_decay"]
    options = {name: copied(value) for name, value in group.items()}
    group.update(kept)
    optimizer.add_param_group({**options, **moved, "weight_decay": 0.0})
    added = optimizer.param_groups[extra]
    return _Split(optimizer, home, extra, whole, kept["params"], added, weight_decay)


def _ids(parameters: list[Tensor]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def _check(optimizer: Optimizer) -> None:
    if not all("weight_decay" in group for group in optimizer.param_groups):
        raise AttachError(
            f"WeightDecayGroups: {type(optimizer).__name__} has no option weight_decay, so there "
            "is nothing to be exempt from"
        )


def _exempt(model: nn.Module) -> list[Tensor]:
    return [
        parameter
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim < 2 or name.endswith("bias") or isinstance(module, _NORMS)
    ]

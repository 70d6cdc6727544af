"""Weight decay without biases and norm layers."""

from __future__ import annotations

from itertools import compress
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn
from torch.optim import Optimizer

from ...events import AttachError, TrainerProtocol, TrainState
from .._copying import LeftOut
from .._named_target import OptimizerTarget, checked_name, model_of, optimizer_of
from .._stateful import Stateful
from .._torch_internals import BatchOrInstanceNorm
from .._writes import Writes
from ._group_options import ParamGroup, copy_option

_NORMS = (BatchOrInstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


class WeightDecayGroups(OptimizerTarget, Stateful):
    """Exempts biases and the parameters of norm layers from weight decay.

    When a fit begins, each parameter group of the optimizer with weight decay is split: exempt
    parameters move to a new group at the end, with the same options and a `weight_decay` of 0.
    Exempt are parameters with fewer than two dimensions, those whose names end in `bias`, and all
    parameters of a norm layer. If all parameters of a group are exempt, the group stays, empty. The
    groups stay split after the fit; detaching merges them, during a fit when it ends.

    Signals: begin_fit, resumed
    Reads: model, optimizer
    Writes: the parameter groups of the optimizer
    Raises: AttachError when attached or at begin_fit: the optimizer has no weight decay
    Cost: no sync
    Does not: change the decay of other parameters, or undo the split when the fit ends

    Args:
        of: name of the optimizer and of its model, of a trainer with several; None: the only one.

    Raises:
        TypeError: `of` is no name.
    """

    reads = ("model", "optimizer")
    writes: ClassVar[Writes] = {"begin_fit": ("optimizer",)}

    # these read the parameter groups when the fit begins
    runs_before = (
        "Annealing",
        "CosineWarmup",
        "FlatCosine",
        "LRSchedule",
        "OneCycle",
        "ReduceOnPlateau",
        "Unfreeze",
    )

    left_out: ClassVar[LeftOut] = {"_splits": dict}

    def __init__(self, *, of: str | None = None) -> None:
        self.of = checked_name("WeightDecayGroups", of)
        self._splits: dict[TrainerProtocol, list[_Split]] = {}

    def attached(self, trainer: TrainerProtocol) -> None:
        super().attached(trainer)
        optimizer = optimizer_of(trainer.state, self.of)
        if optimizer is not None:
            _check_weight_decay(optimizer)

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        optimizer = optimizer_of(state, self.of)
        assert optimizer is not None
        _check_weight_decay(optimizer)
        exempt = {id(parameter) for parameter in _exempt_parameters(model_of(state, self.of))}
        for index, group in enumerate(list(optimizer.param_groups)):
            is_exempt = [id(parameter) in exempt for parameter in group["params"]]
            if group["weight_decay"] and any(is_exempt):
                split = _split_group(optimizer, index, is_exempt)
                self._splits.setdefault(trainer, []).append(split)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self.begin_fit(trainer, state)

    def detached(self, trainer: TrainerProtocol) -> None:
        splits = self._splits.pop(trainer, [])[::-1]
        for split in splits:
            split.undo()

        def drop_empty(trainer: TrainerProtocol, state: TrainState) -> None:
            for split in splits:
                split.drop_empty()
            if drop_empty in trainer.handlers:
                trainer.detach(drop_empty)

        if trainer.state.job == "fit" and "." in trainer.state.phase:
            # until then schedules need the same number of groups
            trainer.on("after_fit")(drop_empty)
        else:
            drop_empty(trainer, trainer.state)


class _Split(NamedTuple):
    """How one group was split in two. Groups are named by index: loading replaces the dicts.

    Attributes:
        group_index: of the group that was split.
        exempt_index: of the new group, at the end.
        original: `params`, and `param_names` if present, before the split.
        kept: the parameters that stayed in the group.
        exempt_group: the new group.
        weight_decay: of the group before the split.
    """

    optimizer: Optimizer
    group_index: int
    exempt_index: int
    original: ParamGroup
    kept: list[Tensor]
    exempt_group: ParamGroup
    weight_decay: Any

    def undo(self) -> None:
        """Merge the two groups; if another handler has changed them, restore weight decay only."""
        groups, moved = self.optimizer.param_groups, self.exempt_group["params"]
        # a handler that has replaced the groups may restore `exempt_group` later
        for group in (self.exempt_group, *groups):
            if group["params"] and _ids(group["params"]) <= _ids(moved):
                group["weight_decay"] = self.weight_decay
        if self._has(self.group_index, self.kept) and self._has(self.exempt_index, moved):
            groups[self.group_index].update(self.original)
            groups[self.exempt_index].update({name: [] for name in self.original})

    def drop_empty(self) -> None:
        if self._has(self.exempt_index, []):
            del self.optimizer.param_groups[self.exempt_index]

    def _has(self, index: int, parameters: list[Tensor]) -> bool:
        """Whether the group at `index` exists, and has exactly these parameters."""
        groups = self.optimizer.param_groups[index : index + 1]
        return bool(groups) and _ids(groups[0]["params"]) == _ids(parameters)


def _split_group(optimizer: Optimizer, index: int, is_exempt: list[bool]) -> _Split:
    """Move the exempt parameters of the group at `index` to a new group at the end."""
    group = optimizer.param_groups[index]
    original: ParamGroup = {n: group[n] for n in ("params", "param_names") if n in group}
    stays = [not exempt for exempt in is_exempt]
    kept: ParamGroup = {n: list(compress(xs, stays)) for n, xs in original.items()}
    moved: ParamGroup = {n: list(compress(xs, is_exempt)) for n, xs in original.items()}
    exempt_index, weight_decay = len(optimizer.param_groups), group["weight_decay"]
    options = {name: copy_option(value) for name, value in group.items()}
    group.update(kept)
    optimizer.add_param_group({**options, **moved, "weight_decay": 0.0})
    added = optimizer.param_groups[exempt_index]
    return _Split(optimizer, index, exempt_index, original, kept["params"], added, weight_decay)


def _ids(parameters: list[Tensor]) -> set[int]:
    return {id(parameter) for parameter in parameters}


def _check_weight_decay(optimizer: Optimizer) -> None:
    if not all("weight_decay" in group for group in optimizer.param_groups):
        raise AttachError(
            f"WeightDecayGroups: {type(optimizer).__name__} has no option weight_decay, so no "
            "parameter can be exempt from it"
        )


def _exempt_parameters(model: nn.Module) -> list[Tensor]:
    return [
        parameter
        for module in model.modules()
        for name, parameter in module.named_parameters(recurse=False)
        if parameter.ndim < 2 or name.endswith("bias") or isinstance(module, _NORMS)
    ]

"""The models, losses and optimizers that a trainer is given: one of each, or several by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from ..events import TrainState
from ..events.utils.argument_checks import check_no_class
from .loop.diagnostics import check_model
from .statechart.chart_error import ChartError
from .statechart.composition import Chart
from .statechart.phase_paths import Row


@dataclass(frozen=True)
class RunParts:
    """What is trained: one model, loss and optimizer, or several by name."""

    model: nn.Module
    loss_fn: Callable[..., Any] | None
    optimizer: Optimizer | None
    models: dict[str, nn.Module]
    loss_fns: dict[str, Callable[..., Any]]
    optimizers: dict[str, Optimizer]

    @classmethod
    def checked(
        cls,
        model: nn.Module | None,
        loss_fn: Callable[..., Any] | None,
        optimizer: Optimizer | None,
        models: Mapping[str, nn.Module],
        loss_fns: Mapping[str, Callable[..., Any]],
        optimizers: Mapping[str, Optimizer],
        chart: Sequence[Row],
        has_activities: bool,
    ) -> RunParts:
        """The parts, if they go together.

        Raises:
            TypeError: neither a model nor models, or both; a model is not a module; a class in
                place of an instance; a name is no str.
            ValueError: a name that torch does not allow for a module.
            ChartError: a scope of the chart trains a name that there is no optimizer for; an
                update names none of several; or nothing chooses among several, neither a scope
                nor an activity of the author.
        """
        for what, one, several in (
            ("model", model, models),
            ("optimizer", optimizer, optimizers),
            ("loss_fn", loss_fn, loss_fns),
        ):
            if one is not None and several:
                raise TypeError(f"Trainer({what}=…, {what}s=…): pass one of the two")
            _check_instances(what, one, several)
            for name in several:
                _check_part_name(what, name)
        for each in models.values() if models else (model,):
            check_model(each)
        _check_owners(chart, optimizers, {"model": models, "loss": loss_fns})
        if len(optimizers) > 1 and not has_activities:
            _check_chosen(chart, optimizers)
        first = model if model is not None else next(iter(models.values()))
        return cls(
            first,
            loss_fn or next(iter(loss_fns.values()), None),
            optimizer or next(iter(optimizers.values()), None),
            dict(models),
            dict(loss_fns),
            dict(optimizers),
        )

    def new_state(self, kind: type[TrainState], device: torch.device | str | None) -> TrainState:
        """A state of `kind`; models and loss modules are moved to `device`, if any.

        Raises:
            TypeError: `kind` is not a dataclass derived from TrainState, or a field of its own has
                no default.
        """
        if not (isinstance(kind, type) and issubclass(kind, TrainState) and is_dataclass(kind)):
            raise TypeError(
                f"Trainer(state={kind!r}): allowed: a dataclass derived from TrainState"
            )
        target = None if device is None else torch.device(device)
        if target is not None:
            losses = self.loss_fns.values() or (self.loss_fn,)
            for part in (*(self.models.values() or (self.model,)), *losses):
                if isinstance(part, nn.Module) and not _has_no_values(part):
                    part.to(target)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return kind(**values, device=target)


def _has_no_values(module: nn.Module) -> bool:
    """Whether it is on the meta device, and gets values where they are needed."""
    return any(parameter.is_meta for parameter in module.parameters())


def _check_instances(what: str, one: Any, several: Mapping[str, Any]) -> None:
    check_no_class(f"Trainer({what}=…)", one)
    for name, each in several.items():
        check_no_class(f"Trainer({what}s={{{name!r}: …}})", each)


def _check_part_name(what: str, name: Any) -> None:
    """Refuse what cannot be a name; models are parts of one module, by which they are saved."""
    tried = f"Trainer({what}s={{{name!r}: …}})"
    if not isinstance(name, str):
        raise TypeError(f"{tried}: the name is a {type(name).__name__}; allowed: a str")
    if not name:
        raise ValueError(f"{tried}: allowed: a name that is not empty")
    if what == "model" and ("." in name or hasattr(nn.ModuleDict(), name)):
        raise ValueError(
            f"{tried}: allowed: a name without dots that is no attribute of torch.nn.ModuleDict"
        )


def checked_function(name: str, function: Any) -> Any:
    """An optional argument of the Trainer that takes a function of the batch.

    Raises:
        TypeError: it is something else.
    """
    check_no_class(f"Trainer({name}=…)", function)
    if function is not None and not callable(function):
        raise TypeError(
            f"Trainer({name}={function!r}): found a {type(function).__name__}; allowed: a function "
            "of the batch"
        )
    return function


def _check_owners(
    chart: Sequence[Row],
    optimizers: Mapping[str, Optimizer],
    others: Mapping[str, Mapping[str, Any]],
) -> None:
    owners = chart.of if isinstance(chart, Chart) else {}
    roles = chart.roles if isinstance(chart, Chart) else {}
    for scope, name in owners.items():
        if name not in optimizers:
            raise ChartError(
                f"the scope {scope} trains {name!r}, and there is no such optimizer; "
                f"optimizers are {', '.join(optimizers) or 'not named: Trainer(optimizers={…})'}"
            )
        for kind, parts in others.items():
            if len(parts) > 1 and name not in parts:
                raise ChartError(
                    f"the scope {scope} trains {name!r}, and there is no such {kind}; "
                    f"there are {', '.join(parts)}"
                )
    for scope, role in roles.items():
        if role == "update" and len(optimizers) > 1 and scope not in owners:
            raise ChartError(
                f"the update {scope} names none of the optimizers {', '.join(optimizers)}; "
                f'say which: update({scope!r}, of="{next(iter(optimizers))}")'
            )


def _check_chosen(chart: Sequence[Row], optimizers: Mapping[str, Optimizer]) -> None:
    """Refuse several optimizers of which the trainer's own activities would step the first only."""
    if not (isinstance(chart, Chart) and chart.of):
        raise ChartError(
            f"no scope of the chart trains one of the optimizers {', '.join(optimizers)}: only the "
            f'first would be stepped; say which, as in SUPERVISED.replace("train.batch", '
            f'update("first", of="{next(iter(optimizers))}"), …), or give activities that choose '
            "by state.select(…)"
        )

"""A pass over the training data in which the model only runs forward, and no signal is sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import TypeAlias

import torch

from ...events import Cancel, CancelBatchException, TrainState
from ...events.reported_metrics import Reports
from ..batches.batch import open_pass, set_batch, warn_if_empty
from ..named_parts import run_modules
from ..statechart.compiled_table import Activity, LeafPhase
from ..statechart.phase_paths import enclosing, scope_name
from ..statechart.topology import Topology
from .activities import begin_pass
from .activities import forward as model_forward

AroundBatch: TypeAlias = Callable[[TrainState], AbstractContextManager[None]]


def training_forward(
    topology: Topology, table: Mapping[str, LeafPhase], of: str | None
) -> Activity:
    """The activity `forward` of the training in its wraps, as it is in the compiled table.

    Args:
        of: name of a model, of a trainer with several: the one of an update that trains it.

    Returns:
        Where the chart has none: the activity that calls the current model.
    """
    chart = topology.chart
    evaluations = {name for name, role in chart.roles.items() if role == "evaluation"}
    for phase, leaf in table.items():
        scopes = [scope_name(path) for path in enclosing(phase)]
        owner = next((chart.of[name] for name in scopes if name in chart.of), None)
        is_training = chart.scope("unit") in scopes and evaluations.isdisjoint(scopes)
        is_own = of is None or owner is None or owner == of
        if is_training and is_own and phase.endswith(".forward") and leaf.activity is not None:
            return leaf.activity
    return model_forward


def forward_training_data(
    state: TrainState, forward: Activity, around_batch: AroundBatch, of: str | None
) -> int:
    """Run `forward` on the training data, in train mode and without gradients.

    Everything that the pass changes in the state is restored afterwards.

    Args:
        around_batch: the context of each batch. A cancel of the batch leaves it out, any other
            cancel ends the pass.
        of: name of the model that is current, of a trainer with several.

    Returns:
        The number of examples.
    """
    before = {field.name: getattr(state, field.name) for field in fields(state)}
    modules = [part for root in run_modules(state).values() for part in root.modules()]
    modes = [(module, module.training) for module in modules]
    try:
        state.reports = Reports()  # what is reported here belongs to no epoch
        state.clear_metrics()
        state.select(of or "")
        begin_pass(state, training=True)
        with torch.no_grad():
            return _forward_all(state, forward, around_batch)
    finally:
        for module, mode in modes:
            module.training = mode
        for name, value in before.items():
            setattr(state, name, value)


def _forward_all(state: TrainState, forward: Activity, around_batch: AroundBatch) -> int:
    samples, loader = 0, state.train_loader
    for batch in open_pass(state, () if loader is None else loader, state.batches_per_epoch):
        state.batch_index += 1
        set_batch(state, batch)
        try:
            with around_batch(state):
                forward(state)
        except CancelBatchException:
            continue
        except Cancel:
            break
        samples += state.batch_size
    warn_if_empty(state, "train_loader", loader)
    return samples

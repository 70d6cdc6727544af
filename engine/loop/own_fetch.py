"""Limits of the batches that an activity of the chart's author makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...events import TrainState
from ..statechart.compiled_table import Activity
from ..statechart.phase_paths import enclosing, scope_name
from ..statechart.topology import Topology
from .activity_registry import Wrapper, path_ends


def limited_fetches(topology: Topology, given: Iterable[str]) -> Iterator[tuple[str, Wrapper]]:
    """Wraps of the activities that begin a training batch of their own.

    In a fit without a train_loader they end where `batches_per_epoch`, or a handler such as
    StepLimit, ends a pass over a loader.

    Args:
        given: the names of the activities that the author of the chart gave.
    """
    own = {*given}
    chart = topology.chart
    begin = f"begin_{chart.scope('unit')}"
    for leaf, exits in topology.table.items():
        closing = f"after_{scope_name(leaf.rpartition('.')[0])}"
        evaluates = any(chart.roles.get(scope_name(p)) == "evaluation" for p in enclosing(leaf))
        if {begin, closing} <= {*exits} and not evaluates and own & {*path_ends(leaf)}:
            yield leaf, _limited(closing)


def _limited(closing: str) -> Wrapper:
    def wrapper(fetch: Activity) -> Activity:
        def fetch_within_limit(state: TrainState) -> str:
            if state.train_loader is not None:
                return fetch(state)
            if state.n_batches is None:
                state.n_batches = state.batches_per_epoch
            if state.n_batches is not None and state.batch_index + 1 >= state.n_batches:
                return closing
            return fetch(state)

        return fetch_within_limit

    return wrapper

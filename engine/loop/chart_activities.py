"""The activities that follow from a chart: of its updates, and of the phases between them."""

from __future__ import annotations

from ...events import TrainState
from ..statechart.compiled_table import Activity
from ..statechart.composition import Chart
from ..statechart.phase_paths import scope_name
from .activities import return_always, zero_grad


def chart_activities(chart: Chart) -> dict[str, Activity]:
    """Activities by name, for the scopes with the role of an update, and for `Chart.parts`.

    An update ends by the signal of its own scope; in a scope with parts each part runs once, in
    order. Activities of the same names that a trainer is given take their places.
    """
    activities: dict[str, Activity] = {}
    for name, role in chart.roles.items():
        if role == "update":
            activities[f"{name}.scored"] = return_always("begin_backward")
            activities[f"{name}.zero_grad"] = _zero_grad_and(f"after_{name}")
            activities[f"{name}.accumulated"] = return_always(f"after_{name}")
    for path, names in chart.parts.items():
        scope = scope_name(path)
        pauses = (f"{scope}.ready", *(f"{name}_done" for name in names))
        triggers = (*(f"begin_{name}" for name in names), f"after_{scope}")
        for pause, trigger in zip(pauses, triggers, strict=True):
            activities[pause] = return_always(trigger)
    return activities


def _zero_grad_and(trigger: str) -> Activity:
    def activity(state: TrainState) -> str:
        zero_grad(state)
        return trigger

    return activity

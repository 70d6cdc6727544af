"""The evaluation chart beside the chart of a fit."""

from __future__ import annotations

from .chart import EVALUATION
from .composition import Chart
from .phase_paths import scope_name


def evaluation_chart(chart: Chart) -> Chart:
    """EVALUATION with the names that `chart` has for an evaluation and for its unit.

    So a handler that subscribes to the signals of a fit gets those of `validate()`, too.
    """
    taken = {*map(scope_name, chart.scopes)}
    wanted = {"validate": chart.scope("evaluation"), "batch": chart.scope("unit")}
    return EVALUATION.renamed(
        {old: new for old, new in wanted.items() if new is not None and old not in taken}
    )

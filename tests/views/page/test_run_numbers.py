import json
import math

import pytest

from trackside.views.page.run_numbers import results_of
from trackside.views.recordings.run_results import MetricResult, RunResults


@pytest.mark.parametrize(
    ("last", "shown"),
    [(0.5, 0.5), (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")],
)
def test_a_last_value_that_json_has_not_is_a_text(last, shown):
    results = RunResults({"loss": MetricResult(last, 0.5, 0, "min")}, {})
    found = json.loads(json.dumps(results_of(results), allow_nan=False))
    assert found["metrics"]["loss"][0] == shown

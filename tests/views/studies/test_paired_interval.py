import math
import sys

import pytest

from trackside.views.output.usage_error import UsageError
from trackside.views.studies.paired_interval import (
    confidence_interval,
    require_scipy,
    spread,
)


def test_the_interval_is_the_one_of_the_table_of_student():
    # of 3 values: mean 2, standard deviation 1, t(0.975, 2) = 4.302653
    interval = confidence_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert interval == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-6)


def test_the_interval_of_five_values_at_another_level():
    # 2, 4, 4, 6, 9: mean 5, variance 28 / 4, t(0.95, 4) = 2.131847
    interval = confidence_interval([2.0, 4.0, 4.0, 6.0, 9.0], level=0.9)
    half = 2.131847 * math.sqrt(7.0 / 5)
    assert interval == pytest.approx((5.0, 5.0 - half, 5.0 + half), rel=1e-6)


def test_one_value_has_neither_spread_nor_interval():
    assert confidence_interval([3.0]) == (3.0, None, None)
    assert spread([3.0]) is None
    assert spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))


def test_without_scipy_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.stats", None)
    with pytest.raises(UsageError, match=r"pip install 'trackside\[study\]'"):
        require_scipy()

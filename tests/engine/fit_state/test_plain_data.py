"""What a state dict may contain."""

import numpy as np
import pytest

from trackside.engine.fit_state.plain_data import to_plain_data


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.array(2)])
def test_a_scalar_of_numpy_becomes_a_python_number(value):
    plain = to_plain_data({"x": [value]}, "notes")["x"][0]
    assert plain == value
    assert type(plain) in (bool, int, float)

"""What a state dict may contain."""

import numpy as np
import pytest
import torch

from trackside.engine.fit_state.plain_data import to_plain_data


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.array(2)])
def test_a_scalar_of_numpy_becomes_a_python_number(value):
    plain = to_plain_data({"x": [value]}, "notes")["x"][0]
    assert plain == value
    assert type(plain) in (bool, int, float)


def test_a_tensor_is_saved_without_its_graph_and_without_attributes():
    weight, marked = torch.ones(2, requires_grad=True), torch.ones(2)
    marked.note = object()
    plain = to_plain_data({"w": weight, "marked": marked}, "notes")
    assert not plain["w"].requires_grad
    assert not hasattr(plain["marked"], "note")
    assert plain["w"].data_ptr() == weight.data_ptr()

"""Small tensors are kept as a few large ones, and come back as they were."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from states import same

from trackside.engine import CheckpointStore, read_checkpoint
from trackside.engine.checkpoint.small_tensors import put_back, without_small

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64]


@st.composite
def tensors(draw):
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    tensor = (torch.randn(shape) * 9).to(draw(st.sampled_from(DTYPES)))
    return tensor.transpose(0, -1) if shape and draw(st.booleans()) else tensor


LEAVES = st.one_of(tensors(), st.integers(), st.none(), st.just(torch.ones(30_000)))
STATES = st.dictionaries(
    st.one_of(st.text(max_size=2), st.integers(0, 3)),
    st.recursive(
        LEAVES,
        lambda parts: (
            st.lists(parts, max_size=3)
            | st.dictionaries(st.text(max_size=1), parts, max_size=3)
            | st.tuples(parts)
        ),
        max_leaves=9,
    ),
    max_size=4,
)


@given(STATES)
def test_any_state_comes_back_as_it_was(state):
    rest, small = without_small(state)
    put_back(rest, small)
    assert same(rest, state)


def test_they_come_back_without_a_common_storage_and_tied_ones_as_one():
    tied = torch.ones(3)
    rest, small = without_small({"a": {"b": tied, "c": tied}, "d": torch.zeros(2)})
    assert (rest, len(small)) == ({"a": {"b": None, "c": None}, "d": None}, 1)
    put_back(rest, small)
    assert rest["a"]["b"] is rest["a"]["c"]
    assert rest["d"].untyped_storage().nbytes() == 8


def test_what_is_large_and_what_would_be_too_much_stays_where_it_is():
    many = {f"{number}": torch.zeros(1 << 14) for number in range(200)}
    rest, [(elements, _, _)] = without_small({**many, "large": torch.zeros(1 << 15)})
    assert rest["large"] is not None
    assert 0 < elements.nbytes <= 1 << 23
    assert sum(value is None for value in rest.values()) == elements.numel() >> 14


def test_a_checkpoint_from_before_in_which_none_is_apart_is_read(tmp_path, monkeypatch):
    state = {"format": 99, "model": {"w": torch.ones(2)}, "more": {"a": torch.ones(3)}}
    monkeypatch.setattr(
        "trackside.engine.checkpoint.checkpoint_writer.without_small", lambda whole: (whole, [])
    )
    store = CheckpointStore(tmp_path)
    store.open()
    path = store.save(state, 1, {})
    store.close()
    assert same(read_checkpoint(path), state)


def test_they_replace_nothing_that_is_there():
    rest, small = without_small({"a": torch.ones(2)})
    with pytest.raises(ValueError, match="would replace something else"):
        put_back({**rest, "a": 1}, small)

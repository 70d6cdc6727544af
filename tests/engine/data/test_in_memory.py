"""Columns in memory are read at once, and equal what torch makes of their examples."""

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import StackDataset, Subset, TensorDataset, default_collate

from trackside.engine import KeyedLoader
from trackside.engine.data.in_memory import column_reader, with_columns

ROWS = 7
FLOATS, LABELS = torch.randn(ROWS, 2, 3), torch.arange(ROWS)
ARRAY = numpy.arange(ROWS * 4.0).reshape(ROWS, 4)
TORCH_TYPES = [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64, torch.complex64]
NUMPY_TYPES = [
    "bool",
    "int8",
    "uint16",
    "int32",
    "uint32",
    "int64",
    "float16",
    "float32",
    "float64",
    "complex128",
]


def columns():
    """Tensors and arrays of every shape, type and memory layout."""
    yield from (torch.arange(ROWS * 2).reshape(ROWS, 2).to(dtype) for dtype in TORCH_TYPES)
    yield from (numpy.arange(ROWS).astype(dtype) for dtype in NUMPY_TYPES)
    yield from (numpy.arange(ROWS * 2).reshape(ROWS, 2).astype(dtype) for dtype in NUMPY_TYPES)
    yield torch.randn(ROWS, 2, 3, 3).to(memory_format=torch.channels_last)
    yield torch.randn(3, ROWS).T
    yield torch.randn(3).expand(ROWS, 3)
    yield torch.randn(ROWS, 0)
    yield torch.randn(ROWS * 2, 2)[::2]
    yield numpy.asfortranarray(ARRAY)
    yield ARRAY[::-1]
    yield ARRAY[:, ::2]


datasets = st.one_of(
    st.sampled_from(list(columns())),
    st.lists(st.sampled_from([FLOATS, LABELS]), min_size=1, max_size=3).map(
        lambda tensors: TensorDataset(*tensors)
    ),
    st.lists(st.sampled_from(list(columns())), min_size=1, max_size=3).map(
        lambda found: StackDataset(*found)
    ),
    st.just(StackDataset(x=FLOATS, rest=TensorDataset(FLOATS, LABELS), y=Subset(ARRAY, range(7)))),
    st.just({"x": FLOATS, "y": ARRAY, "z": LABELS}).map(with_columns),
)


def subsets(dataset):
    rows = st.lists(st.integers(-len(dataset), len(dataset) - 1), min_size=1, max_size=9)
    kinds = st.sampled_from([list, tuple, torch.tensor, numpy.array])
    return st.builds(lambda kind, chosen: Subset(dataset, kind(chosen)), kinds, rows)


everything = st.one_of(
    datasets, datasets.flatmap(subsets), datasets.flatmap(subsets).flatmap(subsets)
)


def alike(one, other):
    """Whether two batches are equal in their structure, types, memory layout and elements."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return (one.dtype, one.stride()) == (other.dtype, other.stride()) and torch.equal(one, other)


@given(dataset=everything, size=st.integers(1, 5), shuffle=st.booleans())
def test_columns_are_read_as_torch_collates_their_examples(dataset, size, shuffle):
    by_example = KeyedLoader(dataset, size, shuffle, seed=3, collate_fn=list)
    at_once = KeyedLoader(dataset, size, shuffle, seed=3)
    assert column_reader(dataset, None) is not None
    assert alike(list(at_once), [default_collate(examples) for examples in by_example])


def test_memory_mapped_arrays_are_read_at_once(tmp_path):
    numpy.save(tmp_path / "x.npy", ARRAY)
    mapped = numpy.load(tmp_path / "x.npy", mmap_mode="r")
    assert column_reader(mapped, None)
    for shuffle in (False, True):
        loader, plain = (KeyedLoader(data, 3, shuffle) for data in (mapped, ARRAY))
        assert alike(list(loader), list(plain))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("column", [FLOATS, ARRAY], ids=["tensor", "array"])
def test_a_batch_that_is_changed_does_not_change_the_dataset(column, shuffle):
    before = torch.as_tensor(column).clone()
    for batch in KeyedLoader(column, 3, shuffle):
        batch.zero_()
    assert torch.equal(torch.as_tensor(column), before)


class Doubled(TensorDataset):
    def __getitem__(self, index):
        return [2 * column for column in super().__getitem__(index)]


class Tagged(torch.Tensor):
    pass


NOT_PLAIN = {
    "subclass": Doubled(FLOATS),
    "tensor subclass": LABELS.as_subclass(Tagged),
    "parameter": nn.Parameter(FLOATS),
    "history": FLOATS.clone().requires_grad_(),
    "conjugate": torch.randn(ROWS, 2, dtype=torch.complex64).conj(),
    "sparse": FLOATS.to_sparse(),
    "scalar": torch.tensor(1),
    "uint16": LABELS.to(torch.uint16),
    "strings": numpy.array(["a", "b"]),
    "byte order": ARRAY.astype(">f8"),
    "missing row": Subset(TensorDataset(LABELS), [99]),
    "other indices": Subset(TensorDataset(LABELS), {0: 1}),
    "float indices": Subset(TensorDataset(LABELS), [0.5]),
    "mixed stack": StackDataset(FLOATS, [*range(ROWS)]),
    "examples by number": {0: FLOATS, 1: FLOATS},
    "list": [FLOATS, FLOATS],
    "tuple": (FLOATS, FLOATS),
}


@pytest.mark.parametrize("data", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_not_plain_columns_is_read_by_example(data):
    assert column_reader(with_columns(data), None) is None


@pytest.mark.parametrize("value", [torch.tensor(1.0), numpy.array(1.0)])
def test_a_column_without_a_dimension_is_refused(value):
    with pytest.raises(ValueError, match="'y' is a single value; allowed: tensors and arrays with"):
        KeyedLoader({"x": torch.zeros(3), "y": value})


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"found lengths x 7, y 3; allowed: one length"):
        KeyedLoader({"x": FLOATS, "y": LABELS[:3]}, 2)


def test_a_dict_of_columns_is_counted_by_its_rows():
    loader = KeyedLoader({"x": FLOATS, "y": LABELS}, 3)
    assert (len(loader), loader.state_dict()["examples"]) == (3, ROWS)


@pytest.mark.parametrize("workers", [0, 1])
def test_columns_are_the_same_with_workers(workers):
    loader = KeyedLoader({"x": FLOATS, "y": ARRAY}, 3, True, num_workers=workers)
    assert alike(list(loader), list(KeyedLoader({"x": FLOATS, "y": ARRAY}, 3, True)))


def test_a_position_in_columns_resumes_at_its_batch():
    loader = KeyedLoader(TensorDataset(LABELS), 2, True, seed=4)
    whole = list(loader)
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "batch": 2})
    assert alike(list(loader), whole[2:])
    assert loader.position == (1, 0)


def test_columns_stay_on_their_device():
    loader = KeyedLoader(TensorDataset(FLOATS.to("meta")), 2, True)
    assert [x.device.type for (x,) in loader] == ["meta"] * 4


def test_examples_that_run_code_when_collated_are_read_with_seeded_generators():
    class Lazy(dict):
        def __getitem__(self, name):
            return torch.rand(())

    batches = [next(iter(KeyedLoader([Lazy(x=0)], 1))) for _ in range(2)]
    assert [*batches[0].values()] == [*batches[1].values()]


@pytest.mark.parametrize("indices", [[[0], [1, 2]], ["a"], [0.5], [[0, 1]], [ROWS], {0: 0}])
def test_a_subset_of_no_plain_rows_is_read_example_by_example(indices):
    assert column_reader(Subset(TensorDataset(FLOATS), indices), None) is None


def test_columns_of_which_one_is_not_known_are_read_example_by_example():
    strange = FLOATS.as_subclass(type("Own", (torch.Tensor,), {}))
    stack = StackDataset(x=FLOATS, y=strange)
    assert column_reader(stack, None) is None
    x = next(iter(KeyedLoader(stack, 3)))["x"]
    assert torch.equal(x, FLOATS[:3])


def test_examples_that_are_dicts_are_joined_as_torch_does():
    examples = [{"x": FLOATS[n], "y": (n, {"z": LABELS[n]})} for n in range(4)]
    for batch, start in zip(KeyedLoader(examples, 2), (0, 2), strict=True):
        expected = default_collate(examples[start : start + 2])
        assert torch.equal(batch["x"], expected["x"])
        assert torch.equal(batch["y"][0], expected["y"][0])
        assert torch.equal(batch["y"][1]["z"], expected["y"][1]["z"])

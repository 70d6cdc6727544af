import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from trackside.engine.checkpoint.safetensors_writer import (
    DTYPES,
    is_supported,
    read_weights,
    tied_names,
    write_weights,
)


def written(folder, tensors):
    path = folder / "model.safetensors"
    with path.open("wb") as file:
        write_weights(file, tensors)
    return path


def random_tensor(shape, dtype):
    return torch.randint(0, 2, shape).to(dtype)


@given(
    tensors=st.dictionaries(
        st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(
            lambda name: name != "__metadata__"
        ),
        st.builds(
            random_tensor,
            st.lists(st.integers(0, 3), max_size=4),
            st.sampled_from(sorted(DTYPES, key=str)),
        ),
        max_size=6,
    )
)
def test_the_safetensors_library_reads_the_file(tmp_path_factory, tensors):
    read = read_weights(written(tmp_path_factory.mktemp("weights"), tensors))
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert read[name].shape == tensor.shape
        assert torch.equal(read[name], tensor)


def test_strides_do_not_matter(tmp_path):
    tensors = {
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(4),
    }
    read = read_weights(written(tmp_path, tensors))
    assert all(torch.equal(read[name], tensors[name]) for name in tensors)


def test_other_tools_see_a_pytorch_file(tmp_path):
    with safe_open(written(tmp_path, {"w": torch.ones(2)}), "pt") as file:
        assert file.metadata() == {"format": "pt"}
        assert file.get_slice("w").get_shape() == [2]


@pytest.mark.parametrize(
    "value", [torch.eye(2).to_sparse(), torch.ones(2, dtype=torch.complex64), "extra state"]
)
def test_values_that_the_format_cannot_store_are_not_supported(value):
    assert not is_supported(value)


def test_tied_weights_are_stored_under_one_name():
    weight = torch.ones(3)
    tensors = {"a": weight, "b": torch.ones(3), "c": weight.view(3), "d": weight[:2]}
    assert tied_names(tensors) == {"c": "a"}
    assert tied_names({"a": torch.ones(0), "b": torch.ones(0)}) == {}

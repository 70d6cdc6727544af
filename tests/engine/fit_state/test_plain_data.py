"""What a state dict may contain."""

import enum
import types
from collections import OrderedDict, namedtuple

import numpy as np
import pytest
import torch

from trackside.engine.fit_state.plain_data import to_plain_data


@pytest.mark.parametrize("value", [np.float32(0.5), np.int64(3), np.bool_(True), np.array(2)])
def test_a_scalar_of_numpy_becomes_a_python_number(value):
    plain = to_plain_data({"x": [value]}, "notes")["x"][0]
    assert plain == value
    assert type(plain) in (bool, int, float)


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (OrderedDict(a=1), {"a": 1}),
        (Pair(1, 2.5), (1, 2.5)),
        (Pair(1, [2]), (1, [2])),
        ([1, "a", None], [1, "a", None]),
        ([[], ()], [[], ()]),
        ({1: 2, False: [3]}, {1: 2, False: [3]}),
    ],
)
def test_containers_are_saved_as_new_ones_of_python(value, plain):
    found = to_plain_data(value, "notes")
    assert (found, type(found)) == (plain, type(plain))
    assert found is not value


class Number(enum.IntEnum):
    TWO = 2


class Word(str, enum.Enum):  # noqa: UP042  # a StrEnum has another str()
    TWO = "two"


def test_numbers_and_texts_of_other_classes_are_saved_without_them():
    plain = to_plain_data({Word.TWO: Number.TWO, Number.TWO: [Word.TWO], np.str_("x"): 1}, "notes")
    assert plain == {"two": 2, 2: ["two"], "x": 1}
    assert [type(key) for key in plain] == [str, int, str]
    assert (type(plain["two"]), type(plain[2][0])) == (int, str)


def test_a_tensor_is_saved_without_its_graph_and_without_attributes():
    weight, marked = torch.ones(2, requires_grad=True), torch.ones(2)
    marked.note = object()
    plain = to_plain_data({"w": weight, "marked": marked}, "notes")
    assert not plain["w"].requires_grad
    assert not hasattr(plain["marked"], "note")
    assert plain["w"].data_ptr() == weight.data_ptr()


def test_a_key_that_is_no_str_or_int_is_refused_by_its_place():
    with pytest.raises(TypeError, match=r"notes\['a'\] has the key \(1, 2\), a tuple; allowed"):
        to_plain_data({"a": {(1, 2): 3}}, "notes")


@pytest.mark.parametrize("value", [object(), {1}, np.zeros(2)], ids=lambda v: type(v).__name__)
def test_what_is_no_data_is_refused_by_its_place(value):
    kind = type(value).__name__
    with pytest.raises(TypeError, match=rf"notes\['a'\] is a .*{kind}; allowed: tensors, str"):
        to_plain_data({"a": value}, "notes")


def test_a_tensor_subclass_and_one_without_values_are_refused():
    class Own(torch.Tensor):
        """A tensor subclass."""

    with pytest.raises(TypeError, match=r"notes\[0\] is a .*Own, a tensor subclass; allowed"):
        to_plain_data([torch.ones(2).as_subclass(Own)], "notes")
    with pytest.raises(TypeError, match="meta device, which has no values"):
        to_plain_data([torch.ones(2, device="meta")], "notes")


def test_a_mapping_becomes_a_dict_and_keys_may_be_ints():
    mapping = types.MappingProxyType({3: [1], True: types.MappingProxyType({})})
    plain = to_plain_data({"x": mapping}, "notes")["x"]
    assert plain == {3: [1], True: {}}
    assert [type(plain), type(plain[True])] == [dict, dict]

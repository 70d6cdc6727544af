from collections import OrderedDict, namedtuple

import torch

from trackside.events.utils.nested import leaves, map_nested

Output = namedtuple("Output", "logits extra")


class Fields(OrderedDict):
    """A mapping type, like the output of a language model."""


class Fixed(dict):
    """A mapping type that cannot be called with a dict."""

    def __init__(self):
        super().__init__(a=torch.ones(2))


def nested():
    return Output(torch.arange(4), {"list": [torch.arange(8).reshape(4, 2), "text"], "none": None})


def test_map_nested_changes_every_tensor_and_keeps_the_structure():
    mapped = map_nested(lambda tensor: tensor + 1, nested(), only=torch.Tensor)
    assert isinstance(mapped, Output)
    assert mapped.logits.tolist() == [1, 2, 3, 4]
    assert mapped.extra["list"][0].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert mapped.extra["list"][1:] == ["text"]
    assert mapped.extra["none"] is None


def test_map_nested_keeps_the_type_of_a_mapping_if_it_can():
    assert type(map_nested(torch.neg, Fields(a=torch.ones(2)))) is Fields
    assert type(map_nested(torch.neg, Fixed())) is dict


def test_leaves_yields_every_tensor():
    assert [tuple(tensor.shape) for tensor in leaves(nested(), torch.Tensor)] == [(4,), (4, 2)]
    assert list(leaves("text", torch.Tensor)) == []


def test_map_nested_maps_several_values_of_the_same_structure():
    one, other = {"a": [1, 2], "b": (3,)}, {"a": [10, 20], "b": (30,)}
    assert map_nested(lambda x, y: x + y, one, other) == {"a": [11, 22], "b": (33,)}


def test_map_nested_keeps_leaves_of_other_types():
    assert map_nested(str, [1, "a", [2.0, None]], only=int) == ["1", "a", [2.0, None]]

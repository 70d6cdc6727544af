import weakref

import pytest
import torch
from states import same, state_of_training

from trackside.engine.checkpoint.tensor_snapshot import TensorCopies, snapshot_tensors


def test_training_does_not_change_a_copy():
    state = state_of_training()
    before, copy = TensorCopies().copied(state), TensorCopies().copied(state)
    for tensor in state["model"].values():
        tensor.add_(1)
    assert same(copy, before)
    assert not same(copy, snapshot_tensors(state))


def test_other_values_are_unchanged():
    state = state_of_training()
    assert same(snapshot_tensors(state), state)


def test_without_copy_the_memory_is_shared():
    weight = torch.ones(3)
    assert snapshot_tensors({"w": weight})["w"].data_ptr() == weight.data_ptr()


def test_a_view_of_a_large_tensor_keeps_only_its_own_elements():
    assert snapshot_tensors({"w": torch.zeros(1000)[:3]})["w"].untyped_storage().nbytes() == 12


def test_two_views_of_the_same_elements_become_one_tensor():
    weight = torch.ones(4)
    copy = TensorCopies().copied(
        {"a": weight.view(4), "b": [weight.view(4)], "c": weight.view(2, 2)}
    )
    assert copy["a"] is copy["b"][0]
    assert copy["c"].shape == (2, 2)


def test_sparse_and_empty_tensors_are_copied():
    sparse = torch.eye(3).to_sparse()
    copy = TensorCopies().copied(
        {"sparse": sparse, "empty": torch.ones(0, 2), "also": torch.ones(0)}
    )
    assert torch.equal(copy["sparse"].to_dense(), torch.eye(3))
    assert copy["empty"].shape == (0, 2)


WIDE = 200  # a tensor of so many rows and columns is large enough that its memory is kept


def test_a_later_copy_is_made_in_the_memory_of_the_one_before():
    weights, copies = (
        [torch.rand(WIDE, WIDE), torch.rand(WIDE, WIDE), torch.rand(3)],
        TensorCopies(),
    )
    first = copies.copied({"w": weights})["w"]
    memory = {tensor.data_ptr() for tensor in first[:2]}
    for weight in weights:
        weight.add_(1)
    later = copies.copied({"w": weights})["w"]
    assert {tensor.data_ptr() for tensor in later[:2]} == memory
    assert same(later, weights)


@pytest.mark.parametrize("change", [
    lambda weight: weight.double(), lambda weight: weight[:180], lambda weight: weight.t(),
    lambda weight: weight[:1].expand(WIDE, WIDE), lambda weight: weight.new_empty(0),
    lambda weight: [weight, weight + 1], lambda weight: weight.requires_grad_(),
])  # fmt: skip
def test_a_copy_after_one_of_other_tensors_is_equal(change):
    weight, copies = torch.rand(WIDE, WIDE), TensorCopies()
    for value in (weight, change(weight + 1), weight + 2, change(weight + 3)):
        assert same(copies.copied({"w": value}), {"w": value})


def test_a_tensor_more_lets_the_others_keep_their_memory():
    first, second, copies = torch.rand(WIDE, WIDE), torch.rand(WIDE, WIDE + 1), TensorCopies()
    kept = copies.copied({"w": [first, second]})["w"]
    memory = [tensor.data_ptr() for tensor in kept]
    other = torch.rand(WIDE + 2, WIDE)
    later = copies.copied({"w": [other, first, second, other + 1]})["w"]
    assert [tensor.data_ptr() for tensor in later[1:3]] == memory
    assert same(later, [other, first, second, other + 1])


def test_the_memory_of_a_tensor_that_is_no_longer_there_is_given_back():
    copies = TensorCopies()
    one = copies.copied({"w": torch.rand(WIDE, WIDE)})["w"]
    gone = weakref.ref(one)
    copies.copied({"w": torch.rand(WIDE, WIDE + 1)})
    del one
    assert gone() is None

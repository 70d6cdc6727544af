import torch
from states import same, state_of_training

from trackside.engine.checkpoint.tensor_snapshot import snapshot_tensors


def test_training_does_not_change_a_copy():
    state = state_of_training()
    before, copy = snapshot_tensors(state, copy=True), snapshot_tensors(state, copy=True)
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
    copy = snapshot_tensors(
        {"a": weight.view(4), "b": [weight.view(4)], "c": weight.view(2, 2)}, copy=True
    )
    assert copy["a"] is copy["b"][0]
    assert copy["c"].shape == (2, 2)


def test_sparse_and_empty_tensors_are_copied():
    sparse = torch.eye(3).to_sparse()
    copy = snapshot_tensors(
        {"sparse": sparse, "empty": torch.ones(0, 2), "also": torch.ones(0)}, copy=True
    )
    assert torch.equal(copy["sparse"].to_dense(), torch.eye(3))
    assert copy["empty"].shape == (0, 2)

import torch
from states import same, state_of_training

from trackside.engine.checkpoint.tensor_snapshot import snapshot


def test_a_copy_is_not_changed_by_training():
    state = state_of_training()
    before, copy = snapshot(state, copy=True), snapshot(state, copy=True)
    for tensor in state["model"].values():
        tensor.add_(1)
    assert same(copy, before)
    assert not same(copy, snapshot(state))


def test_everything_else_is_as_it_was():
    state = state_of_training()
    assert same(snapshot(state), state)


def test_without_a_copy_the_memory_is_the_same():
    weight = torch.ones(3)
    assert snapshot({"w": weight})["w"].data_ptr() == weight.data_ptr()


def test_of_a_part_of_a_large_tensor_only_the_part_is_kept():
    assert snapshot({"w": torch.zeros(1000)[:3]})["w"].untyped_storage().nbytes() == 12


def test_two_views_of_the_same_elements_stay_one():
    weight = torch.ones(4)
    copy = snapshot({"a": weight.view(4), "b": [weight.view(4)], "c": weight.view(2, 2)}, copy=True)
    assert copy["a"] is copy["b"][0]
    assert copy["c"].shape == (2, 2)


def test_sparse_and_empty_tensors_pass():
    sparse = torch.eye(3).to_sparse()
    copy = snapshot({"sparse": sparse, "empty": torch.ones(0, 2), "also": torch.ones(0)}, copy=True)
    assert torch.equal(copy["sparse"].to_dense(), torch.eye(3))
    assert copy["empty"].shape == (0, 2)

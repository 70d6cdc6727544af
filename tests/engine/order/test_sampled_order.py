import torch

from trackside.engine.order.sampled_order import Chosen


def test_a_fingerprint_is_that_of_the_batches_whenever_it_is_asked_for():
    chosen = Chosen(torch.tensor([3, 1, 2]), [0, 2, 3])
    first = chosen.fingerprint()
    assert first == chosen.fingerprint() == Chosen(torch.tensor([3, 1, 2]), [0, 2, 3]).fingerprint()
    assert first != Chosen(torch.tensor([3, 2, 1]), [0, 2, 3]).fingerprint()
    assert first != Chosen(torch.tensor([3, 1, 2]), [0, 1, 3]).fingerprint()

import torch

from trackside.engine.order.similar_lengths import SimilarLengths


def test_of_equal_lengths_the_drawn_order_is_kept():
    lengths = torch.arange(2000) % 2
    order = torch.randperm(2000, generator=torch.Generator().manual_seed(0))
    found = SimilarLengths(lengths, 4)._sorted(order)
    for length in (0, 1):
        assert torch.equal(found[lengths[found] == length], order[lengths[order] == length])

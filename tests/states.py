"""States as a trainer would give them, small, for the tests of the store."""

import torch
from helpers import model
from torch import nn


def state_of_training(step=3, seed=0):
    """A model with buffers and tied weights, an optimizer that has stepped, all sorts of values."""
    net = nn.Sequential(model(), nn.BatchNorm1d(3), nn.Linear(3, 3), nn.Linear(3, 3))
    net[3].weight = net[2].weight
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    for parameter in net.parameters():
        parameter.grad = torch.full_like(parameter, 0.5)
    optimizer.step()
    return {
        "model": dict(net.state_dict()),
        "optimizer": optimizer.state_dict(),
        "handlers": {"EMA": {"shadow": [torch.arange(6.0).reshape(2, 3)], "decay": 0.5}},
        "step": step,
        "random": [(3, (1, 2, 2**127), None), b"\x00\xff", float("inf"), True],
    }


def same(one, other):
    """Whether two states are equal, to the bit and to the type of each value."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        pairs = zip(one, other, strict=True)
        return type(one) is type(other) and all(same(a, b) for a, b in pairs)
    return type(one) is type(other) and one == other

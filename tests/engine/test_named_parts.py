"""The names of the modules and parameters of a run."""

import torch
from helpers import state_of
from torch import nn

from trackside.engine.named_parts import module_parameters, named_modules


class Scaled(nn.Module):
    """A loss with a weight of its own, and one of the model."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.scale = layer, nn.Parameter(torch.ones(1))


def test_parameters_have_the_names_of_torch_once_in_each_root():
    tied = nn.Linear(2, 2)
    head = nn.Linear(2, 2)
    head.weight = tied.weight
    net = nn.Sequential(
        tied, nn.ModuleDict({"again": tied, "norm": nn.BatchNorm1d(2), "head": head})
    )
    net.register_parameter("missing", None)
    loss = Scaled(tied)
    found = module_parameters(named_modules(state_of(model=net, loss_fn=loss)))
    expected = {
        **dict(net.named_parameters()),
        **{f"loss_fn.{name}": parameter for name, parameter in loss.named_parameters()},
    }
    assert list(found) == list(expected)
    assert all(found[name] is expected[name] for name in expected)
    assert len(found) == 5 + 3

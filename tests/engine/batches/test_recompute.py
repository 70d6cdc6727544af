import copy

import pytest
import torch
from torch import nn

from trackside.engine.batches.recompute import recompute_in_backward


class Net(nn.Module):
    """Counts its calls; draws random numbers, and has running statistics."""

    def __init__(self):
        super().__init__()
        self.calls = 0
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Tanh())

    def forward(self, inputs):
        self.calls += 1
        return self.layers(inputs)


class Failing(nn.Module):
    def forward(self, inputs):
        raise ValueError("an error of the model")


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return Net()


def trained(net, function):
    """The output and the gradients for one batch."""
    torch.manual_seed(1)
    output = function(torch.arange(12.0).reshape(4, 3).requires_grad_())
    output.sum().backward()
    return [output, *(parameter.grad for parameter in net.parameters())]


def test_backward_calls_the_module_again_and_changes_neither_gradients_nor_statistics(plain):
    net = copy.deepcopy(plain)
    expected, found = trained(plain, plain), trained(net, recompute_in_backward(net, net))
    assert (plain.calls, net.calls) == (1, 2)
    assert all(map(torch.equal, found, expected))
    assert all(map(torch.equal, net.buffers(), plain.buffers()))


def test_without_gradients_there_is_one_call(plain):
    with torch.no_grad():
        recompute_in_backward(plain, plain)(torch.ones(2, 3))
    assert plain.calls == 1


def test_an_error_of_the_second_call_leaves_the_statistics_of_the_first(plain):
    output = recompute_in_backward(plain, plain)(torch.ones(2, 3).requires_grad_())
    after_first = [buffer.clone() for buffer in plain.buffers()]
    plain.layers[2] = Failing()
    with pytest.raises(ValueError, match="an error of the model"):
        output.sum().backward()
    assert all(map(torch.equal, plain.buffers(), after_first))


def test_an_error_of_the_first_call_is_raised_as_it_is(plain):
    plain.layers[0] = Failing()
    with pytest.raises(ValueError, match="an error of the model"):
        recompute_in_backward(plain, plain)(torch.ones(2, 3))


def test_an_error_that_somebody_keeps_lets_others_go_backward(plain):
    # torch before 2.13 would fail otherwise: `make test-oldest`
    failing = copy.deepcopy(plain)
    failing.layers[0] = Failing()
    with pytest.raises(ValueError, match="an error of the model") as kept:
        recompute_in_backward(failing, failing)(torch.ones(2, 3))
    plain(torch.ones(2, 3)).sum().backward()
    assert kept.tb is not None
    assert plain.layers[0].weight.grad is not None

"""Models and loops by hand that the tests of several handlers share."""

import functools

import torch
from helpers import Trace, batches, cancelled_fit, model, weights
from torch import nn


def normed():
    """A model with a batch-norm layer."""
    first, tanh, last = model()
    return nn.Sequential(first, nn.BatchNorm1d(8), tanh, last)


def by_hand(net, data=None, epochs=1, after_step=None, after_epoch=None):
    """The training loop that a user of torch writes."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net.train()
    for epoch in range(epochs):
        for x, y in data or batches():
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
            if after_step is not None:
                after_step()
            optimizer.zero_grad()
        if after_epoch is not None:
            after_epoch(epoch)
    return net


def values(net):
    """Copies of all parameters and buffers."""
    return [value.clone() for value in net.state_dict().values()]


@functools.cache
def undisturbed(signal, scope):
    """The weights after a fit in which `scope` was cancelled at `signal`, and nothing else was."""
    return weights(cancelled_fit(Trace(), signal, scope, early=True))

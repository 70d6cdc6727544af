"""What the tests of schedules share: rates that were used, options, optimizers, loops by hand."""

import copy

import torch
from helpers import batches, model, trainer_of
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode


def seen(trainer, option="lr", signal="begin_step", group=0):
    """Fills with the values that an option has at each send of a signal."""
    values = []
    trainer.on(signal)(lambda t, state: values.append(state.optimizer.param_groups[group][option]))
    return values


def options(optimizer):
    """Of all groups, without the parameters."""
    return [
        {name: copy.deepcopy(value) for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]


def sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)


def adamw(net):
    return torch.optim.AdamW(net.parameters(), lr=0.1)


def in_groups(net):
    return torch.optim.AdamW(
        [{"params": [p], "lr": 0.1 * n} for n, p in enumerate(net.parameters(), 1)], lr=0.1
    )


def with_tensor(net):
    return torch.optim.Adam(net.parameters(), lr=torch.tensor(0.1))


OPTIMIZERS = (sgd, adamw, in_groups, with_tensor)


def fitted(*handlers, optimizer=sgd, count=5, epochs=4, valid=None, **limits):
    """(trainer, rates) after a fit."""
    net = model()
    trainer = trainer_of(*handlers, net=net, optimizer=optimizer(net))
    rates = seen(trainer)
    trainer.fit(batches(count), valid, epochs=epochs, **limits)
    return trainer, rates


def by_hand(make, optimizer=sgd, count=5, epochs=4):
    """(weights, rates) of the loop that a user of torch writes, with the scheduler that `make`s."""
    net = model()
    made = optimizer(net)
    scheduler, rates = make(made), []
    for _ in range(epochs):
        for x, y in batches(count):
            nn.functional.cross_entropy(net(x), y).backward()
            rates.append(copy.deepcopy(made.param_groups[0]["lr"]))
            made.step()
            scheduler.step()
            made.zero_grad()
    return list(net.parameters()), rates


class Reads(TorchDispatchMode):
    """Counts the values that are read from tensors."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


class Rateless(torch.optim.Optimizer):
    """An optimizer that has no learning rate."""

    def __init__(self, net):
        super().__init__(net.parameters(), {"size": 0.1})

    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.sub_(parameter.grad.sign(), alpha=group["size"])

"""A job with a bad example in its data, and a run of it that has saved checkpoints."""

import torch
from helpers import model
from torch import nn

from trackside import Checkpoint, Job, KeyedLoader, StopOnNaN, Trainer

EXAMPLES, SIZE = 48, 4


def data(bad=None):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(EXAMPLES, 5, generator=generator)
    if bad is not None:
        x[bad, 2] = torch.nan
    return [(row, torch.tensor(n % 3)) for n, row in enumerate(x)]


def job(*handlers, bad=None, epochs=3, seed=7):
    net = model()
    net.append(nn.Dropout(0.3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, handlers)
    return Job(trainer, KeyedLoader(data(bad), SIZE, shuffle=True, seed=seed), epochs=epochs)


class Batches:
    """Keeps every training batch: its inputs, its loss, and the weights before it."""

    def __init__(self):
        self.inputs, self.losses, self.weights = [], [], []

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        """What it keeps is for the test, not for a resumed fit."""

    def begin_batch(self, trainer, state):
        self.inputs.append(state.xb.clone())
        self.weights.append([p.detach().clone() for p in state.model.parameters()])

    def after_loss(self, trainer, state):
        self.losses.append(state.loss.detach().clone())


def run(folder, bad=None, every=5, **options):
    """Run the job with checkpoints of every few steps; the batches that it has had."""
    torch.manual_seed(11)
    seen = Batches()
    options = {"keep_last": None, "on_failure": False, "on_cancel": False, **options}
    todo = job(seen, Checkpoint(folder, steps=every, **options), bad=bad)
    todo.trainer.fit(todo.train_loader, epochs=todo.epochs)
    return seen


def run_of_command(folder):
    return job(Checkpoint(folder, steps=5))


def stopping_on_nan():
    return job(StopOnNaN(), bad=17)

import pytest
import torch
from studied import Halves, Noise, Seen, job

from trackside import CancelTrainException
from trackside.views.studies.data_order import SameDataOrder


class StopsEarly:
    """Ends each training pass after two batches."""

    def after_batch(self, trainer, state):
        if state.training and state.batch_index == 1:
            raise CancelTrainException("enough")


class Augmented(list):
    """Draws for each example that is read."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + torch.rand(()), y


def inputs(*handlers, seed=0):
    seen = Seen()
    made = job(0.1, *handlers, seen)
    loader = torch.utils.data.DataLoader(Augmented(made.train_loader.dataset), 4, shuffle=True)
    made.trainer.attach(SameDataOrder(seed))
    made.trainer.fit(loader, loader, epochs=3, seed=seed)
    return [seen.inputs[start : start + 6] for start in range(0, len(seen.inputs), 6)]


@pytest.mark.parametrize("handlers", [[Noise()], [Halves()], [Noise(), Halves()]])
def test_a_handler_that_draws_random_numbers_does_not_change_the_order(handlers):
    assert inputs(*handlers) == inputs(Halves())


def test_the_order_differs_by_epoch_and_by_seed():
    first, second, third = inputs(Halves())
    assert first != second != third != first
    assert inputs(Halves(), seed=1)[0] != first


def test_a_pass_that_ends_early_does_not_change_the_order_of_the_next():
    seen = [batch for epoch in inputs(StopsEarly()) for batch in epoch]
    assert seen == [batch for epoch in inputs(Halves()) for batch in epoch[:2]]

import pytest
import sam
import torch
from helpers import equal, weights
from torch.nn.utils import get_total_norm

from trackside import CancelBatchException
from trackside.views.verify.verify_resume import verify_resume


def test_it_equals_the_plain_loop_bit_for_bit():
    ours, theirs = sam.job(), sam.job()
    torch.manual_seed(1)
    ours.trainer.fit(ours.train_loader, epochs=2)
    torch.manual_seed(1)
    state = theirs.trainer.state
    model, loss_fn, optimizer = state.model, state.loss_fn, state.optimizer
    model.train()
    for _ in range(2):
        for x, y in theirs.train_loader:
            loss_fn(model(x), y).backward()
            with torch.no_grad():
                start = [p.clone() for p in model.parameters()]
                scale = sam.RADIUS / get_total_norm([p.grad for p in model.parameters()])
                for p in model.parameters():
                    p.add_(scale * p.grad)
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            with torch.no_grad():
                for p, before in zip(model.parameters(), start, strict=True):
                    p.copy_(before)
            optimizer.step()
            optimizer.zero_grad()
    assert equal(weights(ours.trainer), weights(theirs.trainer))
    assert ours.trainer.state.step == 2 * len(ours.train_loader)


@pytest.mark.parametrize("signal", ["begin_descend", "after_pred", "begin_backward", "begin_step"])
def test_a_batch_cancelled_after_the_climb_leaves_the_weights_as_they_were(signal):
    todo = sam.job()
    before = weights(todo.trainer)

    @todo.trainer.on(signal, inside="descend")
    def cancel(trainer, state):
        raise CancelBatchException("not this one")

    todo.trainer.fit(todo.train_loader, batches_per_epoch=3)
    assert equal(before, weights(todo.trainer))


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(sam.job, epochs=1, batches=2)
    assert verification.differences == ()


def test_the_example_learns_the_digits():
    todo = sam.job()
    state = todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs)
    assert state.metrics["valid_loss"] < 0.2

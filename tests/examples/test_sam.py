import pytest
import sam
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch import nn
from torch.nn.utils import get_total_norm

from trackside import CancelBatchException
from trackside.views.verify.verify_resume import verify_resume


def plain(epochs):
    torch.manual_seed(0)
    (train, valid), model = sam.digits(), sam.network()
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1, 0.9)
    torch.manual_seed(1)
    for epoch in range(epochs):
        model.train()
        total = count = 0
        for x, y in train:
            loss_fn(model(x), y).backward()
            with torch.no_grad():
                start = [p.clone() for p in model.parameters()]
                scale = sam.RADIUS / get_total_norm([p.grad for p in model.parameters()])
                for p in model.parameters():
                    p.add_(scale * p.grad)
            optimizer.zero_grad()
            loss = loss_fn(model(x), y)
            loss.backward()
            with torch.no_grad():
                for p, before in zip(model.parameters(), start, strict=True):
                    p.copy_(before)
            optimizer.step()
            optimizer.zero_grad()
            total += loss.detach() * len(x)
            count += len(x)
        model.eval()
        with torch.no_grad():
            losses = [(loss_fn(model(x), y) * len(x), len(x)) for x, y in valid]
        print(epoch, total / count, sum(loss for loss, _ in losses) / sum(n for _, n in losses))
    return model


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = sam.job()
    torch.manual_seed(1)
    state = ours.trainer.fit(ours.train_loader, ours.valid_loader, epochs=2)
    assert equal(weights(ours.trainer), plain(epochs=2).parameters())
    assert state.step == 2 * len(ours.train_loader)


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    assert code_lines(sam, "digits", "network", "Batch") <= 1.5 * code_lines(plain)


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

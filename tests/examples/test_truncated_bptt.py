import torch
import truncated_bptt
from helpers import equal, weights
from torch import nn

from trackside.views.verify.verify_resume import verify_resume


def test_it_equals_the_plain_loop_bit_for_bit():
    ours, theirs = truncated_bptt.job(), truncated_bptt.job()
    ours.trainer.fit(ours.train_loader[:20], epochs=2)
    state = theirs.trainer.state
    model, loss_fn, optimizer = state.model, state.loss_fn, state.optimizer
    for _ in range(2):
        hidden = None
        for x, y in theirs.train_loader[:20]:
            pred, hidden = model(x, hidden)
            hidden = hidden.detach()
            loss_fn(pred, y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert torch.equal(ours.trainer.state.hidden, hidden)
    assert equal(weights(ours.trainer), weights(theirs.trainer))


def test_the_hidden_state_is_carried_to_the_next_batch_and_not_to_the_next_epoch():
    todo = truncated_bptt.job()
    before = []
    todo.trainer.on("begin_batch")(lambda trainer, state: before.append(state.hidden))
    state = todo.trainer.fit(todo.train_loader[:3], epochs=2)
    assert [hidden is None for hidden in before] == [True, False, False] * 2
    assert state.hidden.shape == (1, truncated_bptt.BATCH, 64)
    assert not state.hidden.requires_grad


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(truncated_bptt.job, epochs=2, batches=3)
    assert verification.differences == ()
    assert verification.warnings == ()


def test_the_targets_are_the_characters_that_follow():
    parts = truncated_bptt.batches("0123456789" * 64)
    for inputs, targets in parts:
        assert torch.equal((inputs - 47) % 10, (targets - 48) % 10)
    assert torch.equal(parts[1][0][:, 0], parts[0][1][:, -1])

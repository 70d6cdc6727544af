import torch
import truncated_bptt
from example_checks import code_lines
from helpers import equal, weights
from torch import nn

from trackside.views.verify.verify_resume import verify_resume


def plain(batches, epochs):
    torch.manual_seed(0)
    model = truncated_bptt.Network()
    loss_fn, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        model.train()
        hidden = None
        total = count = 0
        for x, y in batches:
            pred, hidden = model(x, hidden)
            hidden = hidden.detach()
            loss = loss_fn(pred, y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            total += loss.detach() * len(x)
            count += len(x)
        print(epoch, total / count)
    return model, hidden


def test_it_equals_the_plain_loop_bit_for_bit():
    ours = truncated_bptt.job()
    ours.trainer.fit(ours.train_loader[:20], epochs=2)
    model, hidden = plain(ours.train_loader[:20], epochs=2)
    assert torch.equal(ours.trainer.state.hidden, hidden)
    assert equal(weights(ours.trainer), model.parameters())


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    shared = ("batches", "BATCH", "LENGTH", "Batch")
    assert code_lines(truncated_bptt, *shared) <= 1.5 * code_lines(plain)


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

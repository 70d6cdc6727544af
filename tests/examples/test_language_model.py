import language_model
import pytest
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from trackside import History
from trackside.views.verify.verify_resume import verify_resume


def plain(steps, every):
    torch.manual_seed(0)
    stream, valid = language_model.texts()
    model = language_model.Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    warmup = round(0.05 * steps)
    rising = LinearLR(optimizer, 0.01, total_iters=warmup)
    falling = CosineAnnealingLR(optimizer, T_max=steps - warmup)
    schedule = SequentialLR(optimizer, [rising, falling], [warmup])
    batches, losses = iter(stream), []
    for step in range(1, steps + 1):
        model.train()
        for _ in range(language_model.ACCUMULATED):
            x, y = next(batches)
            with torch.autocast("cpu", torch.bfloat16):
                loss = language_model.loss_of(model(x), y)
            (loss / language_model.ACCUMULATED).backward()
        optimizer.step()
        optimizer.zero_grad()
        if step < steps:
            schedule.step()
        if step % every == 0:
            model.eval()
            total, count = 0.0, 0
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                for x, y in valid:
                    total += language_model.loss_of(model(x), y).item() * len(x)
                    count += len(x)
            losses.append(total / count)
            print(step, losses[-1])
    return model, losses


@pytest.fixture
def short(monkeypatch):
    """The example with few steps."""
    monkeypatch.setattr(language_model, "STEPS", 20)
    monkeypatch.setattr(language_model, "EVERY", 5)


def test_its_losses_equal_those_of_the_plain_loop_to_the_last_digit(short):
    ours, losses = language_model.job(), []
    ours.trainer.on("after_validate")(
        lambda trainer, state: losses.append(float(state.metrics["valid_loss"]))
    )
    ours.trainer.fit(ours.train_loader, ours.valid_loader)
    theirs, their_losses = plain(20, 5)
    assert losses == their_losses
    assert losses[-1] < losses[0]
    assert equal(weights(ours.trainer), theirs.parameters())


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    shared = ("texts", "Packed", "loss_of")
    assert code_lines(language_model, *shared) <= 1.5 * code_lines(plain)


def test_the_fit_ends_with_its_tokens_if_they_end_before_its_steps(short, monkeypatch):
    tokens = 5 * language_model.BATCH * language_model.LENGTH
    monkeypatch.setattr(language_model, "TOKENS", tokens)
    todo = language_model.job()
    state = todo.trainer.fit(todo.train_loader, todo.valid_loader)
    assert (state.tokens, state.step, state.outcome) == (tokens, 3, "completed")


def test_each_validation_is_a_row_of_the_history(short):
    todo = language_model.job()
    todo.trainer.fit(todo.train_loader, todo.valid_loader)
    (history,) = (h for h in todo.trainer.handlers if isinstance(h, History))
    assert [row["step"] for row in history.rows] == [5, 10, 15, 20]
    assert all(row["valid_loss"] > 0 and row["train_loss"] > 0 for row in history.rows)


def test_each_validation_is_reported(short):
    todo = language_model.job()
    steps = []
    todo.trainer.on("reported")(lambda trainer, state: steps.append(state.step))
    todo.trainer.fit(todo.train_loader, todo.valid_loader)
    assert list(dict.fromkeys(steps)) == [5, 10, 15, 20]


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(language_model.job, epochs=1, batches=4)
    assert verification.differences == ()
    assert verification.warnings == ()

import actor_critic
import pytest
import torch
from example_checks import code_lines
from helpers import equal, weights
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR

from trackside import CancelBatchException
from trackside.views.verify.verify_resume import verify_resume

FEW = 12
"""Rollouts, of which one warms up: with none torch 2.11 begins at a hundredth of the rate."""


def plain(rollouts):
    torch.manual_seed(0)
    model = actor_critic.ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    warmup = round(0.05 * rollouts)
    rising = LinearLR(optimizer, 0.01, total_iters=warmup)
    falling = CosineAnnealingLR(optimizer, T_max=rollouts - warmup)
    schedule = SequentialLR(optimizer, [rising, falling], [warmup])
    torch.manual_seed(1)
    total = count = 0
    for rollout in range(rollouts):
        batch = actor_critic.rollout(model)
        observed, _, alive = batch
        inputs, targets = observed[alive], actor_critic.targets(model, *batch)
        print(rollout, alive.sum() / actor_critic.GAMES)
        for _ in range(actor_critic.PASSES):
            loss = actor_critic.loss_of(model(inputs), targets)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        schedule.step()
        total += loss.detach() * len(inputs)
        count += len(inputs)
    print(total / count)
    return model


def returns_of(todo):
    values = []
    todo.trainer.on("reported")(
        lambda trainer, state: values.append(state.reported.get("mean_return"))
    )
    todo.trainer.fit()
    return [float(value) for value in values if value is not None]


@pytest.fixture
def short(monkeypatch):
    """The example with few rollouts."""
    monkeypatch.setattr(actor_critic, "ROLLOUTS", FEW)


def test_it_equals_the_plain_loop_bit_for_bit(short):
    ours = actor_critic.job()
    torch.manual_seed(1)
    ours.trainer.fit()
    assert equal(weights(ours.trainer), plain(FEW).parameters())


def test_the_return_grows_within_a_few_rollouts(short):
    returns = returns_of(actor_critic.job())
    assert len(returns) == FEW
    assert returns[-1] > 2 * returns[0]


@pytest.mark.long
def test_the_pole_is_balanced_to_the_end():
    returns = returns_of(actor_critic.job())
    assert sum(returns[-5:]) / 5 >= 475


def test_a_batch_is_trained_on_in_passes_and_can_be_cancelled_after_the_rollout(short):
    todo = actor_critic.job()

    @todo.trainer.on("played", when=lambda trainer, state: state.batch_index == 1)
    def cancel(trainer, state):
        raise CancelBatchException("not this one")

    assert todo.trainer.fit().step == (FEW - 1) * actor_critic.PASSES


def test_it_takes_at_most_half_more_lines_than_the_plain_loop():
    shared = ("GAMES", "rollout", "targets", "loss_of", "log_prob_of")
    assert code_lines(actor_critic, *shared) <= 1.5 * code_lines(plain)


def test_a_resumed_fit_equals_the_uninterrupted_one():
    verification = verify_resume(actor_critic.job, epochs=1, batches=3)
    assert verification.differences == ()
    assert verification.warnings == ()

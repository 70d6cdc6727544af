import logging

import pytest
import torch
from helpers import batches, state_of, trainer_of
from torch import nn

from trackside.engine import SUPERVISED
from trackside.events import AttachError, RecoveryError, RollbackException
from trackside.handlers.control.rollback_on_spike import RollbackOnSpike
from trackside.handlers.control.snapshots import Snapshots

CLASSES, WIDTH, BAD = 3, 10, (60, 61, 130)


def data(count=200, seed=0, bad=()):
    """Batches of a task that a linear teacher has; bad ones have huge inputs and random targets."""
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(WIDTH, CLASSES, generator=torch.Generator().manual_seed(99))
    made = []
    for number in range(count):
        x = torch.randn(32, WIDTH, generator=generator)
        y = (x @ teacher).argmax(1)
        if number in bad:
            made.append((x * 1e4, torch.randint(0, CLASSES, (32,), generator=generator)))
        else:
            made.append((x, y))
    return made


def accuracy_of(*handlers, seed=0, bad=()):
    """The accuracy after a fit, and its trainer."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = trainer_of(*handlers, net=net, optimizer=optimizer)
    trainer.fit(data(seed=seed, bad=bad))
    x, y = map(torch.cat, zip(*data(20, seed=77), strict=True))
    return (net(x).argmax(1) == y).float().mean().item(), trainer


def test_with_planted_bad_batches_the_accuracy_is_that_of_a_clean_run(caplog):
    clean = [accuracy_of(seed=seed)[0] for seed in range(4)]
    handlers = Snapshots(every=10), RollbackOnSpike(window=20)
    with caplog.at_level(logging.WARNING, logger="trackside"):
        kept, trainer = accuracy_of(*handlers, bad=BAD)
    harmed, _ = accuracy_of(bad=BAD)
    noise = max(clean) - min(clean)
    assert abs(kept - clean[0]) <= noise < clean[0] - harmed
    made = trainer.state.rollbacks
    assert all(any(one.leaves_out(0, number) for one in made) for number in BAD)
    assert all(f"in epoch 1, batch {number + 1}; back" in caplog.text for number in (60, 130))
    assert len(made) <= len(BAD)


def test_a_fit_without_bad_batches_is_left_alone():
    plain, _ = accuracy_of()
    kept, trainer = accuracy_of(Snapshots(every=10), RollbackOnSpike(window=20))
    assert (kept, trainer.state.rollbacks) == (plain, [])


def judged(losses, **options):
    """The reason for which the last of some losses is a spike, None for none."""
    handler = RollbackOnSpike(**{"window": 5, **options})
    for loss in losses[:-1]:
        handler.after_loss(None, state_of(loss=torch.tensor(float(loss)), training=True))
    try:
        handler.after_loss(None, state_of(loss=torch.tensor(float(losses[-1])), training=True))
    except RollbackException as cancel:
        return cancel.reason
    return None


@pytest.mark.parametrize(
    ("losses", "is_spike"),
    [
        ([1.0, 1.2, 0.8, 1.1, 0.9, 1.4], False),
        ([1.0, 1.2, 0.8, 1.1, 0.9, 9.0], True),
        ([1.0, 1.2, 0.8, 1.1, 0.9, -9.0], False),  # better than ever
        ([1.0, 1.2, 0.8, 1.1, 9.0], False),  # the window is not full
        ([1.0, 1.2, 99.0, 1.1, 0.9, 9.0], True),  # one far value does not widen the deviation
        ([1.0] * 6, False),
        ([1.0] * 5 + [1.001], False),
        ([1.0] * 5 + [1.1], True),
        ([float("nan")], True),
        ([float("inf")], True),
        ([-float("inf")], True),
    ],
)
def test_a_spike_is_far_above_the_median_in_deviations(losses, is_spike):
    assert (judged(losses) is not None) == is_spike


def test_the_reason_names_the_loss_and_the_limit():
    assert judged([1.0, 1.2, 0.8, 1.1, 0.9, 9.0]) == "the loss is 9, above 2.483"


def test_validation_losses_are_not_judged():
    handler = RollbackOnSpike(window=3)
    handler.after_loss(None, state_of(loss=torch.tensor(float("nan")), training=False))


def test_a_snapshot_to_which_the_fit_has_gone_back_is_not_used_again():
    losses = iter([1.0] * 5 + [9.0] + [1.0, 9.0] + [1.0] * 20)

    def loss_fn(pred, y):
        return pred.sum() * 0 + next(losses)

    handlers = Snapshots(every=2, keep=3), RollbackOnSpike(window=3, skip=1)
    state = trainer_of(*handlers, loss_fn=loss_fn).fit(batches(10))
    assert [(made.step, made.to_step) for made in state.rollbacks] == [(5, 4), (5, 2)]


def test_the_budget_is_that_of_the_fit_and_is_named():
    def loss_fn(pred, y):
        return pred.sum() * float("nan")

    trainer = trainer_of(Snapshots(every=2), RollbackOnSpike(budget=2), loss_fn=loss_fn)
    with pytest.raises(RecoveryError, match="budget=2 is used up"):
        trainer.fit(batches(8))


def test_without_snapshots_the_fit_does_not_begin():
    with pytest.raises(AttachError, match="attach Snapshots"):
        trainer_of(RollbackOnSpike()).fit(batches(2))


def test_a_chart_without_rollbacks_is_refused_when_attached():
    rows = [row for row in SUPERVISED if "restore" not in row[2] and "rollback" not in row[0]]
    with pytest.raises(AttachError, match="needs a chart with a row begin_rollback"):
        trainer_of(RollbackOnSpike(), chart=rows)


@pytest.mark.parametrize(
    "options", [{"threshold": 0}, {"window": 2}, {"budget": -1}, {"skip": 0}, {"threshold": -1.0}]
)
def test_a_wrong_argument_is_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"RollbackOnSpike\({name}="):
        RollbackOnSpike(**options)

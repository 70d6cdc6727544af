import copy

import pytest
import torch
from helpers import batches, model, trainer_of
from torch import nn

from trackside.engine import Trainer, read_checkpoint, validated_weights
from trackside.handlers import EMA, SWA, Checkpoint
from trackside.handlers._stateful import Stateful


class Judge(Stateful):
    """Reports the metric of the plan, and keeps a copy of the weights that were validated."""

    runs_after = ("EMA",)

    def __init__(self, *plan):
        self.plan, self.seen = plan, []

    def begin_validate(self, trainer, state):
        self.seen.append(copy.deepcopy(state.model.state_dict()))

    def after_validate(self, trainer, state):
        state.report(score=self.plan[state.epoch])


def fitted(folder, *handlers, plan=(3.0, 1.0, 2.0), net=None, **options):
    judge = Judge(*plan)
    saver = Checkpoint(folder, metric="score", **options)
    trainer = trainer_of(*handlers, judge, saver, net=net)
    trainer.fit(batches(), batches(1), epochs=len(plan))
    return trainer, judge, saver


def same(ours, theirs):
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def normed():
    first, tanh, last = model()
    return nn.Sequential(first, nn.BatchNorm1d(8), tanh, last)


def tied():
    net = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 3))
    net[2].weight = net[0].weight
    return net


@pytest.mark.parametrize("handlers", [(), (EMA,), (SWA,), (lambda: EMA(0.9, use_buffers=False),)])
@pytest.mark.parametrize("net", [model, normed, tied])
@pytest.mark.parametrize("first", [False, True])
def test_the_best_weights_are_in_the_model_after_the_fit(tmp_path, handlers, net, first):
    made, options = [make() for make in handlers], {"restore_best": True}
    if first:  # the handlers are attached after the Checkpoint
        judge, saver = Judge(3, 1, 2), Checkpoint(tmp_path, metric="score", **options)
        trainer = trainer_of(saver, judge, *made, net=net())
        trainer.fit(batches(), batches(1), epochs=3)
    else:
        trainer, judge, saver = fitted(tmp_path, *made, net=net(), **options)
    assert same(trainer.state.model.state_dict(), judge.seen[1])
    assert same(validated_weights(saver.best), judge.seen[1])


def test_with_ema_the_best_checkpoint_has_the_weights_that_won_and_those_to_resume(tmp_path):
    _, judge, saver = fitted(tmp_path, EMA(0.5))
    assert same(validated_weights(saver.best), judge.seen[1])
    assert not same(read_checkpoint(saver.best)["model"], judge.seen[1])


def test_the_best_weights_come_back_after_an_early_stop(tmp_path):
    @(trainer := trainer_of(judge := Judge(1.0, 2.0, 3.0))).on("after_epoch")
    def stop(trainer, state):
        state.n_epochs = 2

    trainer.attach(Checkpoint(tmp_path, metric="score", restore_best=True))
    trainer.fit(batches(), batches(1), epochs=3)
    assert same(trainer.state.model.state_dict(), judge.seen[0])


def test_a_resumed_fit_restores_the_best_of_before(tmp_path):
    _, judge, _ = fitted(tmp_path, EMA(0.5), plan=(1.0, 2.0))
    second = trainer_of(
        EMA(0.5), Judge(1, 2, 3), Checkpoint(tmp_path, metric="score", restore_best=True)
    )
    second.fit(batches(), batches(1), epochs=3, resume="auto")
    assert same(second.state.model.state_dict(), judge.seen[0])


def test_after_a_failed_fit_the_weights_are_left_as_they_are(tmp_path):
    class Fails:
        def begin_epoch(self, trainer, state):
            if state.epoch == 2:
                raise RuntimeError("broken")

    trainer = trainer_of(
        judge := Judge(1, 2, 3), Fails(), Checkpoint(tmp_path, metric="score", restore_best=True)
    )
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit(batches(), batches(1), epochs=3)
    assert same(trainer.state.model.state_dict(), judge.seen[1])


def test_restore_best_without_a_metric_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"restore_best=True\): needs a metric="):
        Checkpoint(tmp_path, restore_best=True)


def test_of_named_models_the_averaged_one_is_restored_by_its_name(tmp_path):
    net = model()
    judge = Judge(1.0, 2.0)
    trainer = Trainer(
        models={"g": net},
        loss_fn=nn.CrossEntropyLoss(),
        optimizer=torch.optim.SGD(net.parameters(), lr=0.1),
        handlers=[
            EMA(0.5, of="g"),
            judge,
            Checkpoint(tmp_path, metric="score", restore_best=True),
        ],
    )
    trainer.fit(batches(), batches(1), epochs=2)
    assert same(net.state_dict(), judge.seen[0])

import pytest
import torch
from helpers import Trace, batches, equal, model, trainer_of, weights
from pairs import CHART, pair
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from trackside import CancelBatchException, CancelStepException, Trainer
from trackside.events import AttachError
from trackside.handlers import GradientAccumulation, GradientClip, Metrics, MixedPrecision

OPTIONS = {"lr": 0.5, "max_iter": 5, "line_search_fn": "strong_wolfe"}


def with_dropout():
    return nn.Sequential(*model(), nn.Dropout(0.2))


def lbfgs(net):
    return torch.optim.LBFGS(net.parameters(), **OPTIONS)


def trainer_with_lbfgs(*handlers, **options):
    net = with_dropout()
    return trainer_of(*handlers, net=net, optimizer=lbfgs(net), **options)


def by_hand(after_backward=lambda net: None, autocast=False, epochs=2):
    """(weights, losses) of the loop that torch documents for LBFGS."""
    net = with_dropout()
    optimizer, losses = lbfgs(net), []
    torch.manual_seed(3)
    for _ in range(epochs):
        for x, y in batches(3):

            def closure(x=x, y=y):
                optimizer.zero_grad()
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    loss = cross_entropy(net(x), y)
                loss.backward()
                after_backward(net)
                return loss

            losses.append(optimizer.step(closure).item())
    return list(net.parameters()), losses


def fitted(*handlers):
    """(trainer, losses) of the same fit."""
    trainer, losses = trainer_with_lbfgs(*handlers), []
    trainer.on("after_step")(lambda trainer, state: losses.append(state.loss.item()))
    torch.manual_seed(3)
    trainer.fit(batches(3), epochs=2)
    return trainer, losses


@pytest.mark.parametrize(
    ("handlers", "how"),
    [
        ((), {}),
        ((Metrics(),), {}),
        ((MixedPrecision(),), {"autocast": True}),
        ((GradientClip(0.1),), {"after_backward": lambda n: clip_grad_norm_(n.parameters(), 0.1)}),
    ],
    ids=["plain", "metrics", "bfloat16", "clipped"],
)
def test_a_fit_with_lbfgs_equals_the_loop_by_hand_bit_for_bit(handlers, how):
    trainer, losses = fitted(*handlers)
    theirs, their_losses = by_hand(**how)
    assert equal(weights(trainer), theirs)
    assert losses == their_losses
    assert trainer.state.step == 6


def test_every_evaluation_runs_the_wrapped_activities_and_only_the_first_sends_signals():
    with_closure, without = Trace(), Trace()
    trainer, ran = trainer_with_lbfgs(with_closure), []
    for name in ("forward", "loss", "backward"):
        trainer.wrap(name, lambda run, name=name: lambda state: ran.append(name) or run(state))
    trainer.fit(batches(2), batches(1))
    trainer_of(without).fit(batches(2), batches(1))
    assert with_closure.signals == without.signals
    evaluations = trainer.state.optimizer.state_dict()["state"][0]["func_evals"]
    assert ran.count("backward") == evaluations > 4
    assert ran.count("forward") == ran.count("loss") == evaluations + 1


def test_pred_and_loss_after_the_step_are_those_of_the_first_evaluation():
    trainer, kept = trainer_with_lbfgs(), []
    for signal in ("begin_step", "after_step"):
        trainer.on(signal)(lambda trainer, state: kept.append((state.pred, state.loss)))
    trainer.fit(batches(1))
    before, after = kept
    assert before[0] is after[0]
    assert before[1] is after[1]


def test_gradients_of_a_cancelled_step_are_not_added_to_those_of_the_next_batch():
    ours, theirs = trainer_with_lbfgs(), trainer_with_lbfgs()

    @ours.on("begin_step", when=lambda trainer, state: state.batch_index == 0)
    def cancel(trainer, state):
        raise CancelStepException("not this one")

    for trainer, data in ((ours, batches(2)), (theirs, batches(2)[1:])):
        trainer.state.model[-1].p = 0
        trainer.fit(data)
    assert equal(weights(ours), weights(theirs))


def test_a_cancel_in_an_evaluation_leaves_the_weights_as_before_the_step():
    trainer, count, kept = trainer_with_lbfgs(), [], []

    def fail_once(backward):
        def counted(state):
            count.append(state.batch_index)
            if len(count) == 3:
                raise CancelBatchException("enough")
            return backward(state)

        return counted

    before = weights(trainer)
    trainer.wrap("backward", fail_once)
    trainer.on("after_cancel_batch")(
        lambda trainer, state: kept.append(equal(before, weights(trainer)))
    )
    state = trainer.fit(batches(2))
    assert kept == [True]
    assert (state.outcome, state.step, set(count[3:])) == ("completed", 1, {1})


class MovesFirst(torch.optim.SGD):
    """Moves the weights uphill before it asks for the loss; its closure is required."""

    def step(self, closure):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.add_(p.grad, alpha=0.1)
        loss = closure()
        super().step()
        return loss


def test_an_optimizer_that_moves_the_weights_first_gets_the_loss_where_they_are():
    net, theirs = model(), model()
    trainer_of(net=net, optimizer=MovesFirst(net.parameters(), 0.1)).fit(batches(2))
    optimizer = MovesFirst(theirs.parameters(), 0.1)
    for x, y in batches(2):
        cross_entropy(theirs(x), y).backward()

        def closure(x=x, y=y):
            optimizer.zero_grad()
            loss = cross_entropy(theirs(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)
        optimizer.zero_grad()
    assert equal(net.parameters(), theirs.parameters())


def test_a_step_of_ones_own_can_use_the_closure_of_the_trainer():
    trainer = trainer_of()
    losses = []

    def twice(step):
        def run(state):
            losses.extend([state.loss.item(), trainer.closure()().item()])
            return step(state)

        return run

    trainer.wrap("step", twice)
    trainer.fit(batches(2))
    assert losses[::2] == losses[1::2]
    plain = trainer_of()
    plain.fit(batches(2))
    assert equal(weights(trainer), weights(plain))


def test_the_closure_outside_of_a_step_is_refused():
    trainer = trainer_of()
    with pytest.raises(RuntimeError, match="no closure in idle"):
        trainer.closure()


def test_of_two_named_optimizers_one_may_need_a_closure():
    models = pair()
    optimizers = {"a": lbfgs(models["a"]), "b": torch.optim.Adam(models["b"].parameters())}
    trainer = Trainer(
        models=models, optimizers=optimizers, loss_fn=nn.CrossEntropyLoss(), chart=CHART
    )
    trainer.fit(batches(2))
    alone = model()
    trainer_of(net=alone, optimizer=lbfgs(alone)).fit(batches(2))
    assert equal(models["a"].parameters(), alone.parameters())


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (GradientAccumulation(2), "GradientAccumulation: LBFGS .* use larger batches"),
        (MixedPrecision(torch.float16), "MixedPrecision: LBFGS .* use torch.bfloat16"),
    ],
)
def test_a_handler_that_cannot_act_in_every_evaluation_is_refused_when_attached(handler, said):
    with pytest.raises(AttachError, match=said):
        trainer_with_lbfgs(handler)


def test_a_second_run_with_another_optimizer_needs_no_closure():
    trainer = trainer_with_lbfgs()
    trainer.fit(batches(1))
    trainer.state.optimizer = torch.optim.SGD(trainer.state.model.parameters(), 0.1)
    assert trainer.fit(batches(1)).step == 1

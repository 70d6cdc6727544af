"""The pass over the training data in which the model only runs forward."""

from contextlib import nullcontext

import pytest
import torch
from helpers import Trace, batches, model, trainer_of
from torch import nn

from trackside.engine import SUPERVISED, Trainer, update
from trackside.engine.loop.forward_pass import training_forward


def test_it_sends_no_signal_and_makes_no_gradient():
    trace, seen = Trace(), []
    trainer = trainer_of(trace)
    trainer.state.model.register_forward_hook(lambda m, args, out: seen.append(out.requires_grad))

    @trainer.on("after_fit")
    def again(trainer, state):
        before = [*trace.signals]
        assert trainer.forward_training_data(lambda state: nullcontext()) == 12
        assert trace.signals == before

    trainer.fit(batches())
    assert seen == [True] * 3 + [False] * 3


def test_the_model_of_a_name_runs_as_in_its_own_update():
    ran = []
    models = {"a": model(), "b": model(1)}
    for name, net in models.items():
        net.register_forward_hook(lambda *_, name=name: ran.append(name))
    trainer = Trainer(
        models=models,
        optimizers={n: torch.optim.SGD(net.parameters(), 0.1) for n, net in models.items()},
        loss_fns={name: nn.CrossEntropyLoss() for name in models},
        chart=SUPERVISED.cut("validate").replace(
            "batch", update("first", of="a"), update("second", of="b")
        ),
    )

    @trainer.on("after_fit")
    def again(trainer, state):
        ran.clear()
        trainer.forward_training_data(lambda state: nullcontext(), of="b")

    trainer.fit(batches())
    assert ran == ["b"] * 3
    assert trainer.state.model is models["a"]


def test_outside_of_a_fit_it_is_refused():
    with pytest.raises(RuntimeError, match="outside of a fit; call it in a handler"):
        trainer_of().forward_training_data(lambda state: nullcontext())


def test_a_chart_without_a_forward_pass_runs_the_current_model():
    trainer = trainer_of()
    state = trainer.state
    state.xb = batches(1)[0][0]
    forward = training_forward(trainer.topology, {}, None)
    forward(state)
    assert torch.equal(state.pred, state.model(state.xb))

import copy

import pytest
import torch
from helpers import (
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    furthest,
    model,
    state_of,
    trainer_of,
    weights,
)
from torch import nn

from trackside.events import CancelBatchException
from trackside.handlers.performance.compile import Compile
from trackside.handlers.performance.mixed_precision import MixedPrecision


class Backend:
    """Returns each graph unchanged, and counts the graphs."""

    def __init__(self):
        self.graphs = []
        self.runs = 0

    def __call__(self, graph, inputs):
        self.graphs.append(graph)

        def run(*args):
            self.runs += 1
            return graph(*args)

        return run


@pytest.fixture
def backend():
    """A backend with an empty compilation cache."""
    torch._dynamo.reset()
    return Backend()


def test_model_runs_compiled_in_training_and_validation(backend):
    trainer = trainer_of(Compile(backend=backend))
    trainer.fit(batches(3), batches(2), epochs=2)
    assert backend.runs == 2 * (3 + 2)
    trainer.validate(batches(2))
    trainer.predict(batches(2))
    assert backend.runs == 14


def test_compiles_once_for_training_and_once_for_evaluation(backend):
    trainer = trainer_of(Compile(backend=backend))
    for _ in range(2):
        trainer.fit(batches(3), batches(3), epochs=3)
        trainer.validate(batches(2))
    assert len(backend.graphs) == 2


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_training_is_the_same(backend):
    ours, plain = trainer_of(Compile(backend=backend)), trainer_of()
    for trainer in (ours, plain):
        trainer.fit(batches(), batches(), epochs=2)
    assert furthest(weights(ours), weights(plain)) < 1e-6


def test_training_with_the_eager_backend_is_bitwise_unchanged():
    ours, plain = trainer_of(Compile(backend="eager")), trainer_of()
    for trainer in (ours, plain):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(ours), weights(plain))


def test_handlers_see_the_original_model():
    net, seen = model(), []
    trainer = trainer_of(Compile(backend="eager"), net=net)
    names = list(net.state_dict())

    class Watch:
        def any_transition(self, trainer, state, transition):
            seen.append(state.model is net)

    trainer.attach(Watch())
    trainer.fit(batches(), batches())
    assert all(seen)
    assert list(trainer.state.model.state_dict()) == names
    copy.deepcopy(trainer.state.model)


def test_detach_runs_the_original_model(backend):
    handler = Compile(backend=backend)
    trainer = trainer_of(handler)
    trainer.fit(batches(2))
    trainer.detach(handler)
    trainer.fit(batches(2))
    assert backend.runs == 2
    assert handler._compiled is handler._model is None


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "after_backward"])
def test_detach_inside_a_batch_leaves_nothing_and_training_continues(signal):
    handler, plain = Compile(backend="eager"), trainer_of()
    trainer = trainer_of(handler)
    trainer.on(signal, once=True)(lambda trainer, state: trainer.detach(handler))
    trainer.fit(batches(3))
    plain.fit(batches(3))
    assert equal(weights(trainer), weights(plain))


def test_replaced_model_is_compiled(backend):
    other = model(seed=1)
    trainer = trainer_of(Compile(backend=backend))
    before = trainer.predict(batches(1))
    trainer.state.model = other
    assert not torch.equal(trainer.predict(batches(1)), before)
    assert torch.equal(trainer.predict(batches(1)), other(batches(1)[0][0]))
    assert backend.runs == 3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_works_with_mixed_precision_in_any_order(order):
    handlers = [Compile(backend="aot_eager"), MixedPrecision()]
    trainer = trainer_of(*[handlers[i] for i in order])
    plain = trainer_of(MixedPrecision())
    for each in (trainer, plain):
        each.fit(batches(), batches())
    kinds = []
    trainer.on("after_pred")(lambda trainer, state: kinds.append(state.pred.dtype))
    trainer.predict(batches(1))
    assert kinds == [torch.bfloat16]
    assert furthest(weights(trainer), weights(plain)) < 1e-2


def test_cancel_raised_by_the_compiled_model_is_a_cancel():
    class Picky(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, x):
            if x.size(0) == 2:
                raise CancelBatchException("too small")
            return self.inner(x)

    trainer = trainer_of(Compile(backend="eager", dynamic=False), net=Picky())
    trainer.fit(batches(size=[4, 2, 4]))
    assert (trainer.state.step, trainer.state.outcome) == (2, "completed")


def test_works_on_a_hand_made_state(backend):
    state = state_of()
    net = state.model

    def forward(state):
        state.pred = state.model(torch.zeros(2, 5))
        return "after_pred"

    assert Compile(backend=backend).wrap_forward(forward)(state) == "after_pred"
    assert backend.runs == 1
    assert state.model is net


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backend": "no_such_backend"}, r"Compile\(backend='no_such_backend'\): refused"),
        ({"speed": 11}, r"Compile\(speed=11\): refused by torch.compile: .*speed"),
        ({"mode": "fastest"}, "Unrecognized mode"),
    ],
)
def test_options_refused_by_torch_compile_raise(options, reason):
    with pytest.raises(ValueError, match=reason):
        Compile(**options)


def test_no_device_sync():
    trainer = trainer_of(Compile(backend="eager"), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches())
    assert trainer.state.step == 3


def test_random_numbers_of_the_host_are_unchanged():
    trainer = trainer_of(Compile(backend="eager"))
    before = torch.get_rng_state()
    trainer.fit(batches())
    assert torch.equal(torch.get_rng_state(), before)


SHARED = Backend()
"""For tests so numerous that compiling each time would be slow."""


@every_cancel
def test_any_cancel_leaves_the_original_model(signal, scope):
    trainer = cancelled_fit(Compile(backend=SHARED), signal, scope, early=False)
    assert type(trainer.state.model) is nn.Sequential
    ran = SHARED.runs
    trainer.fit(batches(2))
    assert SHARED.runs == ran + 2

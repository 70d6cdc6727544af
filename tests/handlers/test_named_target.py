"""Handlers that act on one of several optimizers or models; what each adds is beside its file."""

import copy

import pytest
import torch
from helpers import batches, equal, trainer_of, weights
from pairs import all_weights, alone, pair, trainer_of_two, weights_of
from torch.optim.lr_scheduler import StepLR

from trackside import Trainer
from trackside import handlers as h
from trackside.engine import SUPERVISED, update
from trackside.events import AttachError
from trackside.handlers.schedules.annealing import linear


class Flat:
    """A metric that never improves."""

    def after_train(self, trainer, state):
        state.metrics["flat"] = 1.0


MAKE = {
    "Annealing": lambda **of: [h.Annealing("lr", linear(0.1, 0.01), **of)],
    "CosineWarmup": lambda **of: [h.CosineWarmup(0.3, **of)],
    "EMA": lambda **of: [h.EMA(0.5, **of)],
    "FlatCosine": lambda **of: [h.FlatCosine(0.3, **of)],
    "GradientAccumulation": lambda **of: [h.GradientAccumulation(3, **of)],
    "GradientClip": lambda **of: [h.GradientClip(0.01, **of)],
    "LRSchedule": lambda **of: [h.LRSchedule(lambda o: StepLR(o, 2, 0.5), **of)],
    "LRSchedule of epochs": lambda **of: [
        h.LRSchedule(lambda o: StepLR(o, 1, 0.5), every="epoch", **of)
    ],
    "OneCycle": lambda **of: [h.OneCycle(0.1, **of)],
    "ReduceOnPlateau": lambda **of: [Flat(), h.ReduceOnPlateau("flat", patience=0, **of)],
    "MixedPrecision": lambda **of: [h.MixedPrecision(torch.float16, **of)],
    "SWA": lambda **of: [h.SWA(0, **of)],
    "Unfreeze": lambda **of: [h.Unfreeze(["2", "0"], **of)],
    "Unfreeze with rates": lambda **of: [h.Unfreeze(["2", "0"], lr_divisor=2.0, **of)],
    "WeightDecayGroups": lambda **of: [h.WeightDecayGroups(**of)],
    "bfloat16": lambda **of: [h.MixedPrecision(**of)],
    "schedule and accumulation": lambda **of: [
        h.GradientAccumulation(2, **of),
        h.OneCycle(0.1, **of),
    ],
    "float16 and accumulation": lambda **of: [
        h.GradientAccumulation(2, **of),
        h.MixedPrecision(torch.float16, **of),
    ],
}


def fitted(trainer):
    trainer.fit(batches(5), batches(2), epochs=3)
    return trainer


@pytest.mark.parametrize("of", ["a", "b"])
@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_handler_of_one_model_changes_that_one_as_if_it_were_alone(make, of):
    (other,) = {"a", "b"} - {of}
    both = fitted(trainer_of_two(*make(of=of)))
    assert equal(weights_of(both, of), weights(fitted(alone(of, *make()))))
    assert equal(weights_of(both, other), weights(fitted(alone(other))))
    assert not equal(weights_of(both, of), weights(fitted(alone(of))))


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_handler_for_each_of_two_models_acts_on_both(make):
    both = fitted(trainer_of_two(*make(of="a"), *make(of="b")))
    for name in ("a", "b"):
        assert equal(weights_of(both, name), weights(fitted(alone(name, *make()))))


NEEDY = {
    name: make for name, make in MAKE.items() if name not in ("bfloat16", "ReduceOnPlateau")
} | {
    "GradientStats": lambda **of: [h.GradientStats(**of)],
    "ReduceOnPlateau": lambda **of: [h.ReduceOnPlateau(**of)],
}
NEEDLESS = {
    "MixedPrecision": h.MixedPrecision,
    "SkipBadBatch": h.SkipBadBatch,
    "StopOnNaN": h.StopOnNaN,
}


@pytest.mark.parametrize("make", NEEDY.values(), ids=NEEDY)
def test_a_handler_that_has_to_know_its_optimizer_says_so_when_attached(make):
    with pytest.raises(AttachError, match=r'has several .*s: a, b; say which .*, of="a"\)'):
        trainer_of_two(*make())


@pytest.mark.parametrize("make", NEEDLESS.values(), ids=NEEDLESS)
def test_a_handler_that_acts_on_every_update_needs_no_name(make):
    trainer = trainer_of_two(make(), make(of="b"))
    assert trainer.fit(batches(2)).outcome == "completed"


@pytest.mark.parametrize("of", [1, "", True, ["a"]])
@pytest.mark.parametrize("make", [*NEEDY.values(), lambda of: h.StopOnNaN(of=of)])
def test_a_name_is_a_text(make, of):
    with pytest.raises(TypeError, match=r"of=.*: allowed: the name of an optimizer or model"):
        make(of=of)


def named(handler):
    models = dict(zip(("generator", "critic"), pair().values(), strict=True))
    optimizers = {n: torch.optim.SGD(m.parameters(), lr=0.1) for n, m in models.items()}
    chart = SUPERVISED.replace("train.batch", update("g", of="generator"), update("c", of="critic"))
    return Trainer(models=models, optimizers=optimizers, handlers=[handler], chart=chart)


@pytest.mark.parametrize(
    "make", [*NEEDY.values(), *[lambda of, m=m: [m(of=of)] for m in NEEDLESS.values()]]
)
def test_an_unknown_name_is_refused_with_the_nearest_one(make):
    handler = make(of="genrator")[0]
    with pytest.raises(
        AttachError, match=r"'genrator'; did you mean generator\?; its .* are generator, critic"
    ):
        named(handler)


@pytest.mark.parametrize("make", NEEDY.values(), ids=NEEDY)
def test_a_name_that_no_scope_of_the_chart_trains_is_refused(make):
    chart = SUPERVISED.replace("train.batch", update("one", of="a"))
    with pytest.raises(AttachError, match=r"of='b'\): no scope .* trains 'b', .* scopes train a$"):
        trainer_of_two(*make(of="b"), chart=chart)


def test_a_model_without_an_optimizer_of_its_own_may_be_named():
    chart = SUPERVISED.replace("train.batch", update("one", of="a"))
    optimizers = {"a": torch.optim.SGD(pair()["a"].parameters(), lr=0.1)}
    Trainer(models=pair(), optimizers=optimizers, handlers=[h.EMA(of="b")], chart=chart)


def test_a_name_is_refused_where_the_optimizer_has_none():
    with pytest.raises(AttachError, match=r"no optimizer 'g'; its optimizer has no name"):
        trainer_of(h.GradientClip(1.0, of="g"))


def test_a_refused_handler_is_not_attached():
    trainer = trainer_of_two()
    with pytest.raises(AttachError):
        trainer.attach(h.GradientClip(1.0))
    assert trainer.handlers == []


def everything():
    return [
        h.GradientAccumulation(2, of="b"),
        h.OneCycle(0.1, of="a"),
        h.LRSchedule(lambda o: StepLR(o, 1, 0.5), of="b"),
        h.EMA(0.7, of="b"),
        h.EMA(0.5, of="a", validate=False),
        h.GradientClip(0.1, of="a"),
        h.GradientStats(every=2, bins=4, of="b"),
        h.SkipBadBatch(),
        h.StopOnNaN(every=3),
    ]


@pytest.mark.parametrize("boundary", range(1, 9))
def test_a_fit_of_two_models_with_handlers_of_each_resumes_bit_for_bit(boundary):
    handlers = everything()
    whole = trainer_of_two(*handlers)
    whole.fit(batches(5), batches(2), epochs=2)
    first = trainer_of_two(*everything())
    run = first.steps(batches(5), batches(2), epochs=2)
    for transition in run:
        if transition.trigger == "after_batch" and first.state.training:
            boundary -= 1
            if not boundary:
                saved = copy.deepcopy(first.state_dict())
                break
    run.close()
    again = everything()
    second = trainer_of_two(*again, models=pair(seed=5))
    second.fit(batches(5), batches(2), epochs=2, resume=saved)
    assert equal(all_weights(second), all_weights(whole))
    for ours, theirs in zip(again, handlers, strict=True):
        if isinstance(ours, h.GradientStats):
            assert ours.rows == theirs.rows
            assert ours.rows
        if isinstance(ours, h.StopOnNaN):
            assert ours._steps == theirs._steps == {"a": 10, "b": 6}

"""Several models, optimizers and losses by name, and the scopes of a chart that train them."""

import contextlib
from dataclasses import dataclass, field

import pytest
import torch
from helpers import Trace, batches, equal, furthest, model
from pairs import all_weights, optimizers_of, pair, trainer_of_two
from torch import nn

from trackside import Trainer, TrainState
from trackside.engine import SUPERVISED, Chart, ChartError, ResumeError, update
from trackside.engine.loop.activities import loss, step
from trackside.engine.loop.chart_activities import backward_of_own
from trackside.events import CancelBatchException, CancelEpochException


def test_each_update_trains_its_own_model_as_the_plain_loop_does():
    trainer = trainer_of_two()
    trainer.fit(batches(3), batches(2), epochs=2)
    models = pair()
    optimizers = optimizers_of(models)
    for x, y in batches(3) * 2:
        for name in ("a", "b"):
            nn.functional.cross_entropy(models[name](x), y).backward()
            optimizers[name].step()
            optimizers[name].zero_grad()
    theirs = [p.detach() for m in models.values() for p in m.parameters()]
    assert equal(all_weights(trainer), theirs)
    assert trainer.state.step == 12


def test_in_its_scope_the_state_has_the_model_and_the_optimizer_of_an_update():
    seen = []

    class Watch:
        def any_transition(self, trainer, state, transition):
            current = state.model is state.models["b"], state.optimizer is state.optimizers["b"]
            seen.append((transition.trigger, state.of, current))

    trainer_of_two(Watch()).fit(batches(1))
    inside = [entry for entry in seen if entry[1] == "b"]
    assert inside[0][0] == "begin_other"
    assert inside[-1][0] == "after_other"
    assert all(current == (True, True) for _, _, current in inside)
    assert all(current == (False, False) for _, of, current in seen if of != "b")


def test_after_a_cancel_of_an_update_the_next_has_its_own_model():
    from trackside.events import Cancel

    class CancelOne(Cancel):
        scope = "one"

    trace = Trace()
    trainer = trainer_of_two(trace)

    @trainer.on("after_loss")
    def cancel(trainer, state):
        if state.of == "a":
            raise CancelOne("not this one")

    before = [p.detach().clone() for p in trainer.state.models["a"].parameters()]
    trainer.fit(batches(3))
    after = [p.detach() for p in trainer.state.models["a"].parameters()]
    assert equal(before, after)
    assert trainer.state.step == 3
    assert furthest(
        [p.detach() for p in trainer.state.models["b"].parameters()],
        [p.detach() for p in model(1).parameters()],
    )


@pytest.mark.parametrize("raised", [CancelEpochException, ValueError])
def test_when_scopes_close_around_an_update_the_state_is_of_none(raised):
    seen = {}

    class Watch:
        def any_transition(self, trainer, state, transition):
            own = state.models["b" if state.of == "b" else "a"], state.optimizers[state.of or "a"]
            current = state.model is own[0], state.optimizer is own[1]
            seen[transition.trigger] = state.of, *current

        def after_loss(self, trainer, state):
            if state.of == "b":
                raise raised

    trainer = trainer_of_two(Watch())
    with contextlib.nullcontext() if raised is CancelEpochException else pytest.raises(raised):
        trainer.fit(batches(1))
    assert seen["after_other"] == ("b", True, True)
    outside = ["after_batch", "after_train", "after_epoch", "after_fit"]
    assert [seen[trigger] for trigger in outside] == [("", True, True)] * 4


def test_a_chart_that_names_no_updates_keeps_what_was_selected_after_a_cancel():
    models = pair()
    trainer = Trainer(models=models)
    trainer.state.select("b")
    outputs = []

    @trainer.on("after_pred")
    def cancel_the_first(trainer, state):
        outputs.append(torch.equal(state.pred, models["b"](state.xb)))
        if state.batch_index == 0:
            raise CancelBatchException

    trainer.predict(batches(3))
    assert outputs == [True] * 3


def test_an_update_leaves_no_gradients_in_the_models_of_other_updates():
    def through_both(state):
        state.pred = state.models["a"](state.xb) + state.models["b"](state.xb)
        return "after_pred"

    leftovers = []
    trainer = trainer_of_two(activities={"one.forward": through_both})
    trainer.on("after_one")(
        lambda t, state: leftovers.extend(p.grad for p in state.models["b"].parameters())
    )
    trainer.fit(batches(2))
    assert leftovers == [None] * 8


def test_an_update_adds_nothing_around_the_activities_inside_it():
    registry = trainer_of_two()._registry
    for name, activity in (("loss", loss), ("step.run", step), ("backward.run", backward_of_own)):
        assert registry.activity_of(f"fit.epoch.train.batch.one.{name}") is activity


def test_losses_by_name_are_used_in_their_scopes():
    scales = []
    losses = {
        "a": lambda pred, y: scales.append("a") or nn.functional.cross_entropy(pred, y),
        "b": lambda pred, y: scales.append("b") or nn.functional.cross_entropy(pred, y),
    }
    trainer_of_two(loss_fn=None, loss_fns=losses).fit(batches(2))
    assert scales == ["a", "b"] * 2


@pytest.mark.parametrize("boundary", range(1, 8, 2))
def test_a_fit_of_two_models_resumes_bit_for_bit(boundary):
    whole = trainer_of_two()
    whole.fit(batches(4), epochs=2)
    first = trainer_of_two()
    run = first.steps(batches(4), epochs=2)
    saved = None
    for transition in run:
        if transition.trigger == "after_batch":
            boundary -= 1
            if not boundary:
                saved = first.state_dict()
                break
    assert {*saved["optimizers"]} == {"a", "b"}
    second = trainer_of_two(models=pair(seed=5))
    second.fit(batches(4), epochs=2, resume=saved)
    run.close()
    assert equal(all_weights(second), all_weights(whole))


def test_a_state_dict_of_other_names_is_refused():
    saved = trainer_of_two().state_dict()
    plain = Trainer(model(), nn.CrossEntropyLoss(), torch.optim.SGD(model().parameters(), lr=0.1))
    with pytest.raises(ResumeError, match="another model"):
        plain.load_state_dict(saved)


def test_all_models_are_in_train_mode_in_training_and_in_eval_mode_in_validation():
    modes = []
    trainer = trainer_of_two()
    trainer.on("begin_batch")(
        lambda t, state: modes.append({m.training for m in state.models.values()})
    )
    trainer.fit(batches(1), batches(1))
    assert modes == [{True}, {False}]


def test_a_fit_begins_without_gradients_of_any_model():
    trainer = trainer_of_two()
    for parameter in trainer.state.models["b"].parameters():
        parameter.grad = torch.ones_like(parameter)
    seen = []
    trainer.on("begin_fit")(
        lambda t, state: seen.append([p.grad for p in state.models["b"].parameters()])
    )
    trainer.fit(batches(1))
    assert seen == [[None] * 4]


@dataclass(slots=True, eq=False, repr=False)
class GameState(TrainState):
    rewards: list[float] = field(default_factory=list)
    best: float = 0.0


def test_a_trainer_may_have_a_state_with_fields_of_its_own_which_are_saved():
    def made():
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return Trainer(net, nn.CrossEntropyLoss(), optimizer, state=GameState)

    trainer = made()
    trainer.on("after_loss")(lambda t, state: state.rewards.append(1.5))
    run = trainer.steps(batches(3))
    for transition in run:
        if transition.trigger == "after_batch" and trainer.state.step == 2:
            saved = trainer.state_dict()
            break
    run.close()
    other = made()
    other.fit(batches(3), resume=saved)
    assert other.state.rewards == [1.5, 1.5]


def test_a_new_fit_sets_the_defaults_of_fields_of_ones_own():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    trainer = Trainer(net, nn.CrossEntropyLoss(), optimizer, state=GameState)
    trainer.on("after_loss")(lambda t, state: state.rewards.append(1.5))
    for _ in range(2):
        trainer.state.best = 7.0
        state = trainer.fit(batches(2))
        assert (state.rewards, state.best) == ([1.5, 1.5], 0.0)
    trainer.state.best = 7.0
    trainer.validate(batches(1))
    assert (state.best, len(state.rewards)) == (7.0, 3)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": model(), "models": pair()}, TypeError, r"model=…, models=…\): pass one"),
        ({}, TypeError, "a torch.nn.Module is needed"),
        ({"models": {"a": nn.Linear}}, TypeError, "Linear is a class; did you forget"),
        (
            {"model": model(), "state": dict},
            TypeError,
            "allowed: a dataclass derived from TrainState",
        ),
        (
            {"model": model(), "chart": Chart(SUPERVISED.rows, SUPERVISED.roles, {"step": "g"})},
            ChartError,
            "the scope step trains 'g', and there is no such optimizer; optimizers are not named",
        ),
        (
            {
                "models": pair(),
                "optimizers": optimizers_of(pair()),
                "chart": SUPERVISED.replace("train.batch", update("one", of="a"), update("other")),
            },
            ChartError,
            'the update other names none of the optimizers a, b; say which: update.*of="a"',
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(options, kind, message):
    with pytest.raises(kind, match=message):
        Trainer(**options)


@pytest.mark.parametrize(
    ("what", "name", "kind"),
    [
        *[("models", name, ValueError) for name in ("", "a.b", "keys", "training")],
        ("models", 1, TypeError),
        ("optimizers", "", ValueError),
        ("loss_fns", None, TypeError),
    ],
)
def test_a_name_that_a_part_cannot_have_is_refused(what, name, kind):
    parts = {"models": pair(), "optimizers": optimizers_of(pair()), "loss_fns": {}}
    parts[what] = {name: nn.Linear(2, 2) if what == "models" else None, **parts[what]}
    with pytest.raises(kind, match=rf"Trainer\({what}={{{name!r}: …}}\): .*allowed: "):
        Trainer(**parts)


def test_a_scope_that_trains_a_name_without_a_model_is_refused():
    models = {"gen": model(), "disc": model(1)}
    optimizers = {"g": optimizers_of(pair())["a"], "d": optimizers_of(pair())["b"]}
    chart = SUPERVISED.replace("train.batch", update("one", of="g"), update("two", of="d"))
    with pytest.raises(ChartError, match="trains 'g', and there is no such model"):
        Trainer(models=models, optimizers=optimizers, chart=chart)


@pytest.mark.parametrize("chart", [SUPERVISED, SUPERVISED.replace("train.batch", update("only"))])
def test_several_optimizers_of_which_nothing_chooses_one_are_refused(chart):
    models = pair()
    with pytest.raises(ChartError, match=r"optimizers a, b.*say which"):
        Trainer(models=models, optimizers=optimizers_of(models), chart=chart)


def test_activities_of_ones_own_may_choose_among_several_optimizers():
    def step_both(state):
        for name in state.optimizers:
            state.select(name)
            state.optimizer.step()
        return "after_step"

    def add(state):
        state.pred = sum(net(state.xb) for net in state.models.values())
        return "after_pred"

    trainer = trainer_of_two(chart=SUPERVISED, activities={"forward": add, "step": step_both})
    before = all_weights(trainer)
    trainer.fit(batches(1))
    after = all_weights(trainer)
    assert not any(map(torch.equal, before, after))

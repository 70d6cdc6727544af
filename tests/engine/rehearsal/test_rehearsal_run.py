import copy
import random

import numpy
import pytest
import torch
from helpers import Trace, batches, equal, model, trainer_of, weights
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from trackside.engine import SUPERVISED, KeyedLoader, Trainer, update
from trackside.engine.rehearsal.stand_in_activities import RehearsalError
from trackside.events import CancelFitException
from trackside.handlers import (
    EMA,
    Checkpoint,
    CosineWarmup,
    EarlyStopping,
    GradientAccumulation,
    History,
    LRSchedule,
    Metrics,
    OneCycle,
    ValidateEvery,
)


class NeverCalled(nn.Linear):
    def forward(self, inputs):
        raise AssertionError("the model was called")


def data(count=12):
    return TensorDataset(torch.randn(count, 5), torch.randint(0, 3, (count,)))


def test_a_rehearsal_calls_no_model_and_sends_the_signals_of_a_fit():
    fitted = Trace()
    trainer_of(Metrics(), fitted).fit(batches(), batches(2), epochs=2)
    trainer = trainer_of(Metrics(), net=NeverCalled(5, 3))
    plan = trainer.rehearse(batches(), batches(2), epochs=2)
    assert (plan.ok, plan.outcome) == (True, "completed")
    assert list(plan.transitions.elements()) != []
    assert {name: fitted.signals.count(name) for name in plan.transitions} == plan.transitions
    assert {*plan.transitions} == {*fitted.signals}


def test_a_rehearsal_changes_nothing():
    def fitted(rehearsed):
        torch.manual_seed(0), random.seed(0), numpy.random.seed(0)
        generator = torch.Generator().manual_seed(3)
        loader = DataLoader(data(), 4, shuffle=True, generator=generator)
        valid = KeyedLoader(data(), 4, shuffle=True, seed=1)
        trainer = trainer_of(Metrics(), History(), EMA(0.5), OneCycle(0.1))
        if rehearsed:
            before = copy.deepcopy(trainer.state_dict())
            trainer.rehearse(loader, valid, epochs=2)
            assert repr(trainer.state_dict()) == repr(before)
            assert trainer.state.phase == "idle"
        trainer.fit(loader, valid, epochs=2)
        drawn = torch.rand(()).item(), random.random(), numpy.random.random()
        return weights(trainer), trainer.handlers[1].rows, drawn

    ours, theirs = fitted(True), fitted(False)
    assert equal(ours[0], theirs[0])
    assert ours[1:] == theirs[1:]


@pytest.mark.parametrize(
    "schedule",
    [lambda: OneCycle(0.1), CosineWarmup, lambda: LRSchedule(cosine)],
    ids=["OneCycle", "CosineWarmup", "LRSchedule"],
)
def test_the_rates_of_the_plan_are_those_of_the_fit(schedule):
    rates = []
    trainer = trainer_of(schedule())
    plan = trainer.rehearse(batches(), epochs=3)
    trainer.wrap(
        "step", lambda step: lambda s: (rates.append(s.optimizer.param_groups[0]["lr"]), step(s))[1]
    )
    trainer.fit(batches(), epochs=3)
    assert plan.rates == {"": rates}


def cosine(optimizer):
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)


def test_what_a_handler_raises_is_a_problem_and_the_rehearsal_goes_on():
    class Wrong:
        def after_loss(self, trainer, state):
            return state.nothing

    plan = trainer_of(Wrong()).rehearse(batches(), epochs=2)
    (problem,) = plan.problems
    assert problem.startswith("Wrong.after_loss raised in epoch 1, batch 1: AttributeError")
    assert (plan.outcome, plan.transitions["after_step"]) == ("completed", 6)


def test_a_logger_that_would_be_detached_is_a_problem_too():
    class Logger:
        on_error = "detach"

        def after_epoch(self, trainer, state):
            raise OSError("no server")

    trainer = trainer_of(Logger())
    assert "no server" in trainer.rehearse(batches()).problems[0]
    assert len(trainer.handlers) == 1


def test_a_schedule_that_ends_before_the_fit_is_a_problem():
    schedule = LRSchedule(lambda optimizer: OneCycleLR(optimizer, 0.1, total_steps=4))
    (problem,) = trainer_of(schedule).rehearse(batches(), epochs=2).problems
    assert "LRSchedule" in problem
    assert "total steps is 4" in problem


def test_a_metric_that_no_run_reports_is_a_problem():
    trainer = trainer_of(Metrics(), EarlyStopping("valid_los", patience=1))
    (problem,) = trainer.rehearse(batches(), batches(), epochs=5).problems
    assert "'valid_los'" in problem
    assert "valid_loss" in problem


def test_values_of_a_rehearsal_stop_no_fit():
    trainer = trainer_of(Metrics(), EarlyStopping("valid_loss", patience=1))
    plan = trainer.rehearse(batches(), batches(), epochs=5)
    assert (plan.ok, plan.transitions["begin_epoch"]) == (True, 5)


def test_checkpoints_are_planned_with_their_sizes_and_nothing_is_written(tmp_path):
    folder = tmp_path / "run"
    trainer = trainer_of(Checkpoint(folder, steps=2, keep_last=2))
    plan = trainer.rehearse(batches(), epochs=4)
    saved = [event.step for event in plan.events if event.what.startswith("checkpoint")]
    assert saved == [2, 4, 6, 8, 10, 12]
    assert [path.name[-2:] for path in plan.files] == ["10", "12"]
    assert not folder.exists()
    trainer.fit(batches(), epochs=4)
    assert sorted(plan.files) == sorted(folder.glob("step-*"))


def test_the_size_of_a_checkpoint_includes_the_state_of_the_optimizer(tmp_path):
    net = nn.Linear(1000, 1000)
    trainer = trainer_of(
        Checkpoint(tmp_path), net=net, optimizer=torch.optim.Adam(net.parameters())
    )
    loader = [(torch.zeros(2, 1000), torch.zeros(2, dtype=torch.long))]
    (size,) = trainer.rehearse(loader).files.values()
    trainer.fit(loader)
    (path,) = tmp_path.glob("step-*")
    assert size == pytest.approx(sum(file.stat().st_size for file in path.iterdir()), rel=0.01)


def test_a_folder_that_cannot_be_created_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    plan = trainer_of(Checkpoint(tmp_path / "file" / "run")).rehearse(batches())
    assert any(f"{tmp_path / 'file'} is a file" in problem for problem in plan.problems)


def test_a_folder_with_the_checkpoints_of_another_fit_is_a_problem(tmp_path):
    trainer_of(Checkpoint(tmp_path)).fit(batches())
    (problem,) = trainer_of(Checkpoint(tmp_path)).rehearse(batches()).problems
    assert "contains checkpoints" in problem


def test_functions_are_called_with_their_filters():
    calls = []
    trainer = trainer_of()
    trainer.on("after_batch", every=4)(lambda trainer, state: calls.append("every"))
    trainer.on("after_batch", once=True)(lambda trainer, state: calls.append("once"))
    trainer.on("after_step", when=lambda t, s: s.step == 5)(lambda t, s: calls.append("when"))

    @trainer.within("epoch")
    def log_epoch(trainer, state):
        calls.append("open")
        yield
        calls.append("close")

    trainer.rehearse(batches(), epochs=2)
    assert calls == ["open", "once", "close", "open", "every", "when", "close"]


def test_cancels_and_validations_within_an_epoch_are_in_the_plan():
    class Stop:
        def begin_batch(self, trainer, state):
            if state.step == 4:
                raise CancelFitException("enough")

    plan = trainer_of(ValidateEvery(steps=2), Stop()).rehearse(batches(), batches(1), epochs=3)
    assert [(event.step, event.what) for event in plan.events] == [
        *((2, "validation"), (4, "validation"), (4, "fit cancelled: enough"))
    ]
    assert plan.outcome == "cancelled"


def test_a_handler_that_cannot_be_copied_is_named():
    class Holder:
        def __init__(self):
            self.lines = (line for line in "ab")

        def after_fit(self, trainer, state):
            raise AssertionError("it was not copied")

    plan = trainer_of(Holder()).rehearse(batches())
    assert "cannot be copied" in plan.left_out["Holder"]


def test_a_handler_says_what_runs_in_its_place():
    class Saves:
        def rehearse(self, plan):
            plan.will_write("predictions.csv", 300)

        def after_fit(self, trainer, state):
            raise AssertionError("it ran")

    plan = trainer_of(Saves()).rehearse(batches())
    assert (plan.problems, [*plan.files.values()]) == ([], [300])


def test_a_rate_that_is_no_number_is_a_problem_and_the_plan_can_be_printed():
    class Wrong:
        def begin_step(self, trainer, state):
            state.optimizer.param_groups[0]["lr"] = float("nan")

    plan = trainer_of(Wrong()).rehearse(batches())
    assert plan.problems == ["ValueError: the learning rate of update 1 is nan"]
    assert "learning rate" in str(plan)


def test_accumulation_makes_fewer_updates():
    plan = trainer_of(GradientAccumulation(2)).rehearse(batches(4), epochs=2)
    assert len(plan.rates[""]) == 4


def test_a_chart_of_two_updates_is_rehearsed():
    nets = {"g": model(0), "d": model(1)}
    chart = SUPERVISED.replace("train.batch", update("first", of="g"), update("second", of="d"))
    losses = {name: nn.CrossEntropyLoss() for name in nets}
    rates = {"g": 0.1, "d": 0.2}
    optimizers = {n: torch.optim.SGD(net.parameters(), lr=rates[n]) for n, net in nets.items()}
    trainer = Trainer(models=nets, loss_fns=losses, optimizers=optimizers, chart=chart)
    plan = trainer.rehearse(batches(2))
    assert plan.rates == {"g": [0.1] * 2, "d": [0.2] * 2}


def test_an_iterator_is_not_used_up():
    loader = iter(batches())
    with pytest.raises(ValueError, match="an iterator can be read once"):
        trainer_of().rehearse(loader)
    assert len(list(loader)) == 3


def test_a_loader_without_a_length_needs_the_batches_of_an_epoch():
    class Endless:
        def __iter__(self):
            while True:
                yield batches(1)[0]

    with pytest.raises(ValueError, match="does not tell its length; pass batches_per_epoch="):
        trainer_of().rehearse(Endless())
    assert trainer_of().rehearse(Endless(), batches_per_epoch=5).transitions["after_step"] == 5


def test_an_activity_of_ones_own_that_chooses_is_refused():
    trainer = trainer_of(activities={"train.fetch": lambda state: "after_train"})
    with pytest.raises(RehearsalError, match="chooses among begin_batch, after_train"):
        trainer.rehearse(batches())


def test_an_optimizer_that_needs_a_closure_is_rehearsed_without_a_step():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.LBFGS(net.parameters(), lr=0.5))
    plan = trainer.rehearse(batches())
    assert (plan.ok, plan.rates[""]) == (True, [0.5] * 3)


def test_a_wrap_is_rehearsed_unless_it_is_around_work_of_the_model():
    calls = []

    def counted(activity):
        return lambda state: (calls.append(state.batch_index), activity(state))[1]

    trainer = trainer_of(net=NeverCalled(5, 3))
    trainer.wrap("train.batch.loss", counted)
    trainer.wrap("train.batch.zero_grad", counted)
    trainer.rehearse(batches())
    assert calls == [0, 1, 2]


def test_what_a_handler_subscribes_when_it_is_attached_is_subscribed_once():
    heard = []

    class Subscribes:
        def attached(self, trainer):
            trainer.on("after_loss")(self.hear)

        def begin_fit(self, trainer, state):
            heard.clear()

        def hear(self, trainer, state):
            heard.append(state.batch_index)

    trainer_of(Subscribes()).rehearse(batches())
    assert heard == [0, 1, 2]


def test_the_rates_are_those_of_each_step_and_zero_of_an_optimizer_without_one():
    class Rateless(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            pass

    net = model()
    plan = Trainer(net, nn.CrossEntropyLoss(), Rateless(net.parameters())).rehearse(batches(2))
    assert [*plan.rates.values()] == [[0.0, 0.0]]
    assert [*trainer_of().rehearse(batches(2)).rates.values()] == [[0.1, 0.1]]


def test_a_handler_that_has_its_trainer_is_rehearsed_with_that_of_the_rehearsal():
    seen = []

    class Attached:
        def attached(self, trainer):
            self.trainer, self.state = trainer, trainer.state

        def after_batch(self, trainer, state):
            seen.append((self.trainer is trainer, self.state is state))

    trainer = trainer_of(Attached(), net=NeverCalled(5, 3))
    assert trainer.rehearse(batches(2)).ok
    assert seen == [(True, True)] * 2

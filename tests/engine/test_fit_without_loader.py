import pytest
import torch
from helpers import batches, equal, trainer_of, weights

from trackside.engine import ACTIVITIES
from trackside.handlers import LimitBatches, Metrics, TokenLimit
from trackside.handlers.control.step_limit import StepLimit
from trackside.handlers.schedules.one_cycle import OneCycle

PER_EPOCH = 4


def make_batch(state):
    """Draws its own data, as a loop does that plays, samples or simulates."""
    return draw(state) if state.batch_index + 1 < PER_EPOCH else "after_train"


def draw(state):
    """The same without an end."""
    state.batch_index += 1
    state.xb, state.yb = torch.rand(4, 5), torch.randint(0, 3, (4,))
    state.batch_size = len(state.xb)
    state.pred = state.loss = None
    state.samples += state.batch_size
    return "begin_batch"


def player():
    torch.manual_seed(3)
    return trainer_of(StepLimit(7), OneCycle(0.1), activities={"train.fetch": make_batch})


def test_a_chart_that_makes_its_own_data_needs_no_loader():
    trainer = player()
    trainer.fit(epochs=3)
    assert trainer.state.phase == "completed"
    assert (trainer.state.epoch, trainer.state.progress("epochs").total) == (1, 2)


@pytest.mark.parametrize(
    ("limit", "limits", "steps"),
    [
        (StepLimit(7), {}, 7),
        (TokenLimit(50), {}, 3),
        (LimitBatches(3), {"epochs": 2}, 6),
        (Metrics(), {"epochs": 2, "batches_per_epoch": 5}, 10),
    ],
)
def test_limits_end_a_loop_that_makes_its_own_data_without_an_end(limit, limits, steps):
    trainer = trainer_of(limit, activities={"train.fetch": draw})
    state = trainer.fit(**limits)
    assert (state.step, state.outcome) == (steps, "completed")


def test_an_activity_of_ones_own_that_reads_a_loader_has_no_other_limit():
    def fetch(state):
        return ACTIVITIES["train.fetch"](state)

    class TellsLess(list):
        def __len__(self):
            return 2

    trainer = trainer_of(activities={"train.fetch": fetch})
    with pytest.warns(UserWarning, match="tells 2 batches, and gave 4"):
        assert trainer.fit(TellsLess(batches(4))).step == 4


def test_every_way_to_begin_a_fit_does_without_a_loader():
    whole = player()
    whole.fit(epochs=2)
    stepped = player()
    for _ in stepped.steps(epochs=2):
        pass
    started = player()
    started.start(epochs=2).result()
    assert equal(weights(stepped), weights(whole))
    assert equal(weights(started), weights(whole))


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_fit_without_a_loader_resumes_bit_for_bit(stop):
    whole = player()
    whole.fit(epochs=2)
    first = player()
    run = first.steps(epochs=2)
    saved = next(
        first.state_dict()
        for transition in run
        if transition.trigger == "after_batch" and first.state.step == stop
    )
    run.close()
    second = player()
    second.fit(resume=saved)
    assert equal(weights(second), weights(whole))


@pytest.mark.parametrize("begin", ["fit", "start", "steps", "astream"])
def test_a_chart_that_reads_a_loader_refuses_to_begin_without_one(begin):
    trainer = trainer_of()
    expected = r"fit\(\) needs a train_loader: the chart reads one in fit\.epoch\.train\.fetch"
    with pytest.raises(TypeError, match=expected):
        getattr(trainer, begin)(epochs=2)
    assert trainer.state.phase == "idle"

import itertools

import pytest
from helpers import CANCELS, batches, equal, raise_at, trainer_of, weights

from trackside.engine import SUPERVISED, Chart, ChartError, Topology
from trackside.handlers import History, Metrics, StepLimit

TAKEN_OUT = [
    names for count in (1, 2) for names in itertools.permutations(["epoch", "train"], count)
]


def without(names, chart=SUPERVISED):
    for name in names:
        chart = chart.without(name)
    return chart


def fitted(chart, *made, epochs=1, valid=None, **options):
    trainer = trainer_of(*made, chart=chart, **options)
    trainer.fit(batches(4), valid, epochs=epochs)
    return trainer


@pytest.mark.parametrize("names", TAKEN_OUT)
@pytest.mark.parametrize("valid", [None, batches(2)])
def test_a_fit_without_its_rounds_or_passes_trains_as_with_them(names, valid):
    epochs = 1 if "epoch" in names else 2
    ours = fitted(without(names), epochs=epochs, valid=valid)
    theirs = fitted(SUPERVISED, epochs=epochs, valid=valid)
    assert equal(weights(ours), weights(theirs))
    assert ours.state.step == theirs.state.step
    assert ours.state.phase == "completed"


@pytest.mark.parametrize("names", TAKEN_OUT)
def test_the_same_with_the_validation_cut(names):
    ours = fitted(without(names, SUPERVISED.cut("validate")))
    assert equal(weights(ours), weights(fitted(SUPERVISED)))


@pytest.mark.parametrize("name", ["epoch", "train", "backward", "step", "validate"])
def test_whichever_scope_is_taken_out_the_chart_is_sound_and_no_phase_lies_in_it(name):
    topology = Topology(SUPERVISED.without(name))
    assert not any(name in leaf.split(".")[:-1] for leaf in topology.leaves)


def test_the_order_in_which_scopes_are_taken_out_makes_no_difference():
    one, other = without(["epoch", "train"]), without(["train", "epoch"])
    assert {*Topology(one).leaves} == {*Topology(other).leaves}
    assert Topology(one).table == Topology(other).table


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_a_fit_of_nothing_but_batches_resumes_bit_for_bit(stop):
    chart = without(["epoch", "train"])
    whole = fitted(chart, valid=batches(2))
    first = trainer_of(chart=chart)
    run = first.steps(batches(4), batches(2))
    saved = next(
        first.state_dict() for t in run if t.trigger == "after_batch" and first.state.step == stop
    )
    run.close()
    second = trainer_of(chart=chart)
    second.fit(batches(4), batches(2), resume=saved)
    assert equal(weights(second), weights(whole))


def test_a_fit_of_nothing_but_batches_ends_at_a_limit_and_keeps_what_is_reported():
    history = History()
    trainer = trainer_of(StepLimit(3), history, chart=without(["epoch", "train"]))
    trainer.on("after_step")(lambda trainer, state: state.report(loss=state.loss))
    trainer.fit(batches(9))
    assert [row["step"] for row in history.rows] == [1, 2, 3]


def test_a_report_in_a_batch_of_a_chart_without_passes_is_not_that_of_the_round():
    history = History()
    trainer = trainer_of(history, chart=SUPERVISED.without("train"))
    trainer.on("after_step")(lambda trainer, state: state.report(norm=1.0))
    trainer.fit(batches(2))
    assert [(row["step"], row["outcome"]) for row in history.rows] == [(1, None), (2, "completed")]


def test_a_batch_that_is_cancelled_is_followed_by_the_next():
    trainer = trainer_of(chart=without(["epoch", "train"]))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(4))
    assert (trainer.state.step, trainer.state.phase) == (3, "completed")


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ready", "'fit.ready' or 'epoch.ready'"),
        ("fetch", "'train.fetch' or 'validate.fetch'"),
        ("scored", "'train.batch.scored' or 'validate.batch.scored'"),
    ],
)
def test_an_activity_that_would_never_run_is_refused_with_the_names_that_do(name, given):
    with pytest.raises(ChartError, match=f"would never run.*give it as {given}"):
        trainer_of(activities={name: lambda state: "after_fit"})


def test_an_activity_of_ones_own_takes_the_place_of_one_that_has_moved():
    seen = []

    def scored(state):
        seen.append(state.step)
        return "begin_backward"

    fitted(SUPERVISED.cut("validate").without("train"), activities={"scored": scored})
    assert seen == [0, 1, 2, 3]


def test_metrics_say_that_a_pass_is_missing():
    with pytest.raises(Exception, match="none of its scopes has the role pass"):
        trainer_of(Metrics(), chart=SUPERVISED.without("train"))


def test_a_scope_that_two_rows_open_cannot_be_taken_out():
    rows = (*SUPERVISED.rows, ("begin_epoch", "fit.epoch.trained", "fit.epoch.ready"))
    with pytest.raises(ChartError, match=r"without\('epoch'\): 2 rows begin_epoch; allowed: 1"):
        Chart(rows).without("epoch")

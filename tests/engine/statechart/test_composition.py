"""Charts are values: what each operation makes of one, and that a fit runs on what it makes."""

import dataclasses

import pytest
import torch
from charts import random_chart
from helpers import Trace, batches, model, trainer_of, weights

from trackside import Cancel, CancelTrainException
from trackside.engine import ACTIVITIES, EVALUATION, SUPERVISED, ChartError, Topology
from trackside.engine.loop.activities import forward, zero_grad
from trackside.engine.statechart.composition import Chart
from trackside.engine.statechart.nesting import nest
from trackside.engine.statechart.optimizer_update import update


def signals_of(chart, loaders=1, activities=None, **options):
    trace = Trace()
    trainer = trainer_of(trace, chart=chart, activities=activities)
    trainer.fit(*[batches(2)] * loaders, **options)
    return trainer, trace.signals


def test_a_chart_is_a_sequence_of_its_rows():
    rows = (("begin_fit", ("idle", "completed", "cancelled", "failed"), "fit.ready"),)
    assert list(SUPERVISED) == list(SUPERVISED.rows)
    assert SUPERVISED[0] == rows[0]
    assert len(SUPERVISED) == 41
    assert Chart(SUPERVISED.rows) == SUPERVISED
    assert hash(Chart(SUPERVISED.rows)) == hash(SUPERVISED)


def test_no_operation_changes_the_chart():
    before = Chart(SUPERVISED.rows, SUPERVISED.roles)
    SUPERVISED.without("epoch")
    SUPERVISED.cut("validate")
    SUPERVISED.replace("train.batch", update("generator"))
    SUPERVISED.inside("folds.fold")
    SUPERVISED.plus([("again", "fit.epoch.trained", "fit.epoch.trained")])
    assert before == SUPERVISED


def test_plus_adds_rows_and_their_roles():
    rows = [
        ("begin_warmup", "fit.ready", "fit.warmup.run"),
        ("after_cancel_warmup", "fit.warmup", "fit.warmup.cancelled"),
        ("after_warmup", "fit.warmup", "fit.ready"),
    ]
    chart = SUPERVISED.plus(rows, roles={"warmup": "evaluation"})
    assert chart.rows == (*SUPERVISED.rows, *rows)
    assert chart.roles["warmup"] == "evaluation"
    Topology(chart)


def test_without_a_scope_its_signals_are_gone_and_its_work_is_the_same():
    plain, with_epochs = signals_of(SUPERVISED, 2, epochs=2)
    other, signals = signals_of(SUPERVISED.without("epoch"), 2, epochs=2)
    assert signals == [name for name in with_epochs if not name.endswith("_epoch")]
    assert all(map(torch.equal, weights(other), weights(plain)))
    assert other.state.epoch == 1


def test_a_cancel_in_a_chart_without_epochs_closes_its_scope():
    trace = Trace()
    trainer = trainer_of(trace, chart=SUPERVISED.without("epoch"))

    @trainer.on("begin_batch", once=True)
    def cancel(trainer, state):
        raise CancelTrainException("enough")

    state = trainer.fit(batches(3))
    assert trace.signals[-4:] == ["after_batch", "after_cancel_train", "after_train", "after_fit"]
    assert state.outcome == "completed"


def test_cut_removes_a_scope_and_all_that_only_it_leads_to():
    chart = SUPERVISED.cut("validate")
    assert not any("validate" in str(row) for row in chart.rows)
    assert "validate" not in chart.roles
    assert signals_of(chart)[1] == signals_of(SUPERVISED)[1]


def test_updates_take_the_place_of_the_work_of_a_scope():
    chart = SUPERVISED.cut("validate").replace("batch", update("one"), update("other"))
    assert chart.roles["one"] == chart.roles["other"] == "update"
    _, signals = signals_of(chart, epochs=1)
    first = signals.index("begin_batch")
    inner = ["after_pred", "after_loss", "begin_backward", "after_backward", "begin_step"]
    expected = [
        "begin_batch",
        *("begin_one", *inner, "after_step", "after_one"),
        *("begin_other", *inner, "after_step", "after_other"),
        "after_batch",
    ]
    assert signals[first : first + len(expected)] == expected


def test_an_update_is_made_on_every_nth_batch_and_the_others_on_each():
    parts = update("one", every=2), update("two"), update("three", every=3)
    made = []
    trainer = trainer_of(chart=SUPERVISED.cut("validate").replace("batch", *parts))
    for name in ("one", "two", "three"):
        trainer.on(f"begin_{name}")(
            lambda trainer, state, name=name: made.append((state.batch_index, name))
        )
    trainer.fit(batches(4), epochs=2)
    first = [(0, "two"), (1, "one"), (1, "two"), (2, "two"), (2, "three"), (3, "one"), (3, "two")]
    assert made == first * 2


@pytest.mark.parametrize("every", [0, 1.5])
def test_an_update_is_made_on_a_whole_number_of_batches(every):
    with pytest.raises((TypeError, ValueError), match=r"update.'one', every="):
        update("one", every=every)


def test_a_phase_between_updates_may_begin_any_of_them():
    chart = SUPERVISED.cut("validate").replace("batch", update("critic"), update("actor"))
    critic_steps = []

    def repeat(state):
        critic_steps.append(state.step)
        return "begin_critic" if len(critic_steps) % 3 else "begin_actor"

    _, signals = signals_of(chart, activities={"critic_done": repeat})
    assert [name for name in signals if name in ("begin_critic", "begin_actor")] == [
        *(["begin_critic"] * 3 + ["begin_actor"]) * 2
    ]


@pytest.mark.parametrize("scope", ["one", "other"])
def test_each_update_is_cancelled_by_itself(scope):
    class CancelUpdate(Cancel):
        pass

    CancelUpdate.scope = scope
    chart = SUPERVISED.cut("validate").replace("batch", update("one"), update("other"))
    trace = Trace()
    trainer = trainer_of(trace, chart=chart)

    @trainer.on("after_loss")
    def cancel(trainer, state):
        if f".{scope}." in state.phase:
            raise CancelUpdate("not now")

    state = trainer.fit(batches(2))
    assert trace.signals.count(f"after_cancel_{scope}") == 2
    assert trace.signals.count("after_one") == trace.signals.count("after_other") == 2
    assert state.step == 2


def test_inside_outer_scopes_the_fit_is_run_as_often_as_they_ask():
    chart = SUPERVISED.cut("validate").inside("folds.fold")
    folds = []

    def next_fold(state):
        folds.append(len(folds))
        return "begin_fold" if len(folds) <= 2 else "after_folds"

    def begin_fit(state):
        state.epoch = -1
        return "begin_fit"

    activities = {
        "folds.ready": next_fold,
        "fold.ready": begin_fit,
        "fold.done": lambda state: "after_fold",
    }
    trainer, signals = signals_of(chart, activities=activities)
    assert [s for s in signals if s.endswith(("folds", "fold", "_fit"))] == [
        "begin_folds",
        *["begin_fold", "begin_fit", "after_fit", "after_fold"] * 2,
        "after_folds",
    ]
    assert trainer.state.phase == "completed"
    assert chart.scope("run") == "folds"


def test_the_phases_around_an_inner_fit_begin_it_anew_and_close_its_scope():
    counters = []

    def next_fold(state):
        state.notes["left"] = state.metrics["left"] = 1
        return "begin_fold" if len(counters) < 2 else "after_folds"

    chart = SUPERVISED.inside("folds.fold")
    trainer = trainer_of(chart=chart, activities={"folds.ready": next_fold})

    @trainer.on("begin_fit")
    def look(trainer, state):
        counters.append((state.epoch, state.step, state.samples, state.n_epochs, {**state.notes}))
        assert (state.metrics, state.model[0].weight.grad) == ({}, None)

    @trainer.on("after_epoch")
    def shorten(trainer, state):
        state.n_epochs = 1
        state.model[0].weight.grad = torch.ones_like(state.model[0].weight)

    trainer.fit(batches(2), epochs=2)
    assert counters == [(-1, 0, 0, 2, {})] * 2
    assert trainer.state.step == 2


def test_phases_of_ones_own_take_the_place_of_those_defaults():
    ends = []

    def end_fold(state):
        ends.append(state.step)
        return "after_fold"

    activities = {
        "folds.ready": lambda state: "after_folds" if ends else "begin_fold",
        "done": end_fold,
    }
    trainer_of(chart=SUPERVISED.inside("folds.fold"), activities=activities).fit(batches(3))
    assert ends == [3]


def test_two_scopes_can_be_taken_out_one_after_the_other():
    chart = SUPERVISED.cut("validate").without("train").without("epoch")
    activities = {
        "batch.scored": lambda state: "begin_backward",
        "fetch": ACTIVITIES["train.fetch"],
    }
    trainer, signals = signals_of(chart, activities=activities, epochs=2)
    plain, _ = signals_of(SUPERVISED, epochs=2)
    assert all(map(torch.equal, weights(trainer), weights(plain)))
    assert not {"begin_epoch", "begin_train", "after_train", "after_epoch"} & {*signals}


def test_a_scope_taken_out_adds_nothing_around_the_activities_of_a_batch():
    registry = trainer_of(chart=SUPERVISED.without("epoch"))._registry
    assert registry.activity_of("fit.train.batch.forward") is forward
    assert registry.activity_of("fit.train.batch.zero_grad") is zero_grad


def test_operations_combine():
    chart = SUPERVISED.cut("validate").without("epoch").replace("batch", update("a"), update("b"))
    Topology(chart.inside("trials.trial"))
    assert chart.inside("trials").follows == {
        "trials.fit.train.batch.ready": "begin_a",
        "trials.fit.train.batch.a_done": "begin_b",
        "trials.fit.train.batch.b_done": "after_batch",
        "trials.ready": "begin_fit",
        "trials.done": "after_trials",
    }


def test_standard_names_have_their_roles_and_the_outermost_scope_is_the_run():
    assert dict(SUPERVISED.roles) == {
        "fit": "run",
        "epoch": "round",
        "train": "pass",
        "validate": "evaluation",
        "batch": "unit",
    }
    assert EVALUATION.scope("run") == "validate"
    assert SUPERVISED.scope("update") is None
    for seed in range(20):
        chart = Chart(random_chart(seed))
        outermost = {path for path in chart.scopes if "." not in path}
        assert len(outermost) > 1 or chart.scope("run") in outermost


def test_a_topology_keeps_the_roles_of_its_chart():
    roles = {"fit": "run", "batch": "unit"}
    assert Topology(Chart(SUPERVISED.rows, roles)).chart.roles == roles


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Chart(SUPERVISED.rows, {"fitt": "run"}), "no scope 'fitt'; did you mean fit"),
        (lambda: Chart(SUPERVISED.rows, {"fit": "runn"}), "did you mean run.*allowed: run, round"),
        (
            lambda: Chart(SUPERVISED.rows, {"fit": "run", "epoch": "run"}),
            "the role run is claimed by two scopes: fit, epoch; leave it to one of them",
        ),
        (lambda: Chart(SUPERVISED.rows, of={"generatr": "g"}), "no scope 'generatr'"),
        (lambda: Chart((("begin_fit", 3, "fit.ready"),)), "expected .trigger, source or sources"),
        (lambda: SUPERVISED.without("epok"), "no scope 'epok'"),
        (lambda: SUPERVISED.without("fit"), "outermost scope cannot be taken out"),
        (lambda: SUPERVISED.replace("batch", update("a")), "means several scopes: .*name one path"),
        (lambda: SUPERVISED.replace("train.batch"), "expected updates of different names"),
        (
            lambda: SUPERVISED.replace("train.batch", update("a"), update("a")),
            "expected updates of different names",
        ),
        (lambda: update("two words"), "allowed: an identifier"),
        (lambda: SUPERVISED.inside("epoch"), "'epoch'; allowed: an identifier that is no scope"),
        (lambda: SUPERVISED.inside("a..b"), "''; allowed: an identifier"),
    ],
)
def test_what_cannot_be_composed_is_refused_and_the_reason_named(make, message):
    with pytest.raises(ChartError, match=message):
        make()


def test_a_model_trained_by_an_update_equals_one_trained_by_the_plain_chart():
    chart = SUPERVISED.replace("train.batch", update("only"))
    ours, theirs = trainer_of(net=model(), chart=chart), trainer_of(net=model())
    ours.fit(batches(3), batches(2), epochs=2)
    theirs.fit(batches(3), batches(2), epochs=2)
    assert all(map(torch.equal, weights(ours), weights(theirs)))


def test_a_leaf_without_an_activity_is_refused_when_the_trainer_is_made():
    rows = [("pause", "fit.epoch.trained", "fit.epoch.pausing")]
    with pytest.raises(ChartError, match=r"'pause'.*no activity for fit.epoch.pausing.*'epoch.pau"):
        trainer_of(chart=SUPERVISED.plus(rows))


@pytest.mark.parametrize("chart", [SUPERVISED, SUPERVISED.without("epoch")])
def test_a_valid_loader_for_a_chart_without_validation_is_refused_by_fit(chart):
    trace = Trace()
    trainer = trainer_of(trace, chart=chart.cut("validate"))
    with pytest.raises(ValueError, match=r"valid_loader.: the chart has no validation after fit"):
        trainer.fit(batches(1), batches(1))
    assert trace.signals == []


def test_a_valid_loader_may_be_read_by_a_phase_of_ones_own():
    read = []

    def score(state):
        read.extend(state.valid_loader)
        return "after_epoch"

    chart = SUPERVISED.cut("validate")
    trainer_of(chart=chart, activities={"trained": score}).fit(batches(1), batches(2))
    assert len(read) == 2


HOLDOUT = [
    ("begin_holdout", "fit.epoch.trained", "fit.epoch.holdout.counted"),
    ("begin_item", "fit.epoch.holdout.counted", "fit.epoch.holdout.item.forward"),
    ("after_pred", "fit.epoch.holdout.item.forward", "fit.epoch.holdout.item.loss"),
    ("after_loss", "fit.epoch.holdout.item.loss", "fit.epoch.holdout.item.scored"),
    ("after_item", "fit.epoch.holdout.item", "fit.epoch.holdout.counted"),
    ("after_cancel_item", "fit.epoch.holdout.item", "fit.epoch.holdout.item.cancelled"),
    ("after_holdout", "fit.epoch.holdout", "fit.epoch.validated"),
    ("after_cancel_holdout", "fit.epoch.holdout", "fit.epoch.holdout.cancelled"),
]


def test_a_validation_scope_whose_gradients_nobody_switches_off_is_refused():
    activities = {
        "trained": lambda state: "begin_holdout",
        "holdout.counted": lambda state: "after_holdout",
        "item.scored": lambda state: "after_item",
    }
    with pytest.raises(
        ChartError,
        match=r"row .'begin_item'.*nobody switches them off.*roles=.…, 'holdout': \"evaluation\"",
    ):
        trainer_of(chart=SUPERVISED.plus(HOLDOUT), activities=activities)
    chart = SUPERVISED.plus(HOLDOUT, roles={"holdout": "evaluation"})
    trainer_of(chart=chart, activities=activities)


def test_a_misspelt_activity_is_refused_when_the_trainer_is_made():
    with pytest.raises(ChartError, match=r"no phase 'zero_grd'; did you mean zero_grad"):
        trainer_of(activities={"zero_grd": lambda state: "after_batch"})


def test_an_activity_that_no_phase_uses_is_refused_before_a_signal_is_sent():
    trace = Trace()
    trainer = trainer_of(trace, activities={"penalize": lambda state: "after_batch"})
    with pytest.raises(ChartError, match=r"no phase 'penalize'; phases are idle, "):
        trainer.fit(batches(1))
    assert trace.signals == []


def test_gradients_are_off_in_every_scope_with_the_role_of_an_evaluation():
    rows = [
        ("begin_probe", "fit.epoch.trained", "fit.epoch.probe.forward"),
        ("after_cancel_probe", "fit.epoch.probe", "fit.epoch.probe.cancelled"),
        ("after_probe", "fit.epoch.probe", "fit.epoch.validated"),
    ]
    modes = []

    def forward(state):
        modes.append(torch.is_grad_enabled())
        return "after_probe"

    activities = {"trained": lambda state: "begin_probe", "probe.forward": forward}
    chart = SUPERVISED.plus(rows, roles={"probe": "evaluation"})
    trainer_of(chart=chart, activities=activities).fit(batches(1))
    trainer_of(chart=SUPERVISED.plus(rows), activities=activities).fit(batches(1))
    assert modes == [False, True]


def test_a_renamed_chart_with_updates_runs():
    chart = SUPERVISED.cut("validate").replace("batch", update("one"), update("other"))
    _, signals = signals_of(chart.renamed({"batch": "frame"}))
    assert signals.count("after_frame") == signals.count("after_other") == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SUPERVISED.renamed({"epoch": "train"}), "'train'; allowed: an identifier"),
        (lambda: SUPERVISED.renamed({"epoch": "a b.c"}), "'a b.c'; allowed: an identifier"),
        (lambda: SUPERVISED.without("epoch").renamed({"fit": "job"}), "rename before"),
        (lambda: SUPERVISED.replace("train.batch", update("train")), "'train'; allowed: an ident"),
        (lambda: SUPERVISED.inside("fold.fold"), "'fold'; allowed: an identifier"),
        (lambda: SUPERVISED.cut("fit"), "outermost scope cannot be taken out"),
        (lambda: SUPERVISED.replace("fit", update("x")), "outermost scope keeps its own work"),
        (
            lambda: SUPERVISED.replace("train.batch", update("a"), update("b")).cut("a"),
            "it is an update; leave it out",
        ),
        (
            lambda: Topology([row for row in SUPERVISED if row[0] != "after_cancel_epoch"]),
            r"'begin_epoch'.* no after_cancel_epoch; add a row .'after_cancel_epoch', 'fit.epoch'",
        ),
        (lambda: Topology([("go", "a.x", "a.y"), ("back", "a.y", "a.x")]), "no row begin_a leads"),
    ],
)
def test_operations_that_would_not_compose_are_refused_at_once(make, message):
    with pytest.raises(ChartError, match=message):
        make()


def test_the_votes_of_a_chart_are_kept_by_its_operations():
    assert SUPERVISED.votes == ("after_loss",)
    chart = dataclasses.replace(SUPERVISED, votes=("after_loss", "after_epoch"))
    assert chart.without("epoch").votes == ("after_loss",)
    assert chart.renamed({"epoch": "iteration"}).votes == ("after_loss", "after_iteration")
    assert chart.inside("folds.fold").votes == chart.cut("validate").votes == chart.votes
    assert chart.plus([("again", "fit.epoch.trained", "fit.epoch.trained")]).votes == chart.votes
    assert dataclasses.replace(SUPERVISED, votes=()).votes == ()


def test_a_vote_after_a_trigger_that_no_row_has_is_refused():
    with pytest.raises(ChartError, match=r"no row has the trigger 'after_los'; did you mean"):
        dataclasses.replace(SUPERVISED, votes=("after_los",))


def test_a_chart_is_equal_to_its_rows_and_to_no_other_kind_of_value():
    assert SUPERVISED.rows == SUPERVISED
    assert [*SUPERVISED.rows] != SUPERVISED
    assert SUPERVISED.cut("validate") != SUPERVISED


def test_rows_with_two_outermost_scopes_are_not_put_inside_another():
    with pytest.raises(ChartError, match=r"inside\('a'\): outermost scopes are b, c; allowed: one"):
        nest((), ["b", "b.d", "c"], ["a"])

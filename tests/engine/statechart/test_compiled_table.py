"""The machine and the compiled table follow the chart, also with callbacks on the machine."""

import functools
import gc
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import SCOPES, SIGNALS, Raise, Rig, by_hand
from transitions import MachineError
from transitions.core import Condition

from trackside.engine import EVALUATION, SUPERVISED, IllegalTransitionError, Topology, Trainer
from trackside.engine.loop.activities import ACTIVITIES
from trackside.engine.loop.activity_registry import ActivityRegistry
from trackside.engine.statechart.machine import build_machine
from trackside.engine.statechart.machine_rows import compile_table
from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    TrainState,
    any_transition,
)

CHARTS = {"supervised": SUPERVISED, "evaluation": EVALUATION}
TRIGGERS = (*dict.fromkeys(row[0] for chart in CHARTS.values() for row in chart), "begin_nothing")
BATCH = "fit.epoch.train.batch"
PLANS = (
    (),
    (Raise(CancelStepException, "begin_step", 1), Raise(CancelTrainException, "model", 3)),
    (Raise(CancelBatchException, "after_backward", 2), Raise(ValueError, "after_train", 2)),
    (Raise(CancelEpochException, "after_loss", 4), Raise(CancelFitException, "begin_epoch", 2)),
)
IDS = ("undisturbed", "step and train", "batch and error", "epoch and fit")
CANCELS = (CancelStepException, CancelBatchException, CancelTrainException, CancelEpochException)


def trainer_of(world, **kwargs):
    return Trainer(world.model, world.loss_fn, world.optimizer, **kwargs)


@pytest.fixture
def rig():
    return Rig(trainer_of)


undisturbed = functools.cache(by_hand)


# the chart, the machine and the table


def paths(chart):
    """The leaves of a chart, computed from its rows alone."""
    leaves = set()
    for _, source, destination in chart:
        leaves.add(destination)
        leaves.update(s for s in ((source,) if isinstance(source, str) else source) if "." not in s)
    composites = {leaf.rsplit(".", n)[0] for leaf in leaves for n in range(1, leaf.count(".") + 1)}
    return sorted(leaves - composites)


def destination(chart, leaf, trigger):
    """The destination by the row with the innermost source around `leaf`; None without one."""
    matching = {
        source: row[2]
        for row in reversed(chart)
        if row[0] == trigger
        for source in ((row[1],) if isinstance(row[1], str) else row[1])
        if leaf == source or leaf.startswith(source + ".")
    }
    return matching[max(matching, key=len)] if matching else None


def pairs(name):
    return [(leaf, trigger) for leaf in paths(CHARTS[name]) for trigger in TRIGGERS]


@pytest.fixture(scope="module", params=CHARTS)
def chart(request):
    return request.param


class Copies:
    """Machine and compiled table of a chart, with a live phase that can be set by hand."""

    def __init__(self, name):
        self.state = TrainState(model=torch.nn.Identity())
        self.machine = build_machine(Topology(CHARTS[name]), self.state)
        activities = ActivityRegistry(ACTIVITIES)
        sender = Trainer(torch.nn.Identity())
        self.table = compile_table(self.machine, self.state, sender, activities.activity_of)

    def by_library(self, leaf, trigger):
        """The phase to which the library's machine goes; None if it refuses."""
        self.state.phase = leaf
        try:
            moved = self.machine.trigger_event(self.machine.models[0], trigger, self.state)
        except (MachineError, AttributeError):  # the latter: no row has such a trigger
            moved = False
        assert moved or self.state.phase == leaf
        return self.state.phase if moved else None

    def by_table(self, leaf, trigger):
        """The phase to which the table leads; None if it refuses."""
        compiled = self.table[leaf]
        self.state.phase = leaf
        if trigger in compiled.rows:
            return compiled.rows[trigger].leaf.phase
        with pytest.raises(IllegalTransitionError):
            compiled.activity_rows[trigger]
        assert self.state.phase == leaf
        return None


CAUSED = "after_cancel_", "begin_retry", "begin_rollback"
"""How the triggers begin that no activity returns."""


@pytest.fixture(scope="module")
def copies(chart):
    return Copies(chart)


def test_the_machine_follows_the_chart_for_every_leaf_and_trigger(chart, copies):
    for leaf, trigger in pairs(chart):
        expected = destination(CHARTS[chart], leaf, trigger)
        assert copies.by_library(leaf, trigger) == expected, (leaf, trigger)


def test_the_table_follows_the_chart_for_every_leaf_and_trigger(chart, copies):
    for leaf, trigger in pairs(chart):
        expected = destination(CHARTS[chart], leaf, trigger)
        assert copies.by_table(leaf, trigger) == expected, (leaf, trigger)


def test_the_table_has_exactly_the_leaves_and_rows_of_the_chart(chart, copies):
    assert sorted(copies.table) == paths(CHARTS[chart])
    for leaf, compiled in copies.table.items():
        legal = {t for t in TRIGGERS if destination(CHARTS[chart], leaf, t) is not None}
        outer = leaf.split(".")[:-2]
        closing = {"after_error"} | {t for t in legal if t.removeprefix("after_") in outer}
        returned = {t for t in legal - closing if not t.startswith(CAUSED)}
        assert set(compiled.rows) == legal
        assert returned <= set(compiled.activity_rows) <= legal
        for trigger, row in compiled.rows.items():
            assert compiled.activity_rows.get(trigger, row) is row
            assert row.transition == (trigger, leaf, destination(CHARTS[chart], leaf, trigger))
            assert row.signal.name == trigger


def test_an_illegal_trigger_raises_and_the_legal_ones_are_listed(copies):
    with pytest.raises(
        IllegalTransitionError, match=r"cannot fire 'after_loss' in idle; allowed here: begin_\w+$"
    ):
        copies.table["idle"].activity_rows["after_loss"]


def test_rows_refer_to_the_leaves_of_the_table_itself(copies):
    for compiled in copies.table.values():
        for row in compiled.rows.values():
            assert row.leaf is copies.table[row.leaf.phase]


# rows that the library fires

HOOKS = {}


def hook(function):
    HOOKS[function.__name__] = function
    return function


@hook
def condition_on_every_row(machine, call):
    for transition in machine.get_transitions():
        transition.conditions.append(Condition(call))


@hook
def before_every_row(machine, call):
    for transition in machine.get_transitions():
        transition.add_callback("before", call)


@hook
def after_every_row(machine, call):
    for transition in machine.get_transitions():
        transition.add_callback("after", call)


@hook
def prepare_of_one_trigger(machine, call):
    machine.events["after_batch"].add_callback("prepare", call)


@hook
def condition_on_the_closing_rows(machine, call):
    for trigger, event in machine.events.items():
        if trigger.startswith("after_"):
            for transition in (t for rows in event.transitions.values() for t in rows):
                transition.conditions.append(Condition(call))


@hook
def on_enter_of_a_leaf(machine, call):
    machine.on_enter(f"{BATCH}.step.run", call)


@hook
def on_exit_of_a_leaf(machine, call):
    machine.on_exit("fit.ready", call)


@hook
def on_enter_of_a_composite(machine, call):
    machine.on_enter(BATCH, call)


@hook
def on_exit_of_a_composite(machine, call):
    machine.on_exit("fit.epoch", call)


@hook
def before_state_change(machine, call):
    machine.before_state_change = call


@hook
def after_state_change(machine, call):
    machine.after_state_change = call


@hook
def prepare_event(machine, call):
    machine.prepare_event = call


@hook
def finalize_event(machine, call):
    machine.finalize_event = call


@pytest.mark.parametrize("entries", PLANS, ids=IDS)
@pytest.mark.parametrize("add_callbacks", HOOKS.values(), ids=HOOKS)
def test_callbacks_on_the_machine_are_called_and_change_nothing(rig, add_callbacks, entries):
    called = []

    def call(state):
        called.append(state)
        return True

    add_callbacks(rig.trainer.machine, call)
    assert rig.run(entries) == by_hand(entries)
    assert called
    assert all(state is rig.trainer.state for state in called)


@given(
    st.lists(
        st.builds(
            Raise,
            st.sampled_from((CancelFitException, CancelTrainException, ValueError, SystemExit)),
            st.sampled_from(SIGNALS),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple)
)
@settings(max_examples=40)
def test_a_fit_through_the_library_equals_a_fit_through_the_table(entries):
    rig = Rig(trainer_of)
    condition_on_every_row(rig.trainer.machine, lambda state: True)
    assert rig.run(entries) == by_hand(entries)


def test_callbacks_are_called_only_for_their_rows_and_phases(rig):
    phases = []
    rig.trainer.machine.on_exit(f"{BATCH}.scored", lambda state: phases.append(state.phase))
    rig.trainer.machine.on_enter("fit.epoch.trained", lambda state: phases.append(state.phase))
    rig.run()
    scored, trained = f"{BATCH}.scored", "fit.epoch.trained"
    assert phases == 2 * [scored, scored, scored, trained]


def test_the_next_row_is_taken_if_a_condition_refuses_the_first(rig):
    machine = rig.trainer.machine
    step = machine.get_transitions("after_step", f"{BATCH}.step.cancelled")[0]
    step.conditions.append(Condition(lambda state: False))
    entries = (Raise(CancelStepException, "begin_step", 1),)
    after = []
    rig.trainer.on("after_step")(lambda trainer, state: after.append(state.phase))
    signals = rig.run(entries).signals
    assert signals == by_hand(entries).signals
    assert after[0] == f"{BATCH}.zero_grad"


def test_rows_that_conditions_have_chosen_leave_no_route(rig):
    machine = rig.trainer.machine
    for row in machine.get_transitions("begin_validate"):
        row.conditions.append(Condition(lambda state: False))
    machine.add_transition("begin_validate", "fit.epoch.trained", "fit.epoch.validated")
    gc.collect()
    before = len(any_transition._routes)
    assert rig.run().ends == "completed"
    assert len(any_transition._routes) <= before


# conditions that refuse


def refuse(machine, trigger):
    for transition in machine.get_transitions(trigger):
        transition.conditions.append(Condition(lambda state: False))


def assert_closed(signals):
    for scope in SCOPES:
        assert signals.count(f"begin_{scope}") == signals.count(f"after_{scope}"), scope


@pytest.mark.parametrize("trigger", sorted(set(undisturbed().signals) - {"begin_fit"}))
def test_a_refusing_condition_is_an_error_and_every_scope_closes(rig, trigger):
    refuse(rig.trainer.machine, trigger)
    result = rig.run()
    assert result.escaped[0] == "IllegalTransitionError"
    assert f"a condition on '{trigger}' in " in result.escaped[1]
    assert (trigger in result.signals) == (trigger.removeprefix("after_") in SCOPES)
    assert_closed(result.signals)
    assert result.signals[-2:] == ["after_error", "after_fit"]
    assert result.ends == "failed"


@pytest.mark.parametrize("before", ["idle", "completed", "cancelled", "failed"])
def test_a_condition_that_refuses_begin_fit_leaves_the_phase_unchanged(rig, before):
    kind = {"cancelled": CancelFitException, "failed": ValueError}.get(before)
    if before != "idle":
        rig.run((Raise(kind, "after_loss", 1),) if kind else ())
    allowed = []
    (row,) = rig.trainer.machine.get_transitions("begin_fit", before)
    row.conditions.append(Condition(lambda state: bool(allowed)))
    result = rig.run()
    assert (result.escaped[0], result.signals, result.ends) == (
        "IllegalTransitionError",
        [],
        before,
    )
    allowed.append(True)
    assert rig.run() == undisturbed()


@pytest.mark.parametrize(
    ("trigger", "entries"),
    [
        *(
            (f"after_cancel_{cancel.scope}", (Raise(cancel, "begin_step", 2),))
            for cancel in CANCELS
        ),
        ("after_error", (Raise(ValueError, "after_loss", 2),)),
    ],
)
def test_a_condition_on_a_closing_row_keeps_no_scope_open(rig, trigger, entries):
    refuse(rig.trainer.machine, trigger)
    result = rig.run(entries)
    assert result.escaped[0] in ("IllegalTransitionError", "ValueError")
    assert result.signals.count(trigger) == 1
    assert_closed(result.signals)
    assert result.ends == "failed"


@pytest.mark.parametrize(
    "trigger",
    ["after_train", "after_epoch", "after_cancel_batch", "after_cancel_fit", "after_error"],
)
def test_an_activity_cannot_return_a_trigger_that_skips_a_scope(rig, trigger):
    """Unwinding may use such a row; an activity closes no scope but its own."""
    undo = rig.trainer.wrap("forward", lambda forward: lambda state: trigger)
    result = rig.run()
    assert_closed(result.signals)
    assert (result.escaped[0], result.ends) == ("IllegalTransitionError", "failed")
    undo()
    assert rig.run() == undisturbed()


# callbacks that raise


def raising_once(error):
    errors = [error]

    def call(state):
        if errors:
            raise errors.pop()

    return call


@pytest.mark.parametrize("moment", ["prepare", "before", "after"])
@pytest.mark.parametrize("trigger", ["begin_batch", "after_loss", "after_step", "after_batch"])
def test_an_error_in_a_callback_closes_every_scope(rig, trigger, moment):
    rig.trainer.machine.events[trigger].add_callback(moment, raising_once(OSError("callback")))
    result = rig.run()
    assert result.escaped == ("OSError", "callback")
    assert_closed(result.signals)
    assert result.signals[-2:] == ["after_error", "after_fit"]
    assert rig.run() == undisturbed()


@pytest.mark.parametrize("moment", ["prepare", "before", "after"])
def test_a_cancel_raised_by_a_callback_cancels(rig, moment):
    cancel = CancelTrainException("callback")
    rig.trainer.machine.events["after_loss"].add_callback(moment, raising_once(cancel))
    result = rig.run()
    assert result.signals.count("after_cancel_train") == 1
    assert_closed(result.signals)
    assert result.ends == "completed"


def test_a_closing_signal_reaches_all_receivers_if_a_callback_raises(rig):
    called = []
    error = OSError("callback")
    rig.trainer.machine.events["after_batch"].add_callback("after", raising_once(error))

    @rig.trainer.on("after_batch", once=True)
    def receiver(trainer, state):
        raise KeyError("receiver")

    rig.trainer.on("after_batch")(lambda trainer, state: called.append(state.phase))
    with pytest.raises(OSError, match="callback") as caught:
        rig.trainer.fit(rig.world.train_loader)
    assert called == ["fit.epoch.train.fetch"]
    assert any("KeyError: 'receiver'" in note for note in caught.value.__notes__)


def test_outcome_is_failed_if_a_callback_raises_during_a_cancel(rig):
    closes = rig.trainer.machine.events["after_batch"]
    closes.add_callback("after", raising_once(OSError("callback")))
    result = rig.run((Raise(CancelEpochException, "after_loss", 1),))
    assert result.outcomes[0] == ("after_batch", "failed")


def test_every_transition_is_published_if_on_exception_swallows_an_error(rig):
    machine = rig.trainer.machine
    machine.on_exception = lambda state: None
    machine.events["after_batch"].add_callback("after", raising_once(OSError("swallowed")))
    assert rig.run() == undisturbed()


# phases and rows added by a host


def trainer_with_warm_up(world, done):
    """A trainer with a phase added to its machine, before the training of the first epoch."""

    def warm(state):
        done.append(state.phase)
        return "begin_train"

    trainer = trainer_of(world, activities={"warm": warm})
    trainer.machine.add_states("fit.epoch.warm")
    trainer.machine.add_transition("warm_up", "fit.epoch.ready", "fit.epoch.warm")
    trainer.machine.add_transition("begin_train", "fit.epoch.warm", "fit.epoch.train.fetch")

    def first(begin_training):
        def warm_up_first(state):
            trigger = begin_training(state)
            return "warm_up" if state.epoch == 0 else trigger

        return warm_up_first

    trainer.wrap("epoch.ready", first)
    return trainer


def test_a_phase_and_rows_added_by_a_host_are_used():
    done, seen = [], []
    rig = Rig(lambda world: trainer_with_warm_up(world, done))

    @rig.trainer.on("any_transition")
    def watch(trainer, state, transition):
        seen.append(tuple(transition))

    assert rig.run() == undisturbed()
    assert done == ["fit.epoch.warm"]
    at = seen.index(("warm_up", "fit.epoch.ready", "fit.epoch.warm"))
    assert seen[at + 1] == ("begin_train", "fit.epoch.warm", "fit.epoch.train.fetch")


@pytest.mark.parametrize("kind", [CancelEpochException, CancelFitException, ValueError])
def test_every_scope_closes_from_a_phase_added_by_a_host(kind):
    rig = Rig(lambda world: trainer_with_warm_up(world, []))

    def failing(warm):
        def fail(state):
            raise kind("in the warm-up")

        return fail

    rig.trainer.wrap("warm", failing)
    result = rig.run()
    assert_closed(result.signals)
    assert result.ends == {"epoch": "completed", "fit": "cancelled"}.get(
        getattr(kind, "scope", ""), "failed"
    )


def test_a_row_added_by_a_host_before_those_of_the_chart_wins(rig):
    """A condition on the row of the chart, and a row of the host that is used if it refuses."""
    machine = rig.trainer.machine
    row, _ = machine.get_transitions("begin_validate")
    row.conditions.append(Condition(lambda state: state.epoch == 1))
    machine.add_transition("begin_validate", "fit.epoch.trained", "fit.epoch.validated")
    result = rig.run()
    assert (result.escaped, result.ends) == ((), "completed")
    assert result.signals.count("after_validate") == 1


def test_a_phase_without_an_activity_is_refused_before_the_run(rig):
    rig.trainer.machine.add_states("fit.epoch.idle")
    rig.trainer.machine.add_transition("begin_train", "fit.epoch.ready", "fit.epoch.idle")
    rig.trainer.machine.add_transition("wait", "fit.epoch.ready", "fit.epoch.idle")
    result = rig.run()
    assert result.escaped[0] == "IllegalTransitionError"
    assert "that phase has no activity" in result.escaped[1]
    assert (result.signals, result.ends) == ([], "idle")


def test_a_row_of_a_host_into_a_composite_is_refused_before_the_run(rig):
    rig.trainer.machine.add_transition("again", "fit.epoch.ready", "fit.epoch.train")
    result = rig.run()
    assert result.escaped[0] == "IllegalTransitionError"
    assert "does not lead to a leaf phase" in result.escaped[1]
    assert (result.signals, result.ends) == ([], "idle")


def test_a_callback_added_during_a_run_is_used_from_the_next_run_on(rig):
    called = []

    @rig.trainer.on("begin_fit", once=True)
    def add_callback(trainer, state):
        trainer.machine.events["after_loss"].add_callback("before", called.append)

    assert rig.run() == undisturbed()
    assert called == []
    assert rig.run() == undisturbed()
    assert called


# the live phase


@pytest.mark.parametrize("entries", PLANS, ids=IDS)
@pytest.mark.parametrize("through", [None, before_every_row], ids=["table", "library"])
def test_the_machine_has_the_live_phase_in_every_receiver(through, entries):
    published, received = [], []

    def watched(world):
        trainer = trainer_of(world)
        (model,) = trainer.machine.models

        @trainer.on("any_transition")
        def watch(trainer, state, transition):
            published.append((transition.trigger, transition.destination, transition.destination))

        for signal in SIGNALS:

            @trainer.on(signal)
            def receiver(trainer, state, signal=signal):
                received.append((signal, model.phase, state.phase))

        return trainer

    rig = Rig(watched)
    if through:
        through(rig.trainer.machine, lambda state: None)
    assert rig.run(entries) == by_hand(entries)
    assert received == published


def test_each_transition_begins_where_the_previous_one_ended(rig):
    for entries in PLANS:
        seen = []

        @rig.trainer.on("any_transition")
        def watch(trainer, state, transition, seen=seen):
            seen.append(transition)

        rig.run(entries)
        for one, other in itertools.pairwise(seen):
            assert one.destination == other.source
        for trigger, source, entered in seen:
            assert destination(SUPERVISED, source, trigger) == entered

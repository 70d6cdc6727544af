"""Each part of the `transitions` library that the compiled table depends on, by name."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transitions
from helpers import batches, trainer_of
from transitions.extensions.nesting import HierarchicalMachine, NestedState, NestedTransition

from trackside.engine import SUPERVISED, IllegalTransitionError, Topology
from trackside.engine.statechart.machine import build_machine
from trackside.engine.statechart.machine_rows import LibraryRows, compile_table
from trackside.engine.statechart.transitions_internals import (
    KNOWN,
    Machine,
    Phase,
    attributes,
    fire,
    first_rows,
    has_callbacks,
    phases_of,
    rows_by_source,
)
from trackside.events import TrainState

ENGINE = Path(__file__).parents[3] / "engine"
FETCH, FORWARD = "fit.epoch.train.fetch", "fit.epoch.train.batch.forward"


@pytest.fixture
def state():
    return TrainState(model=torch.nn.Identity())


@pytest.fixture
def machine(state):
    return build_machine(Topology(SUPERVISED), state)


def event_of(machine):
    return machine.events["begin_batch"]


def transition_of(machine):
    return event_of(machine).transitions[FETCH][0]


PARTS = {
    "Machine": lambda machine: machine,
    "NestedEvent": event_of,
    "Phase": lambda machine: phases_of(machine)[FETCH],
    "NestedTransition": transition_of,
}


@pytest.fixture(params=PARTS)
def part(request, machine):
    return PARTS[request.param](machine)


def compiled(machine, state):
    """The (leaf, trigger) pairs that the table has compiled."""
    table = compile_table(machine, state, trainer_of(), lambda phase: lambda state: "")
    return {
        (leaf.phase, trigger)
        for leaf in table.values()
        for trigger in leaf.rows
        if trigger in leaf.closing_rows
    }


def test_every_attribute_of_the_library_is_known(part):
    known = KNOWN[type(part)]
    unknown = attributes(part) - known.callbacks - known.data
    assert unknown <= {"events"}, f"{type(part).__name__} of transitions has new attributes"


def test_every_known_attribute_is_one_of_the_library(part):
    known = KNOWN[type(part)]
    missing = {name for name in known.callbacks | known.data if not hasattr(part, name)}
    assert missing == set(), f"{type(part).__name__} of transitions has lost attributes"


def test_every_callback_list_is_empty_in_a_new_machine(part):
    assert not has_callbacks(part)
    assert all(getattr(part, name) == [] for name in KNOWN[type(part)].callbacks)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (NestedTransition, {"before", "after", "prepare"}),
        (NestedState, {"on_enter", "on_exit", "on_final"}),
    ],
    ids=["NestedTransition", "NestedState"],
)
def test_dynamic_methods_are_the_known_callbacks(kind, names):
    assert set(kind.dynamic_methods) == names


def test_events_hold_their_transitions_by_source(machine):
    transition = transition_of(machine)
    assert (transition.source, transition.dest) == (FETCH, FORWARD)
    rows = rows_by_source(machine)
    assert first_rows(rows, FETCH)["begin_batch"] == (FETCH, FORWARD, False)
    assert "begin_batch" not in first_rows(rows, FORWARD)


def test_states_hold_their_substates_by_name(machine):
    assert list(phases_of(machine))[:3] == ["idle", "fit", "fit.ready"]
    assert phases_of(machine)["fit.epoch"] is machine.states["fit"].states["epoch"]


def test_state_cls_and_separator_decide_how_a_phase_is_written(machine):
    assert HierarchicalMachine.state_cls is NestedState
    assert {type(phase) for phase in phases_of(machine).values()} == {Phase}
    assert machine.get_state("fit.epoch.ready").name == "ready"


def test_trigger_event_moves_the_model_and_calls_back_with_the_argument(machine, state):
    called = []
    transition_of(machine).before.append(called.append)
    state.phase = FETCH
    assert fire(machine, "begin_batch", state)
    assert (state.phase, called) == (FORWARD, [state])


def test_trigger_event_returns_false_if_a_condition_refuses(machine, state):
    machine.add_transition("leave", FETCH, FORWARD, conditions=lambda state: False)
    state.phase = FETCH
    assert fire(machine, "leave", state) is False
    assert state.phase == FETCH


def test_trigger_event_without_a_row_raises_machine_error(machine, state):
    with pytest.raises(transitions.MachineError, match="begin_batch"):
        fire(machine, "begin_batch", state)


def test_everything_is_compiled_in_a_new_machine(machine, state):
    rows = Topology(SUPERVISED).table
    pairs = {(leaf, trigger) for leaf, exits in rows.items() for trigger in exits}
    assert compiled(machine, state) == pairs


class TimedTransition(NestedTransition):
    """A kind of transition with a kind of callback that the engine does not know."""

    dynamic_methods = (*NestedTransition.dynamic_methods, "on_timeout")


class TimedPhase(Phase):
    """A kind of state with a kind of callback that the engine does not know."""

    dynamic_methods = (*Phase.dynamic_methods, "on_timeout")


class TimedMachine(Machine):
    """A kind of machine that does something at each transition."""


def set_list(part):
    part.on_timeout = [print]


def add_nested_event(phase):
    phase.events = {"begin_batch": object()}


@pytest.mark.parametrize("change", [set_list, lambda t: setattr(t, "__class__", TimedTransition)])
def test_an_unknown_kind_of_callback_on_a_transition_leaves_its_row_uncompiled(
    machine, state, change
):
    before = compiled(machine, state)
    change(transition_of(machine))
    assert before - compiled(machine, state) == {(FETCH, "begin_batch")}


@pytest.mark.parametrize(
    "change",
    [set_list, add_nested_event, lambda phase: setattr(phase, "__class__", TimedPhase)],
)
def test_an_unknown_kind_of_callback_on_a_state_leaves_its_rows_uncompiled(machine, state, change):
    before = compiled(machine, state)
    change(phases_of(machine)[FETCH])
    left = before - compiled(machine, state)
    assert {(FETCH, "begin_batch"), (FETCH, "after_train"), (FORWARD, "after_batch")} <= left
    assert (FORWARD, "after_pred") not in left


def test_an_unknown_kind_of_callback_on_an_event_leaves_its_rows_uncompiled(machine, state):
    before = compiled(machine, state)
    set_list(event_of(machine))
    left = before - compiled(machine, state)
    assert left == {pair for pair in before if pair[1] == "begin_batch"}


@pytest.mark.parametrize("change", [set_list, lambda m: setattr(m, "__class__", TimedMachine)])
def test_an_unknown_kind_of_callback_on_the_machine_leaves_every_row_uncompiled(
    machine, state, change
):
    change(machine)
    assert compiled(machine, state) == set()


def test_a_callback_list_that_a_class_declares_later_is_read(machine, state, monkeypatch):
    monkeypatch.setattr(
        NestedTransition, "dynamic_methods", [*NestedTransition.dynamic_methods, "on_timeout"]
    )
    monkeypatch.setattr(NestedTransition, "on_timeout", [], raising=False)
    before = compiled(machine, state)
    transition_of(machine).on_timeout = [print]
    assert before - compiled(machine, state) == {(FETCH, "begin_batch")}


def test_a_fit_with_an_unknown_kind_of_callback_goes_through_the_library(monkeypatch):
    trainer, fired = trainer_of(), []
    set_list(transition_of(trainer.machine))
    trigger_event = Machine.trigger_event
    monkeypatch.setattr(
        Machine,
        "trigger_event",
        lambda machine, model, trigger, *args: (
            fired.append(trigger) or trigger_event(machine, model, trigger, *args)
        ),
    )
    trainer.fit(batches(2))
    assert set(fired) == {"begin_batch"}


def test_no_other_file_of_the_engine_imports_the_library():
    importing = {
        path.name
        for path in ENGINE.rglob("*.py")
        if "from transitions" in path.read_text(encoding="utf-8")
    }
    assert importing == {"transitions_internals.py"}


def test_a_row_that_a_host_has_removed_is_none(machine):
    assert "begin_batch" in rows_by_source(machine)[FETCH]
    machine.remove_transition("begin_batch", source=FETCH)
    assert "begin_batch" not in rows_by_source(machine).get(FETCH, {})


def test_a_trigger_that_the_machine_does_not_have_in_a_phase_is_illegal(machine, state):
    rows = LibraryRows(machine, state)
    with pytest.raises(IllegalTransitionError, match="after_loss"):
        rows.fire({}, SimpleNamespace(phase=state.phase), "after_loss")
    assert state.phase == "idle"

"""Whatever is raised, and whatever it refuses: every scope closes, and the next fit is whole."""

import logging

import attack
import pytest
from attack import Scenario
from attacked import MACHINE_POINTS
from oracle import Raise, Rig, by_hand
from strange import (
    INCOMPLETE,
    REFUSING,
    Bare,
    Closed,
    Escalating,
    Frozen,
    FrozenCancel,
    Interrupting,
    Slotted,
)

from trackside.engine import Trainer
from trackside.events import CancelBatchException

POINTS = (
    *("begin_fit", "begin_batch", "after_loss", "model", "backward", "optimizer", "after_step"),
    *("after_batch", "begin_validate", "after_epoch", "after_fit", "loader"),
)


@pytest.fixture
def rig():
    return Rig(lambda world: Trainer(world.model, world.loss_fn, world.optimizer))


def escaped(rig, entries):
    """What escapes from a fit in which `entries` are raised."""
    rig.begin(entries)
    try:
        rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader, epochs=2)
    except BaseException as error:
        return error
    return None


def assert_closed(rig, plain):
    """Check that the signals, the weights and the phase are those of the plain exceptions."""
    ours, theirs = rig.result(), by_hand(plain)
    assert ours.log == theirs.log
    assert [m[:4] for m in ours.moments] == [m[:4] for m in theirs.moments]
    assert ours.tensors[0].equal(theirs.tensors[0])
    assert ours.ends == theirs.ends
    assert not rig.trainer.is_closing
    assert rig.run() == by_hand()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", REFUSING)
def test_an_error_that_refuses_everything_closes_every_scope(rig, kind, point):
    error = escaped(rig, (Raise(kind, point, 1),))
    assert type(error) is (KeyboardInterrupt if kind is Escalating else kind)
    assert_closed(rig, (Raise(ValueError, point, 1),))


@pytest.mark.parametrize("point", ["after_loss", "model", "optimizer", "after_pred"])
@pytest.mark.parametrize("kind", INCOMPLETE)
def test_a_cancel_without_its_attributes_closes_its_scope(rig, kind, point):
    assert escaped(rig, (Raise(kind, point, 1),)) is None
    assert_closed(rig, (Raise(kind.__mro__[1], point, 1),))


@pytest.mark.parametrize("second", REFUSING)
@pytest.mark.parametrize("first", [*REFUSING, *INCOMPLETE])
def test_two_strange_exceptions_close_every_scope_once(rig, first, second):
    error = escaped(rig, (Raise(first, "after_loss", 1), Raise(second, "after_batch", 1)))
    assert type(error) in {first, second, KeyboardInterrupt}
    plain = first.__mro__[1] if first in INCOMPLETE else ValueError
    assert_closed(rig, (Raise(plain, "after_loss", 1), Raise(ValueError, "after_batch", 1)))


def test_a_note_that_is_refused_is_logged(rig, caplog):
    with caplog.at_level(logging.ERROR, logger="trackside"):
        escaped(rig, (Raise(Frozen, "after_loss", 1), Raise(OSError, "after_batch", 1)))
    assert "Frozen takes no notes" in caplog.text
    assert "OSError at after_batch 1" in caplog.text


def test_a_cancel_without_its_attributes_can_be_requested_and_outranked(rig):
    rig.trainer.on("after_pred", once=True)(
        lambda trainer, state: [trainer.request(kind("asked")) for kind in INCOMPLETE]
    )
    rig.run()
    state = rig.trainer.state
    assert (state.outcome, type(state.cancel)) == ("cancelled", Slotted)
    assert {type(cancel) for cancel in state.cancel.also} == {Bare, FrozenCancel, Closed}


@pytest.mark.parametrize("point", ["begin_fit", "loader", "model", "backward", "after_batch"])
def test_a_generator_exit_of_user_code_is_an_error(rig, point):
    """It does not count as the host closing the iterator."""
    assert type(escaped(rig, (Raise(GeneratorExit, point, 1),))) is GeneratorExit
    assert_closed(rig, (Raise(KeyboardInterrupt, point, 1),))


# nonsense in the phase


NONSENSE = ("nonsense", "fit.ready", "completed", "", 5, None, [], "fit.epoch.train.batch.nowhere")


@pytest.mark.parametrize("kind", [ValueError, CancelBatchException])
@pytest.mark.parametrize("phase", NONSENSE)
def test_a_phase_that_a_handler_writes_is_told_and_closes_all_scopes(rig, phase, kind):
    @rig.trainer.on("after_loss", once=True)
    def write(trainer, state):
        state.phase = phase
        raise kind("at after_loss 1")

    error = escaped(rig, ())
    told = [str(error), *getattr(error, "__notes__", ())]
    assert any("only the engine writes it" in text for text in told)
    theirs = by_hand((Raise(ValueError, "after_loss", 1),))
    assert (rig.result().log, rig.trainer.state.phase) == (theirs.log, "failed")
    assert rig.run() == by_hand()


@pytest.mark.parametrize("signal", ["after_batch", "after_error", "after_fit"])
@pytest.mark.parametrize("phase", NONSENSE)
def test_a_phase_written_while_scopes_close_is_told(rig, phase, signal):
    @rig.trainer.on(signal)
    def write(trainer, state):
        state.phase = phase

    error = escaped(rig, (Raise(ValueError, "after_loss", 1),))
    assert any("only the engine writes it" in note for note in error.__notes__)
    rig.trainer.detach(write)
    assert_closed(rig, (Raise(ValueError, "after_loss", 1),))


@pytest.mark.parametrize("phase", [*NONSENSE, "fit.epoch.train.fetch"])
def test_a_fit_begins_at_the_beginning_whatever_phase_it_finds(rig, phase):
    rig.trainer.state.phase = phase
    assert rig.run() == by_hand()


@pytest.mark.parametrize("kind", [Escalating, Interrupting])
@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("point", MACHINE_POINTS)
def test_a_machine_callback_that_always_raises_keeps_no_scope_open(point, n, kind):
    scenario = Scenario(0, "fit", (Raise(kind, point, n),))
    rig = scenario.rig()
    assert type(scenario.run(rig)) in (KeyboardInterrupt, kind)
    attack.assert_closed(rig, scenario)
    assert rig.run() == by_hand(), "the next fit"


@pytest.mark.filterwarnings("ignore::UserWarning")  # a resume warns of what it cannot restore
@pytest.mark.parametrize("kind", [Frozen, FrozenCancel])
@pytest.mark.parametrize(
    ("way", "point"),
    [("fit", "prepare"), ("fit", "dataset"), ("resume", "load_state_dict"), ("resume", "resumed")],
)
def test_an_exception_that_refuses_a_traceback_escapes_as_it_is(way, point, kind):
    scenario = Scenario(3, way, (Raise(kind, point, 1),))
    rig = scenario.rig()
    escaped = scenario.run(rig)
    attack.assert_closed(rig, scenario)
    attack.assert_right_error(rig.plan.raised, scenario, escaped)

import contextlib

import pytest
from helpers import batches, trainer_of

from trackside.engine.closing.run_end import HostExit, rest, strongest
from trackside.events import CancelBatchException, CancelFitException

CANCEL, EXIT, ERROR, INTERRUPT, QUIT = (
    CancelFitException(),
    GeneratorExit(),
    ValueError(),
    KeyboardInterrupt(),
    SystemExit(),
)


@pytest.mark.parametrize(
    ("raised", "escapes"),
    [
        ((), None),
        ((None, None), None),
        ((None, CANCEL), CANCEL),
        ((CANCEL, ERROR), ERROR),
        ((ERROR, EXIT), EXIT),
        ((ERROR, INTERRUPT), INTERRUPT),
        ((QUIT, ERROR, CANCEL), QUIT),
        ((CANCEL, EXIT), EXIT),
    ],
)
def test_an_interrupt_outranks_an_error_and_an_error_a_cancel(raised, escapes):
    assert strongest(*raised) is escapes


def test_of_equals_the_first_one_escapes():
    errors = ValueError(), TypeError()
    assert strongest(*errors) is errors[0]
    assert strongest(CANCEL, CancelBatchException()) is CANCEL


def closed_by_the_host():
    host = HostExit()
    with contextlib.suppress(GeneratorExit), host:
        raise EXIT
    return host


def test_the_exit_of_an_iterator_that_is_closed_leaves_if_nothing_else_was_raised():
    host = closed_by_the_host()
    assert host.escaping(None, EXIT, None) is EXIT
    assert host.escaping(CANCEL, EXIT, None) is CANCEL
    assert host.escaping(None, EXIT, ERROR) is ERROR


def test_an_exit_of_user_code_leaves_as_it_is_unless_the_iterator_is_closed():
    own = GeneratorExit("of user code")
    assert HostExit().escaping(None, own, ERROR) is own
    renamed = closed_by_the_host().escaping(own, EXIT, ERROR)
    assert (type(renamed), renamed.__cause__) == (RuntimeError, own)


@pytest.mark.parametrize(
    ("phase", "table", "rests_in"),
    [
        ("completed", {}, "completed"),
        ("completed", {"completed": None, "failed": None}, "completed"),
        ("fit.epoch.ready", {}, "idle"),
        ("fit.epoch.ready", {"fit.epoch.ready": None, "failed": None}, "failed"),
        ("elsewhere", {"completed": None}, "idle"),
        (None, {"failed": None}, "failed"),
    ],
)
def test_a_run_that_was_given_up_in_a_phase_leaves_one_in_which_none_is_live(
    phase, table, rests_in
):
    trainer = trainer_of()
    trainer.state.phase = phase
    rest(trainer._machine, trainer.state, table)
    assert trainer.state.phase == rests_in


@pytest.mark.parametrize("left", ["fit.epoch.train.fetch", "nowhere", 7, None])
def test_a_phase_that_somebody_has_left_keeps_no_run_from_beginning(left):
    trainer = trainer_of()
    trainer.state.phase = left
    trainer.fit(batches())
    assert (trainer.state.phase, trainer.state.outcome) == ("completed", "completed")

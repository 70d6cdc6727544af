import pytest

from trackside.engine.closing.illegal_cancel import illegal_cancel
from trackside.events import CancelBatchException, CancelEpochException

EPOCH = "CancelEpochException('why') raised by activity x in"


@pytest.mark.parametrize(
    ("phase", "announced", "around", "text"),
    [
        ("idle", "", (), f"{EPOCH} idle: no epoch is open; open here: nothing"),
        ("fit.ready", "", (), f"{EPOCH} fit.ready: no epoch is open; open here: fit"),
        (
            "fit.epoch.cancelled",
            "fit.epoch",
            ("fold",),
            f"{EPOCH} fit.epoch.cancelled: the epoch is closing already; open here: fit; "
            "in the run around this one: fold",
        ),
    ],
)
def test_an_illegal_cancel_is_told_with_the_scopes_that_are_open(phase, announced, around, text):
    cancel = CancelEpochException("why")
    error = illegal_cancel(cancel, "activity x", phase, announced, around)
    assert str(error) == text
    assert error.__cause__ is cancel


def test_the_scope_that_is_not_closing_stays_legal():
    error = illegal_cancel(CancelBatchException(), "f", "fit.epoch.cancelled", "fit.epoch", ())
    assert str(error).endswith("no batch is open; open here: epoch, fit")

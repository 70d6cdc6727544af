from types import SimpleNamespace as Leaf

import pytest
from helpers import trainer_of

from trackside.engine.closing.recoveries import (
    announcing_trigger,
    as_recovery,
    is_weaker,
    scope_to_close,
)
from trackside.events import (
    CancelBatchException,
    CancelFitException,
    CancelTrainException,
    RetryBatchException,
    RollbackException,
)

FORWARD = "fit.epoch.train.batch.forward"
BATCH, TRAIN = "fit.epoch.train.batch", "fit.epoch.train"
RETRY, ROLLBACK = RetryBatchException(), RollbackException()
STOP_BATCH, STOP_TRAIN = CancelBatchException(), CancelTrainException()


def test_only_a_recovery_goes_back():
    assert as_recovery(RETRY) is RETRY
    assert as_recovery(STOP_BATCH) is None
    assert as_recovery(None) is None


def test_a_recovery_is_announced_by_its_own_row_and_a_cancel_by_that_of_its_scope():
    assert announcing_trigger(RETRY, BATCH) == "begin_retry"
    assert announcing_trigger(ROLLBACK, TRAIN) == "begin_rollback"
    assert announcing_trigger(STOP_TRAIN, TRAIN) == "after_cancel_train"
    assert announcing_trigger(None, TRAIN) == "after_cancel_train"


@pytest.mark.parametrize(
    ("cancel", "phase", "closed"),
    [
        (STOP_BATCH, FORWARD, BATCH),
        (CancelFitException(), FORWARD, "fit"),
        (STOP_BATCH, "fit.epoch.train.fetch", None),
        (RETRY, FORWARD, BATCH),
        (RETRY, "fit.epoch.train.fetch", None),
        (ROLLBACK, FORWARD, TRAIN),
        (ROLLBACK, "fit.epoch.validate.fetch", None),
    ],
)
def test_a_cancel_closes_the_scope_that_it_names_and_a_recovery_those_up_to_its_row(
    cancel, phase, closed
):
    destinations = trainer_of().topology.table[phase]
    rows = {name: Leaf(leaf=Leaf(phase=where)) for name, where in destinations.items()}
    assert scope_to_close(cancel, Leaf(phase=phase, rows=rows)) == closed


@pytest.mark.parametrize(
    ("cancel", "scope", "pending", "pending_scope", "weaker"),
    [
        (STOP_BATCH, BATCH, STOP_TRAIN, TRAIN, True),
        (STOP_TRAIN, TRAIN, STOP_BATCH, BATCH, False),
        (STOP_BATCH, BATCH, CancelBatchException(), BATCH, True),
        (RETRY, BATCH, STOP_BATCH, BATCH, True),
        (STOP_BATCH, BATCH, RETRY, BATCH, False),
        (RETRY, BATCH, ROLLBACK, TRAIN, True),
        (ROLLBACK, TRAIN, RETRY, BATCH, False),
        (RetryBatchException(), BATCH, RETRY, f"{BATCH}.backward", True),
    ],
)
def test_to_go_back_is_weaker_than_to_stop_and_a_smaller_scope_than_a_larger(
    cancel, scope, pending, pending_scope, weaker
):
    assert is_weaker(cancel, scope, pending, pending_scope) is weaker

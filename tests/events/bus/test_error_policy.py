"""What is logged when a handler is detached by its first error."""

import logging

from helpers import state_of

from trackside.events.bus.error_policy import DetachOnError


def fails(trainer, state):
    raise ZeroDivisionError


def test_the_log_names_the_handler_and_counts_epochs_and_batches_from_1(caplog):
    detached = []
    receiver = DetachOnError(fails, lambda: detached.append(1))
    state = state_of(phase="fit.epoch.train.fetch", epoch=2, batch_index=4)
    with caplog.at_level(logging.ERROR):
        receiver(None, state)
    assert detached == [1]
    assert (
        "fails failed in fit.epoch.train.fetch, epoch 3, batch 5; it is detached and the run "
        "continues"
    ) in caplog.text

import gc

import pytest

from trackside.events.bus.blinker_internals import ANY
from trackside.events.bus.signal import Signal
from trackside.events.bus.weak_receivers import WeakReceiver, reference


class Handler:
    def __init__(self):
        self.seen = []

    def by_position(self, trainer, state):
        self.seen.append((trainer, state))

    def by_keyword(self, trainer, **payload):
        self.seen.append((trainer, payload["state"]))

    __call__ = by_position


@pytest.mark.parametrize("method", ["by_position", "by_keyword", "__call__"])
def test_a_weak_receiver_is_called_as_long_as_its_handler_lives(method):
    handler = Handler()
    receiver = getattr(handler, method) if method != "__call__" else handler
    weak = WeakReceiver(receiver, ("state",))
    assert weak.__wrapped__ == receiver
    weak("trainer", "state")
    assert handler.seen == [("trainer", "state")]
    seen = handler.seen
    del handler, receiver
    gc.collect()
    weak("trainer", "state")
    assert (weak.__wrapped__, len(seen)) == (None, 1)


def test_the_callback_of_a_reference_is_called_when_its_handler_is_deleted():
    deleted, handler = [], Handler()
    kept = [reference(handler.by_position, deleted.append), reference(handler, deleted.append)]
    assert kept[0]() == handler.by_position
    assert deleted == []
    del handler
    gc.collect()
    assert len(deleted) == len(kept)


def test_a_receiver_that_is_deleted_while_others_are_looked_up_is_left_out():
    signal, first, second = Signal("looked_up"), Handler(), Handler()
    for handler in (first, second):
        signal.connect(handler.by_position, weak=True)
    found = signal._connected_receivers(ANY)
    assert next(found) == first.by_position
    del second, handler
    gc.collect()
    assert [*found] == []

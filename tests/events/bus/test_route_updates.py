import gc

import pytest

from trackside.events import Transition, any_transition
from trackside.events.bus.route_updates import Updates
from trackside.events.bus.signal import Route, Signal, link


class Sender:
    """Any object can send signals."""


def receive(trainer, state):
    """Subscribed to one sender."""


class Preparing:
    """Calls `meanwhile(transition)` in the middle of its preparation for each transition."""

    def __init__(self, meanwhile):
        self.meanwhile = meanwhile
        self.begun, self.done = [], []

    def __call__(self, trainer, state, transition):
        raise AssertionError("for_transition is called instead")

    def for_transition(self, transition):
        self.begun.append(transition)
        self.meanwhile(transition)
        self.done.append(transition)
        return receive


@pytest.fixture
def signal():
    return Signal("updated")


@pytest.fixture
def sender():
    return Sender()


def routes(signal, sender):
    return [Route(signal, sender, Transition(f"t{n}", "idle", "fit.ready")) for n in range(3)]


def test_a_receiver_that_a_collection_interrupts_is_not_prepared_again_meanwhile(signal, sender):
    def collect(transition):
        assert preparing.begun[:-1] == preparing.done
        senders.clear()
        gc.collect()

    senders, preparing = [Sender()], Preparing(collect)
    senders[0].itself = senders[0]
    signal.connect(receive, senders[0])
    any_transition.connect(preparing, sender)
    links = link(routes(signal, sender))
    assert preparing.done[:3] == [route.transition for route in routes(signal, sender)]
    assert len(preparing.done) == 6, "updated once more after that"
    assert not signal.receivers
    links.end()


@pytest.mark.parametrize("to_any", [False, True], ids=["signal", "any_transition"])
def test_what_a_receiver_subscribes_while_it_prepares_itself_is_in_every_route(
    signal, sender, to_any
):
    def other(trainer, state, transition=None):
        """Subscribed meanwhile."""

    def subscribe(transition):
        if transition == last and len(preparing.begun) == len(linked):
            (any_transition if to_any else signal).connect(other, sender)

    linked, preparing = routes(signal, sender), Preparing(subscribe)
    last = linked[-1].transition
    any_transition.connect(preparing, sender)
    links = link(linked)
    called = [[getattr(each, "__wrapped__", each) for each in r.receivers] for r in linked]
    assert called == [[receive, other]] * 3
    links.end()


def test_a_run_can_begin_while_a_receiver_of_another_one_prepares_itself(signal, sender):
    other, inner = Sender(), []

    def begin(transition):
        if inner:
            return
        linked = routes(signal, other)
        inner.append(link(linked))
        signal.connect(receive, other)
        assert [route.receivers for route in linked] == [(receive,)] * 3
        signal.disconnect(receive, other)
        assert [route.receivers for route in linked] == [()] * 3

    any_transition.connect(Preparing(begin), sender)
    links = link(routes(signal, sender))
    inner[0].end()
    links.end()


def test_receivers_that_are_subscribed_at_each_update_are_refused(signal, sender):
    def subscribe(transition):
        signal.connect(lambda trainer, state: None, sender)

    any_transition.connect(Preparing(subscribe), sender)
    with pytest.raises(RuntimeError, match=r"\(for_transition\); subscribe them in `attached`"):
        link(routes(signal, sender))


@pytest.mark.parametrize("failing", [0, 1])
def test_a_receiver_that_cannot_prepare_itself_for_one_of_two_runs_is_refused(signal, failing):
    def fail(transition):
        if transition.trigger == f"t{failing}":
            raise OSError("not prepared")

    senders = [Sender(), Sender()]
    runs = [link([routes(signal, each)[n]]) for n, each in enumerate(senders)]
    with pytest.raises(OSError, match="not prepared"):
        any_transition.connect(Preparing(fail))
    for run in runs:
        run.end()


def test_after_updates_without_end_others_can_be_made():
    updates = Updates()

    def again():
        return updates.make(again)

    with pytest.raises(RuntimeError, match="subscribed each time"):
        updates.make(again)
    assert updates.make(dict) == {}


def test_an_error_of_an_update_that_is_asked_for_is_returned_with_those_of_the_first():
    updates, errors = Updates(), [ValueError("first"), ValueError("second")]

    def first():
        assert updates.make(second) == {}
        return {1: errors[0]}

    def second():
        return {2: errors[1]}

    assert updates.make(first) == {1: errors[0], 2: errors[1]}
    assert updates.count == 2


def test_an_interrupted_update_is_counted_and_the_next_one_is_made():
    updates = Updates()

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        updates.make(interrupted)
    assert updates.count == 1
    assert updates.make(dict) == {}
    assert updates.count == 2

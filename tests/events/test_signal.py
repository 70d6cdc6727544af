import gc
import subprocess
import sys
import weakref

import blinker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside.events import SIGNALS, OrderError, ReceiverError, Signal, any_transition, signal
from trackside.events.blinker_internals import TABLES


class Sender:
    pass


class Listener:
    def __init__(self, log, name="listener"):
        self.log, self.name = log, name

    def hear(self, trainer, state):
        self.log.append(self.name)


def entries(signal):
    """The tables of `signal` that are not empty."""
    return {name: table for name in TABLES if (table := getattr(signal, name))}


def logging_to(log, name):
    def receiver(trainer, state):
        log.append(name)

    return receiver


def test_signals_are_blinker_signals_and_stay_so():
    assert all(isinstance(s, blinker.NamedSignal) for s in SIGNALS.values())
    assert all(name == s.name for name, s in SIGNALS.items())


def test_the_signals_stand_in_the_order_of_a_fit():
    names = list(SIGNALS)
    assert names[0] == "begin_fit"
    assert names.index("begin_batch") < names.index("after_pred") < names.index("after_batch")


def test_a_temporary_listener_is_held_strongly():
    s, log = Signal("s"), []
    s.connect(Listener(log).hear)
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["listener"]


def test_a_weak_receiver_goes_with_its_owner():
    s, log = Signal("s"), []
    listener = Listener(log)
    s.connect(listener.hear, weak=True)
    s.send(Sender(), state=None)
    del listener
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["listener"]
    assert not s.receivers


def test_connecting_weakly_does_not_weaken_a_strong_connection():
    s, log = Signal("s"), []
    listener = Listener(log)
    s.connect(listener.hear)
    s.connect(listener.hear, weak=True)
    s.connect(listener.hear, sender=Sender())
    del listener
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["listener"]


def test_a_sender_keeps_its_own_receivers_alive_and_takes_them_with_it():
    s, log = Signal("s"), []
    sender = Sender()
    listener = Listener(log)
    listener.sender = sender
    gone = weakref.ref(listener)
    s.connect(listener.hear, sender=sender)
    del listener
    gc.collect()
    s.send(sender, state=None)
    assert log == ["listener"]
    del sender
    gc.collect()
    assert gone() is None
    assert entries(s) == {}


def test_a_receiver_of_one_sender_does_not_hear_another():
    s, log = Signal("s"), []
    one, other = Sender(), Sender()
    s.connect(logging_to(log, "one"), sender=one)
    s.connect(logging_to(log, "any"))
    s.send(other, state=None)
    s.send(one, state=None)
    assert log == ["any", "one", "any"]


def test_connect_via_connected_to_and_muted_work_as_in_blinker():
    s, log = Signal("s"), []
    sender = Sender()

    @s.connect_via(sender)
    def via(trainer, state):
        log.append("via")

    temporary = logging_to(log, "temporary")
    with s.connected_to(temporary, sender=sender):
        s.send(sender, state=None)
    with s.muted():
        s.send(sender, state=None)
    s.send(sender, state=None)
    assert log == ["via", "temporary", "via"]


def test_disconnecting_leaves_no_record():
    s = Signal("s")
    sender, receiver = Sender(), logging_to([], "r")
    s.connect(receiver, sender=sender)
    s.disconnect(receiver, sender=sender)
    assert entries(s) == {}
    assert not vars(sender)["_kept_receivers"]


def test_a_receiver_of_two_senders_leaves_them_one_by_one():
    s, log = Signal("s"), []
    one, other, receiver = Sender(), Sender(), logging_to(log, "r")
    s.connect(receiver, sender=one)
    s.connect(receiver, sender=other)
    s.disconnect(receiver, sender=one)
    s.send(one, state=None)
    s.send(other, state=None)
    assert log == ["r"]


def test_receivers_run_in_order_of_connection():
    s, log = Signal("s"), []
    listeners = [Listener(log, n) for n in range(20)]
    for listener in listeners:
        s.connect(listener.hear)
    s.disconnect(listeners[3].hear)
    s.connect(listeners[3].hear)
    s.send(Sender(), state=None)
    assert log == [*range(3), *range(4, 20), 3]


def test_the_order_is_the_same_in_every_process():
    program = (
        "from trackside.events import Signal\n"
        "class L:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def hear(self, trainer, state): print(self.n, end=' ')\n"
        "s = Signal('s')\n"
        "for n in range(12): s.connect(L(n).hear)\n"
        "s.send(L(99), state=None)\n"
    )
    runs = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)}
    assert runs == {b"0 1 2 3 4 5 6 7 8 9 10 11 "}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: None,
        lambda trainer: None,
        lambda trainer, stat: None,
        lambda trainer, state, more: None,
    ],
)
def test_a_receiver_with_the_wrong_signature_is_refused(wrong):
    wrong.__name__ = "my_receiver"
    with pytest.raises(ReceiverError, match=r"my_receiver.*expected def f\(trainer, state\)"):
        Signal("s").connect(wrong)


def test_a_receiver_that_takes_keywords_is_accepted():
    s, log = Signal("s"), []

    def receiver(sender, **payload):
        log.append(payload)

    s.connect(receiver)
    s.send(Sender(), state=1)
    assert log == [{"state": 1}]


def test_what_is_not_callable_is_refused():
    with pytest.raises(ReceiverError, match="not callable"):
        Signal("s").connect("after_loss")


def test_a_coroutine_function_is_refused():
    async def receiver(trainer, state):
        pass

    with pytest.raises(ReceiverError, match="called, not awaited"):
        Signal("s").connect(receiver)


def test_a_receiver_of_any_transition_must_take_the_transition():
    with pytest.raises(ReceiverError, match=r"def f\(trainer, state, transition\)"):
        any_transition.connect(lambda trainer, state: None)


def test_a_new_name_makes_a_new_signal_once():
    made = signal("after_generator")
    try:
        assert signal("after_generator") is made
        assert SIGNALS["after_generator"] is made
    finally:
        del SIGNALS["after_generator"]


def test_importing_the_events_does_not_import_torch():
    program = "import sys, trackside.events; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@st.composite
def declarations(draw):
    """Classes A… with acyclic constraints: a class may only name classes of a lower rank."""
    names = [chr(ord("A") + n) for n in range(draw(st.integers(2, 7)))]
    rank = draw(st.permutations(names))
    after = {
        name: draw(st.lists(st.sampled_from(rank[:n]), unique=True)) if n else []
        for n, name in enumerate(rank)
    }
    return draw(st.permutations(names)), after


def handler_class(name, after=(), before=()):
    def hear(self, trainer, state):
        self.log.append(name)

    return type(name, (), {"runs_after": after, "runs_before": before, "hear": hear})


@given(declarations())
@settings(max_examples=200)
def test_declared_constraints_hold_whatever_the_order_of_connection(plan):
    order, after = plan
    s, log = Signal("s"), []
    for name in order:
        handler = handler_class(name, tuple(after[name]))()
        handler.log = log
        s.connect(handler.hear)
    s.send(Sender(), state=None)
    assert sorted(log) == sorted(order)
    for name in order:
        assert all(log.index(earlier) < log.index(name) for earlier in after[name])


def test_without_constraints_between_them_handlers_keep_the_order_of_connection():
    s, log = Signal("s"), []
    for name, after in (("A", ("C",)), ("B", ()), ("C", ()), ("D", ())):
        handler = handler_class(name, after)()
        handler.log = log
        s.connect(handler.hear)
    s.send(Sender(), state=None)
    assert log == ["B", "C", "A", "D"]


def test_runs_before_is_the_other_side_of_runs_after():
    s, log = Signal("s"), []
    for cls in (handler_class("Clip"), handler_class("Unscale", before=("Clip",))):
        handler = cls()
        handler.log = log
        s.connect(handler.hear)
    s.send(Sender(), state=None)
    assert log == ["Unscale", "Clip"]


def test_a_constraint_names_a_base_class_too():
    s, log = Signal("s"), []
    base = handler_class("Base")
    mine = type("Mine", (base,), {})()
    late = handler_class("Early", before=("Base",))()
    mine.log = late.log = log
    s.connect(mine.hear)
    s.connect(late.hear)
    s.send(Sender(), state=None)
    assert log == ["Early", "Base"]


def test_a_circle_is_an_error_that_prints_it_and_connects_nothing():
    s, log = Signal("s"), []
    one, two = handler_class("One", after=("Two",))(), handler_class("Two", after=("One",))()
    one.log = two.log = log
    s.connect(one.hear)
    with pytest.raises(OrderError, match=r"One\.hear runs after Two\.hear runs after One\.hear"):
        s.connect(two.hear)
    s.send(Sender(), state=None)
    assert log == ["One"]


def test_an_owner_and_its_class_can_die_together_without_a_word():
    s = Signal("s")

    def connect_and_forget():
        sender = Sender()

        class Local(Listener):
            def hear(self, trainer, state):
                pass

        listener = Local([])
        listener.sender = sender
        s.connect(listener.hear, sender=sender)

    connect_and_forget()
    gc.collect()  # what a collection says on stderr is an error in these tests
    assert not s.receivers


def never(sender, state):
    raise AssertionError("called")


def test_a_receiver_that_heard_one_sender_is_forgotten_with_it():
    s, sender = Signal("s"), Sender()
    s.connect(never, sender=sender)
    del sender
    gc.collect()
    assert entries(s) == {}


def test_a_receiver_that_heard_two_senders_hears_the_one_that_is_left():
    s, sender, other = Signal("s"), Sender(), Sender()
    s.connect(never, sender=sender)
    s.connect(never, sender=other)
    del sender
    gc.collect()
    assert list(s.receivers_for(other)) == [never]

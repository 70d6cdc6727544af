import gc
import subprocess
import sys
import weakref

import blinker
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackside.events import SIGNALS, OrderError, ReceiverError, Signal, any_transition, signal
from trackside.events.bus.blinker_internals import TABLES
from trackside.events.bus.signal import Route, link


class Sender:
    pass


class Handler:
    def __init__(self, log, name="handler"):
        self.log, self.name = log, name

    def receive(self, trainer, state):
        self.log.append(self.name)


def entries(signal):
    """The tables of `signal` that are not empty."""
    return {name: table for name in TABLES if (table := getattr(signal, name))}


def logging_to(log, name):
    def receiver(trainer, state):
        log.append(name)

    return receiver


def test_signals_are_instances_of_blinker_signals():
    assert all(isinstance(s, blinker.NamedSignal) for s in SIGNALS.values())
    assert all(name == s.name for name, s in SIGNALS.items())


def test_signals_are_listed_in_the_order_of_a_fit():
    names = list(SIGNALS)
    assert names[0] == "begin_fit"
    assert names.index("begin_batch") < names.index("after_pred") < names.index("after_batch")


def test_a_bound_method_of_a_temporary_object_is_held_strongly():
    s, log = Signal("s"), []
    s.connect(Handler(log).receive)
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["handler"]


def test_a_weak_receiver_is_disconnected_when_its_owner_is_deleted():
    s, log = Signal("s"), []
    handler = Handler(log)
    s.connect(handler.receive, weak=True)
    s.send(Sender(), state=None)
    del handler
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["handler"]
    assert not s.receivers


def test_a_sender_does_not_hold_a_receiver_that_is_connected_to_it_weakly():
    s, sender, handler = Signal("s"), Sender(), Handler([])
    s.connect(handler.receive, sender=sender, weak=True)
    deleted = weakref.ref(handler)
    del handler
    gc.collect()
    assert deleted() is None
    assert not s.receivers


def test_a_weak_connection_does_not_weaken_a_strong_one():
    s, log = Signal("s"), []
    handler = Handler(log)
    s.connect(handler.receive)
    s.connect(handler.receive, weak=True)
    s.connect(handler.receive, sender=Sender())
    del handler
    gc.collect()
    s.send(Sender(), state=None)
    assert log == ["handler"]


def test_a_sender_owns_its_receivers_and_they_are_deleted_with_it():
    s, log = Signal("s"), []
    sender = Sender()
    handler = Handler(log)
    handler.sender = sender
    reference = weakref.ref(handler)
    s.connect(handler.receive, sender=sender)
    del handler
    gc.collect()
    s.send(sender, state=None)
    assert log == ["handler"]
    del sender
    gc.collect()
    assert reference() is None
    assert entries(s) == {}


def test_a_receiver_of_one_sender_is_not_called_for_another():
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


def test_a_muted_block_empties_the_routes_of_a_run_and_fills_them_again():
    s, sender = Signal("s"), Sender()
    s.connect(logging_to([], "a"))
    route = Route(s, sender, None)
    links = link([route])
    before = route.receivers
    with s.muted():
        assert route.receivers == ()
    assert route.receivers == before != ()
    links.end()


def test_disconnecting_leaves_no_entry_in_any_table():
    s = Signal("s")
    sender, receiver = Sender(), logging_to([], "r")
    s.connect(receiver, sender=sender)
    s.disconnect(receiver, sender=sender)
    assert entries(s) == {}
    assert not vars(sender)["_kept_receivers"]


def test_a_receiver_that_is_disconnected_from_all_senders_is_held_by_none():
    s, senders, handler = Signal("s"), [Sender(), Sender()], Handler([])
    for sender in senders:
        s.connect(handler.receive, sender=sender)
    s.disconnect(handler.receive)
    assert entries(s) == {}
    deleted = weakref.ref(handler)
    del handler
    gc.collect()
    assert deleted() is None


def test_a_receiver_is_disconnected_from_one_of_two_senders():
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
    handlers = [Handler(log, n) for n in range(20)]
    for handler in handlers:
        s.connect(handler.receive)
    s.disconnect(handlers[3].receive)
    s.connect(handlers[3].receive)
    s.send(Sender(), state=None)
    assert log == [*range(3), *range(4, 20), 3]


def test_the_order_is_the_same_in_every_process():
    program = (
        "from trackside.events import Signal\n"
        "class L:\n"
        "    def __init__(self, n): self.n = n\n"
        "    def receive(self, trainer, state): print(self.n, end=' ')\n"
        "s = Signal('s')\n"
        "for n in range(12): s.connect(L(n).receive)\n"
        "s.send(L(99), state=None)\n"
    )
    runs = {subprocess.check_output([sys.executable, "-c", program]) for _ in range(3)}
    assert runs == {b"0 1 2 3 4 5 6 7 8 9 10 11 "}


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: None,
        lambda trainer: None,
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


def test_a_receiver_that_is_not_callable_is_refused():
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


def test_signal_creates_a_signal_once_for_a_new_name():
    created = signal("after_generator")
    try:
        assert signal("after_generator") is created
        assert SIGNALS["after_generator"] is created
    finally:
        del SIGNALS["after_generator"]


def test_importing_events_does_not_import_torch():
    program = "import sys, trackside.events; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@st.composite
def declarations(draw):
    """Classes A… with acyclic constraints: a class names only classes of a lower rank."""
    names = [chr(ord("A") + n) for n in range(draw(st.integers(2, 7)))]
    rank = draw(st.permutations(names))
    after = {
        name: draw(st.lists(st.sampled_from(rank[:n]), unique=True)) if n else []
        for n, name in enumerate(rank)
    }
    return draw(st.permutations(names)), after


def handler_class(name, after=(), before=()):
    def receive(self, trainer, state):
        self.log.append(name)

    return type(name, (), {"runs_after": after, "runs_before": before, "receive": receive})


@given(declarations())
@settings(max_examples=200)
def test_declared_constraints_hold_for_any_order_of_connection(plan):
    order, after = plan
    s, log = Signal("s"), []
    for name in order:
        handler = handler_class(name, tuple(after[name]))()
        handler.log = log
        s.connect(handler.receive)
    s.send(Sender(), state=None)
    assert sorted(log) == sorted(order)
    for name in order:
        assert all(log.index(earlier) < log.index(name) for earlier in after[name])


def test_handlers_without_constraints_run_in_order_of_connection():
    s, log = Signal("s"), []
    for name, after in (("A", ("C",)), ("B", ()), ("C", ()), ("D", ())):
        handler = handler_class(name, after)()
        handler.log = log
        s.connect(handler.receive)
    s.send(Sender(), state=None)
    assert log == ["B", "C", "A", "D"]


def test_runs_before_is_the_inverse_of_runs_after():
    s, log = Signal("s"), []
    for cls in (handler_class("Clip"), handler_class("Unscale", before=("Clip",))):
        handler = cls()
        handler.log = log
        s.connect(handler.receive)
    s.send(Sender(), state=None)
    assert log == ["Unscale", "Clip"]


def test_a_constraint_may_name_a_base_class():
    s, log = Signal("s"), []
    base = handler_class("Base")
    mine = type("Mine", (base,), {})()
    late = handler_class("Early", before=("Base",))()
    mine.log = late.log = log
    s.connect(mine.receive)
    s.connect(late.receive)
    s.send(Sender(), state=None)
    assert log == ["Early", "Base"]


def test_a_cycle_is_an_error_that_prints_it_and_connects_nothing():
    s, log = Signal("s"), []
    one, two = handler_class("One", after=("Two",))(), handler_class("Two", after=("One",))()
    one.log = two.log = log
    s.connect(one.receive)
    with pytest.raises(
        OrderError, match=r"One\.receive runs after Two\.receive runs after One\.receive"
    ):
        s.connect(two.receive)
    s.send(Sender(), state=None)
    assert log == ["One"]


def test_an_owner_and_its_class_are_deleted_together_silently():
    s = Signal("s")

    def connect_and_delete():
        sender = Sender()

        class Local(Handler):
            def receive(self, trainer, state):
                pass

        handler = Local([])
        handler.sender = sender
        s.connect(handler.receive, sender=sender)

    connect_and_delete()
    gc.collect()  # text on stderr is an error in these tests
    assert not s.receivers


def not_called(sender, state):
    raise AssertionError("called")


def test_the_receiver_of_a_deleted_sender_is_disconnected():
    s, sender = Signal("s"), Sender()
    s.connect(not_called, sender=sender)
    del sender
    gc.collect()
    assert entries(s) == {}


def test_a_receiver_of_two_senders_stays_connected_to_the_live_one():
    s, sender, other = Signal("s"), Sender(), Sender()
    s.connect(not_called, sender=sender)
    s.connect(not_called, sender=other)
    del sender
    gc.collect()
    assert list(s.receivers_for(other)) == [not_called]

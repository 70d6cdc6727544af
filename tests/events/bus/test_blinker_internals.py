"""Each part of the `blinker` library that the signals depend on, by name."""

import gc
import importlib
import inspect
import re
from pathlib import Path

import blinker
import pytest

ROOT = Path(__file__).parents[3]

CALLABLES = {
    "blinker._utilities.make_id": ["obj"],
    "blinker.base.Signal.connect": ["self", "receiver", "sender", "weak"],
    "blinker.base.Signal.disconnect": ["self", "receiver", "sender"],
    "blinker.base.Signal.receivers_for": ["self", "sender"],
    "blinker.base.Signal.muted": ["self"],
    "blinker.base.Signal._disconnect": ["self", "receiver_id", "sender_id"],
    "blinker.base.Signal._make_cleanup_receiver": ["self", "receiver_id"],
    "blinker.base.Signal._make_cleanup_sender": ["self", "sender_id"],
    "blinker.base.NamedSignal.__init__": ["self", "name", "doc"],
}

ATTRIBUTES = {
    "receivers": {},
    "is_muted": False,
    "_by_receiver": {},
    "_by_sender": {},
    "_weak_senders": {},
}

PRIVATE = re.compile(
    r"blinker\.(_utilities|base)|\bANY_ID\b|\._(by_sender|by_receiver|weak_senders|disconnect)\b"
    r"|\b_make_cleanup_(receiver|sender)\b"
)


class Sender:
    def method(self):
        pass


def receiver(sender, **payload):
    pass


def other_receiver(sender, **payload):
    pass


def part(path):
    """Look up a part of blinker by its dotted path; a missing one fails the test by its name."""
    module = re.match(r"blinker\.\w+", path)[0]
    value = importlib.import_module(module)
    for name in path.removeprefix(f"{module}.").split("."):
        assert hasattr(value, name), f"{path} is missing"
        value = getattr(value, name)
    return value


def make_id(thing):
    return part("blinker._utilities.make_id")(thing)


@pytest.fixture
def any_id():
    return part("blinker.base.ANY_ID")


@pytest.fixture
def signal():
    return blinker.NamedSignal("s")


@pytest.mark.parametrize("path", CALLABLES)
def test_blinker_has_this_function_with_these_parameters(path):
    assert list(inspect.signature(part(path)).parameters) == CALLABLES[path], path


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_new_signal_has_this_attribute_with_this_value(signal, name):
    assert hasattr(signal, name), f"blinker.Signal.{name} is missing"
    assert getattr(signal, name) == ATTRIBUTES[name], name


def test_a_new_signal_has_no_other_attributes_than_its_name(signal):
    assert set(vars(signal)) - {*ATTRIBUTES} == {"name"}


def test_the_tables_of_the_project_are_the_tables_of_blinker():
    from trackside.events.bus.blinker_internals import TABLES

    assert {*TABLES, "is_muted"} == {*ATTRIBUTES}


def test_make_id_is_the_same_for_each_access_to_a_bound_method():
    sender = Sender()
    assert make_id(sender.method) == make_id(sender.method) != make_id(Sender().method)


def test_make_id_of_a_str_is_the_str_itself():
    assert make_id("detector") == "detector"


def test_make_id_of_another_object_is_its_id():
    sender = Sender()
    assert make_id(sender) == id(sender)


def test_any_id_is_the_key_of_receivers_of_all_senders(signal, any_id):
    signal.connect(receiver, weak=False)
    assert dict(signal._by_sender) == {any_id: {make_id(receiver)}}


def test_any_is_the_default_sender_of_connect_and_disconnect():
    for path in ("blinker.base.Signal.connect", "blinker.base.Signal.disconnect"):
        assert inspect.signature(part(path)).parameters["sender"].default is blinker.ANY, path


def test_receivers_holds_strong_receivers_by_id_in_order_of_connection(signal):
    signal.connect(other_receiver, weak=False)
    signal.connect(receiver, sender=Sender(), weak=False)
    assert list(signal.receivers.items()) == [
        (make_id(other_receiver), other_receiver),
        (make_id(receiver), receiver),
    ]


def test_by_sender_and_by_receiver_hold_the_ids_of_each_connection(signal):
    sender = Sender()
    signal.connect(receiver, sender=sender, weak=False)
    assert dict(signal._by_sender) == {make_id(sender): {make_id(receiver)}}
    assert dict(signal._by_receiver) == {make_id(receiver): {make_id(sender)}}


def test_weak_senders_holds_a_weak_reference_to_each_sender(signal):
    sender = Sender()
    signal.connect(receiver, sender=sender, weak=False)
    assert signal._weak_senders[make_id(sender)]() is sender


def test_send_calls_what_receivers_for_yields():
    log = []

    class Overridden(blinker.NamedSignal):
        def receivers_for(self, sender):
            yield lambda sender, **payload: log.append((sender, payload))

    Overridden("s").send("me", state=1)
    assert log == [("me", {"state": 1})]


def test_is_muted_makes_send_call_no_receiver(signal):
    log = []
    signal.connect(log.append, weak=False)
    signal.is_muted = True
    signal.send("me")
    signal.is_muted = False
    signal.send("you")
    assert log == ["you"]


def test_disconnect_calls_the_private_disconnect_with_ids(any_id):
    log = []

    class Overridden(blinker.NamedSignal):
        def _disconnect(self, receiver_id, sender_id):
            log.append((receiver_id, sender_id))

    signal, sender = Overridden("s"), Sender()
    signal.disconnect(receiver)
    signal.disconnect(receiver, sender)
    assert log == [(make_id(receiver), any_id), (make_id(receiver), make_id(sender))]


def test_private_disconnect_of_all_senders_removes_the_receiver(signal, any_id):
    signal.connect(receiver, sender=Sender(), weak=False)
    signal._disconnect(make_id(receiver), any_id)
    assert not signal.receivers
    assert not signal._by_receiver


def test_private_disconnect_of_one_sender_leaves_empty_entries(signal):
    sender = Sender()
    signal.connect(receiver, sender=sender, weak=False)
    signal._disconnect(make_id(receiver), make_id(sender))
    assert dict(signal._by_sender) == {make_id(sender): set()}
    assert signal.receivers == {make_id(receiver): receiver}


def test_cleanup_receiver_returns_a_callback_that_disconnects(signal):
    signal.connect(receiver, weak=False)
    signal._make_cleanup_receiver(make_id(receiver))(None)
    assert not signal.receivers


def test_cleanup_sender_returns_a_callback_that_deletes_its_entries(signal):
    sender = Sender()
    signal.connect(receiver, sender=sender, weak=False)
    signal._make_cleanup_sender(make_id(sender))(None)
    assert not signal._by_sender
    assert not signal._weak_senders


def test_connect_registers_the_cleanup_of_a_sender():
    log = []

    class Overridden(blinker.NamedSignal):
        def _make_cleanup_sender(self, sender_id):
            return lambda reference: log.append(sender_id)

    signal, sender = Overridden("s"), Sender()
    sender_id = make_id(sender)
    signal.connect(receiver, sender=sender, weak=False)
    del sender
    gc.collect()
    assert log == [sender_id]


def test_only_one_file_uses_private_parts_of_blinker():
    folders = ("engine", "events", "handlers", "views", "trackside", "examples", "tests")
    using = {
        path.name
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if PRIVATE.search(path.read_text(encoding="utf-8"))
    }
    assert using == {"blinker_internals.py", "test_blinker_internals.py"}

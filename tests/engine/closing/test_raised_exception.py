import logging

import pytest
from helpers import state_of

from trackside.engine.closing.raised_exception import (
    ErrorNotes,
    cancel_text,
    closes_iterator,
    describe_raiser,
    is_passing,
    outranked,
    position_text,
    read_text,
    sign,
    write,
    wrong_phase_error,
)
from trackside.events import CancelEpochException, PeerError

PHASE = "fit.epoch.train.batch.forward"


class Closed(CancelEpochException):
    """Refuses to have its attributes read, and those of the engine written."""

    also = property()
    passing = property()
    raised_by = property(lambda self: "itself")


def test_the_end_of_an_iterator_is_told_from_an_exit_that_user_code_raised():
    assert closes_iterator(GeneratorExit())
    assert not closes_iterator(ValueError())

    class Own(GeneratorExit):
        pass

    assert not closes_iterator(Own())

    def user_code():
        raise GeneratorExit

    with pytest.raises(GeneratorExit) as raised:
        user_code()
    assert not closes_iterator(raised.value)
    assert closes_iterator(raised.value.with_traceback(raised.tb.tb_next))


def test_a_text_that_is_none_or_cannot_be_read_is_empty():
    assert read_text(CancelEpochException("why"), "reason") == "why"
    assert read_text(CancelEpochException(3), "reason") == ""
    assert read_text(Closed(), "also") == ""


def test_a_refused_attribute_is_logged_and_not_raised(caplog):
    with caplog.at_level(logging.DEBUG, "trackside"):
        write(Closed(), "raised_by", "me")
    assert caplog.messages == ["Closed refuses to have its raised_by set"]


def test_a_cancel_is_signed_but_not_where_it_only_passes():
    cancel = CancelEpochException()
    sign(cancel, "handler EMA", PHASE)
    cancel.passing = True
    assert is_passing(cancel)
    sign(cancel, "handler Outer", "fit.ready")
    assert (cancel.raised_by, cancel.raised_in) == ("handler EMA", PHASE)
    assert not is_passing(cancel)
    sign(cancel, "handler Outer", "fit.ready")
    assert (cancel.raised_by, cancel.raised_in) == ("handler Outer", "fit.ready")
    assert not is_passing(Closed())


def test_weaker_cancels_are_kept_in_a_list_that_is_made_if_need_be():
    cancel = CancelEpochException()
    cancel.also = None
    outranked(cancel).append("weaker")
    assert outranked(cancel) is cancel.also
    assert cancel.also == ["weaker"]
    assert outranked(Closed()) == []


def test_a_position_is_counted_from_1_and_empty_if_it_is_unreadable():
    assert position_text(state_of(epoch=0, batch_index=4)) == "epoch 1, batch 5"
    assert position_text(state_of(epoch="first")) == ""


def test_a_cancel_is_shown_as_it_was_raised():
    assert cancel_text(CancelEpochException("enough")) == "CancelEpochException('enough')"


def look(trainer, state):
    """A receiver."""


class Nameless:
    @property
    def __wrapped__(self):
        raise RuntimeError("no name")


def requested():
    cancel = CancelEpochException()
    cancel.requested_by = "thread server"
    return cancel


@pytest.mark.parametrize(
    ("raised", "receiver", "text"),
    [
        (ValueError(), look, "handler look"),
        (ValueError(), None, f"activity {PHASE}"),
        (ValueError(), Nameless(), "a handler, Nameless"),
        (requested(), look, "a request of thread server"),
        (CancelEpochException(), look, "handler look"),
        (PeerError("", 2, "handler EMA"), None, "rank 2: handler EMA"),
        (PeerError("lost"), None, f"activity {PHASE}"),
    ],
)
def test_who_raised_is_named(raised, receiver, text):
    assert describe_raiser(raised, receiver, PHASE) == text


@pytest.mark.parametrize(("found", "text"), [("fit.redy", "'fit.redy'"), (3, "a int")])
def test_a_phase_that_somebody_wrote_is_named_with_the_right_one(found, text):
    message = str(wrong_phase_error(found, "fit.ready"))
    assert message.startswith(f"state.phase was {text} in fit.ready: only the engine writes it")


def test_a_note_that_was_broken_off_is_logged_the_next_time(caplog):
    class Broken(Exception):
        def add_note(self, note):
            raise KeyboardInterrupt

    notes, error = ErrorNotes(), Broken()
    with pytest.raises(KeyboardInterrupt):
        notes.add(error, "first")
    with caplog.at_level(logging.ERROR, "trackside"):
        notes.add(error, "first")
    assert caplog.messages == ["Broken takes no notes; this one was for it: first"]
    other = ValueError()
    notes.add(other, "one")
    notes.add(other, "two")
    assert other.__notes__ == ["one", "two"]

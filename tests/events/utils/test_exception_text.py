import logging

from trackside.events.utils.exception_text import (
    add_note,
    first_line,
    first_message_line,
    traceback_text,
)


class Refusing(Exception):
    """Takes no notes, and has no text."""

    def add_note(self, note):
        raise AttributeError("no notes")

    def __str__(self):
        raise ValueError("no text")


def test_a_note_is_added():
    error = ValueError("wrong")
    add_note(error, "in batch 3")
    assert error.__notes__ == ["in batch 3"]


def test_a_note_that_is_refused_is_logged(caplog):
    with caplog.at_level(logging.ERROR, "trackside"):
        add_note(Refusing(), "in batch 3")
    assert caplog.messages == ["Refusing takes no notes; this one was for it: in batch 3"]


def test_the_text_of_a_traceback_leaves_out_what_was_raised_before():
    try:
        try:
            raise KeyError("first")
        except KeyError:
            raise ValueError("second")  # noqa: B904
    except ValueError as error:
        text = traceback_text(error)
    assert text.startswith("Traceback")
    assert text.endswith("ValueError: second")
    assert "KeyError" not in text


def test_the_first_line_leaves_out_notes_and_the_rest_of_the_message():
    error = ValueError("wrong\nand long")
    error.add_note("in batch 3")
    assert first_line(error) == "ValueError: wrong"
    assert first_message_line(error) == "wrong"


def test_of_an_exception_without_a_message_the_class_is_told():
    assert first_message_line(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert first_message_line(Refusing()) == "Refusing"


def test_of_an_exception_that_cannot_be_formatted_the_class_is_told(monkeypatch):
    def fail(*_, **__):
        raise RecursionError

    monkeypatch.setattr("traceback.format_exception", fail)
    monkeypatch.setattr("traceback.format_exception_only", fail)
    assert first_line(Refusing()) == "Refusing"
    assert traceback_text(Refusing()) == "Refusing, which cannot be formatted (RecursionError)"

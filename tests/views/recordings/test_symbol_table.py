import json

import pytest

from trackside.views.recordings.symbol_table import ReceiverEntry, SymbolTable, TransitionEntry


def line(*entry):
    return json.dumps(entry).encode()


def test_a_valid_line_adds_an_entry_by_its_id():
    table = SymbolTable()
    assert table.add(line("transition", 7, "begin_fit", "idle", "fit.ready", 0))
    assert table.transition(7) == TransitionEntry("begin_fit", "idle", "fit.ready", 0)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b"7",
        b"\xff",
        b"[" * 5000,
        line("phase", 1, "fit"),
        line(["transition"], 1, "a", "b", "c", 0),
        line("transition", 1, "a", "b", "c"),
        line("transition", 1, "a", "b", "c", 0, 0),
        line("transition", 1, "a", "b", "c", "0"),
        line("transition", 1, "a", "b", "c", True),
        line("transition", 1, "a", "b", "c", 2**63),
        line("transition", 1, "a", ["b"], "c", 0),
        line("transition", 0, "a", "b", "c", 0),
        line("transition", -1, "a", "b", "c", 0),
        line("transition", 2**16, "a", "b", "c", 0),
        line("transition", "1", "a", "b", "c", 0),
        line("cancel", 1, "a", "b", None, "d"),
        line("scalar", 1, {}),
        line("facts", 1, "no JSON"),
        line("facts", 1, "[" * 100_000),
        line("facts", 1, '["no object"]'),
    ],
)
def test_an_invalid_line_is_ignored(text):
    table = SymbolTable()
    assert not table.add(text)
    assert vars(table) == vars(SymbolTable())


def test_an_unknown_id_gives_question_marks():
    table = SymbolTable()
    assert table.transition(3).destination == "?"
    assert table.receiver(3).name == table.cancel(3).type == table.error(3).type == "?"
    assert table.scalar(3) == "?"


def test_text_is_one_line_of_printable_characters():
    table = SymbolTable()
    assert table.add(line("error", 1, "E\x1b[2J", "one\n  two\t\u202e\ud800 " + "x" * 9999))
    entry = table.error(1)
    assert entry.type == "E�[2J"
    assert entry.message.startswith("one two �� x")
    assert len(entry.message) <= 500
    assert str(entry).isprintable()


@pytest.mark.parametrize(
    ("trigger", "kind"),
    [("begin_fit", "normal"), ("after_cancel_fit", "cancel"), ("after_error", "error")],
)
def test_the_trigger_sets_the_kind_of_a_transition(trigger, kind):
    assert TransitionEntry(trigger, "a", "b", 0).kind == kind


def test_the_signal_is_shown_unless_the_receiver_is_named_after_it():
    assert str(ReceiverEntry("EMA.after_step", "after_step", "m")) == "EMA.after_step"
    assert str(ReceiverEntry("EMA.within_fit", "after_fit", "m")) == "EMA.within_fit at after_fit"

import pytest

from trackside.engine.statechart.phase_paths import (
    as_source,
    closes_scope,
    enclosing,
    inside,
    kind,
    lifted,
    open_scopes,
    scope_name,
    sources,
)
from trackside.events import Transition


def test_one_source_is_as_it_is_and_several_are_a_tuple():
    assert sources(("go", "a", "b")) == ("a",)
    assert sources(("go", ("a", "c"), "b")) == ("a", "c")
    assert (as_source(["a"]), as_source(["a", "c"])) == ("a", ("a", "c"))


@pytest.mark.parametrize(
    ("trigger", "caused_by"),
    [
        ("after_error", "error"),
        ("after_cancel_batch", "cancel"),
        ("begin_retry", "cancel"),
        ("begin_rollback", "cancel"),
        ("after_batch", "normal"),
        ("begin_batch", "normal"),
    ],
)
def test_a_row_is_caused_by_an_activity_a_cancel_or_an_error(trigger, caused_by):
    assert kind((trigger, "a", "b")) == caused_by


def test_a_phase_is_inside_itself_and_not_inside_one_with_a_similar_name():
    assert inside("fit.epoch", "fit.epoch")
    assert inside("fit.epoch.train", "fit.epoch")
    assert not inside("fit.epochs", "fit.epoch")
    assert not inside("fit", "fit.epoch")


def test_a_phase_is_lifted_out_of_the_scope_that_is_taken_out():
    assert lifted("fit.epoch.train", "fit.epoch") == "fit.train"
    assert lifted("fit.ready", "fit.epoch") == "fit.ready"


def test_the_scopes_around_a_phase_are_listed_from_inside():
    assert enclosing("a.b.c") == ("a.b", "a")
    assert enclosing("idle") == ()
    assert scope_name("a.b") == "b"
    assert open_scopes("a.b.a.c") == ["a.b.a", "a.b", "a"]
    assert open_scopes("a.b.a.c", "a") == ["a.b.a", "a"]


def test_only_the_signal_of_a_scope_around_its_source_closes_it():
    def row(trigger):
        return Transition(trigger, "fit.epoch.train.fetch", "fit.epoch.trained")

    assert closes_scope(row("after_train"))
    assert closes_scope(row("after_fit"))
    assert not closes_scope(row("after_fetch"))
    assert not closes_scope(row("begin_train"))

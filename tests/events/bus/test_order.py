from functools import partial, wraps

import pytest

from trackside.events.bus.order import (
    OrderError,
    arrange,
    owner_of,
    predecessors,
    receiver_name,
    receivers_after,
    unwrapped,
)


class Handler:
    runs_after = ()
    runs_before = ()

    def after_step(self, trainer, state):
        """A receiver."""

    def also_after_step(self, trainer, state):
        """Another one."""


def handler(name, **declared):
    return type(name, (Handler,), declared)()


def order(*handlers):
    arranged = arrange([each.after_step for each in handlers], "after_step")
    return [type(ordered.receiver.__self__).__name__ for ordered in arranged]


def look(trainer, state):
    """A function."""


def test_the_receivers_after_the_one_that_raised_still_run():
    receivers = [lambda: 0, lambda: 1, lambda: 2]
    assert list(receivers_after(receivers, receivers[0])) == receivers[1:]
    assert list(receivers_after(receivers, receivers[2])) == []
    assert list(receivers_after(receivers, look)) == receivers


def test_what_is_around_a_function_is_taken_off():
    around = wraps(look)(lambda trainer, state: None)
    assert unwrapped(partial(around, 1)) is look
    made = handler("EMA")
    assert owner_of(partial(made.after_step)) is made
    assert owner_of(around) is look


def test_a_receiver_is_named_by_its_class_and_method_or_its_function():
    assert receiver_name(handler("EMA").after_step) == "EMA.after_step"
    assert receiver_name(partial(look)) == "look"

    class Callable:
        def __call__(self, trainer, state):
            """A receiver without a name."""

    assert receiver_name(Callable()) == "Callable"


def test_a_declared_order_may_be_one_name_or_several_and_a_function():
    late = handler("Late", runs_after="Early")
    assert order(late, handler("Early")) == ["Early", "Late"]
    later = handler("Later", runs_after=("Early", "Late"))
    assert order(later, late, handler("Early")) == ["Early", "Late", "Later"]
    first = handler("First", runs_before="look")
    arranged = arrange([look, first.after_step], "after_step")
    assert [receiver_name(ordered.receiver) for ordered in arranged] == ["First.after_step", "look"]


def test_methods_of_one_handler_are_not_ordered_by_its_own_declaration():
    made = handler("EMA", runs_after=("Handler",))
    assert predecessors([made.after_step, made.also_after_step]) == [{}, {}]


def test_the_reason_names_who_declares_the_order():
    early, late = handler("Early", runs_before=("Late",)), handler("Late", runs_after="Early")
    only_before = handler("Late")
    reasons = [ordered.reason for ordered in arrange([late.after_step, early.after_step], "s")]
    assert reasons == ["order of connection", "declares that it runs after Early.after_step"]
    reasons = [o.reason for o in arrange([only_before.after_step, early.after_step], "s")]
    assert reasons[1] == "Early.after_step declares that it runs before it"


def test_what_closes_a_scope_runs_last_and_the_last_one_first():
    closers = [wraps(look)(lambda trainer, state: None) for _ in range(2)]
    for closer in closers:
        closer.closes_scope = True
    arranged = arrange([*closers, look], "after_batch")
    assert [ordered.receiver for ordered in arranged] == [look, *reversed(closers)]
    assert arranged[-1].reason == "closes a scope: last in, first out"


def test_a_cycle_is_printed_without_what_only_leads_to_it():
    waiting = handler("Waiting", runs_after="One")
    one, other = handler("One", runs_after="Other"), handler("Other", runs_after="One")
    with pytest.raises(OrderError) as raised:
        order(waiting, one, other)
    cycle = "One.after_step runs after Other.after_step runs after One.after_step"
    assert f"has a cycle: {cycle};" in str(raised.value)

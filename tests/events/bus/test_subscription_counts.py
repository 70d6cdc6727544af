import warnings

import pytest

from trackside.events.bus.filters import FilteredReceiver, OnceReceiver
from trackside.events.bus.subscription_counts import SubscriptionCounts


def look(trainer, state):
    """A subscribed function."""


@pytest.fixture
def counts():
    return SubscriptionCounts()


def filtered(counts, every=3, function=look, signal="after_step"):
    receiver = FilteredReceiver(function, every, None)
    counts.add(function, signal, receiver, None)
    return receiver


def once(counts, called, function=look):
    receiver = OnceReceiver(function)
    receiver.detach = lambda: called.append("detached")
    counts.add(function, "after_step", None, receiver)
    return receiver


def test_counts_are_saved_by_function_and_signal_and_go_on(counts):
    receiver = filtered(counts)
    for _ in range(2):
        receiver(None, None)
    saved = counts.state_dict()
    assert saved == {"counts": {"look at after_step": 2}, "done": []}
    other = SubscriptionCounts()
    resumed = filtered(other)
    other.load_state_dict({"counts": {**saved["counts"], "gone": 5}, "done": []})
    assert resumed.count == 2


def test_a_function_that_is_subscribed_again_has_a_number(counts):
    kept = [filtered(counts) for _ in range(3)]
    assert list(counts.state_dict()["counts"]) == [
        "look at after_step",
        "look at after_step 2",
        "look at after_step 3",
    ]
    assert len(kept) == 3


def test_a_subscription_that_is_gone_is_not_saved(counts):
    filtered(counts)
    assert counts.state_dict()["counts"] == {}


def test_once_that_was_called_is_saved_and_detached_when_it_is_restored(counts):
    called = []
    receiver = once(counts, called)
    assert counts.state_dict()["done"] == []
    receiver(None, None)
    saved = counts.state_dict()
    assert (called, saved["done"]) == (["detached"], ["look at after_step"])
    other, resumed = SubscriptionCounts(), []
    kept = once(other, resumed)
    other.load_state_dict({"counts": {}, "done": [*saved["done"], "gone"]})
    assert resumed == ["detached"]
    assert other.state_dict()["done"] == saved["done"]
    assert kept


def test_the_name_of_one_that_was_called_is_not_used_again(counts):
    once(counts, [])(None, None)
    kept = filtered(counts)
    assert list(counts.state_dict()["counts"]) == ["look at after_step 2"]
    assert kept


def test_methods_and_subscriptions_without_a_filter_are_not_counted(counts):
    kept = filtered(counts, function=[].append)
    counts.add(look, "after_step", None, None)
    assert counts.state_dict()["counts"] == {}
    assert kept


def test_a_subscription_that_was_never_called_is_told_once(counts):
    kept = filtered(counts, every=3), filtered(counts, every=1), filtered(counts, every=3)
    kept[0](None, None)
    kept[1](None, None)
    with pytest.warns(UserWarning, match="look") as told:
        counts.warn_if_never_called()
    assert [str(warning.message) for warning in told] == [
        "look at after_step: every=3 was not reached: 1 counted up to the end of this fit; "
        "it was never called"
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts.warn_if_never_called()


def test_one_that_was_called_or_saw_nothing_is_not_told(counts):
    kept = filtered(counts, every=2), filtered(counts, every=2)
    for _ in range(2):
        kept[0](None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        counts.warn_if_never_called()

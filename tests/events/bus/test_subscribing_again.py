from types import MappingProxyType

import pytest
from helpers import batches, trainer_of

from trackside.events import AttachError, Publisher
from trackside.events.bus.subscribing_again import subscribe_again


class Silent(Publisher):
    """Sends no signal."""

    signals = MappingProxyType({})
    activities = ()

    def wrap(self, name, wrapper):
        """It has no activity."""


@pytest.fixture
def seen():
    return []


@pytest.fixture
def trainers():
    return trainer_of(), trainer_of()


def test_a_function_is_subscribed_to_the_same_signals(trainers, seen):
    source, target = trainers

    @source.on("after_step")
    @source.on("begin_fit")
    def look(trainer, state):
        seen.append((trainer is target, state.step))

    assert subscribe_again(look, source, target)
    target.fit(batches(2))
    assert seen == [(True, 0), (True, 1), (True, 2)]


def test_filters_count_anew_in_the_other_trainer(trainers, seen):
    source, target = trainers

    @source.on("after_step", every=2, when=lambda trainer, state: state.step != 2)
    def look(trainer, state):
        seen.append(state.step)

    source.fit(batches(3))
    assert seen == [3]
    assert subscribe_again(look, source, target)
    target.fit(batches(3))
    assert seen == [3, 3]


def test_once_is_once_in_each_trainer(trainers, seen):
    source, target = trainers

    @source.on("after_step", once=True)
    def look(trainer, state):
        seen.append(trainer)

    assert subscribe_again(look, source, target)
    target.fit(batches(2))
    assert seen == [target]


def test_once_at_a_counted_send_is_both_in_each_trainer(trainers, seen):
    source, target = trainers

    @source.on("after_step", every=2, once=True)
    def look(trainer, state):
        seen.append((trainer is target, state.step))

    assert subscribe_again(look, source, target)
    target.fit(batches(4))
    assert seen == [(True, 2)]


def test_a_scope_is_open_in_the_other_trainer(trainers, seen):
    source, target = trainers

    @source.within("train")
    def look(trainer, state):
        seen.append("opens")
        yield
        seen.append("closes")

    assert subscribe_again(look, source, target)
    target.fit(batches(2))
    assert seen == ["opens", "closes"]


def test_what_is_reported_is_seen_in_the_other_trainer(trainers, seen):
    source, target = trainers

    @source.on("reported")
    def look(trainer, state):
        seen.append(dict(state.reported))

    assert subscribe_again(look, source, target)
    target.on("begin_train")(lambda trainer, state: state.report(a=1))
    target.fit(batches(1))
    assert seen == [{"a": 1}]


def test_a_function_that_is_not_subscribed_is_told(trainers):
    source, target = trainers
    source.on("after_step")(lambda trainer, state: None)
    assert not subscribe_again(print, source, target)


def test_a_scope_that_the_other_trainer_does_not_have_is_an_error(trainers):
    source, _ = trainers

    @source.within("epoch")
    def look(trainer, state):
        yield

    with pytest.raises(AttachError, match="epoch"):
        subscribe_again(look, source, Silent())

"""The activity step does what `optimizer.step()` does, whatever that is."""

import functools
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from helpers import batches, equal, model, state_of, trainer_of
from torch import nn
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from trackside.engine.loop.activities import step
from trackside.engine.torch_internals import AROUND_STEP

CLASSES = [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]
DATA = batches(3)


def with_gradients(optimizer_class=torch.optim.SGD):
    net = nn.Linear(2, 3)
    net(torch.ones(1, 2)).sum().backward()
    return net, optimizer_class(net.parameters(), lr=0.1)


def made_by(work, optimizer_class):
    net = model()
    optimizer = optimizer_class(net.parameters(), lr=0.1)
    work(net, optimizer)
    return [parameter.detach() for parameter in net.parameters()], optimizer.state_dict()["state"]


def by_hand(net, optimizer):
    for xb, yb in DATA:
        nn.functional.cross_entropy(net(xb), yb).backward()
        optimizer.step()
        optimizer.zero_grad()


def fitted(net, optimizer):
    trainer_of(net=net, optimizer=optimizer).fit(DATA)


@pytest.mark.parametrize("optimizer_class", CLASSES)
def test_the_weights_and_the_state_of_the_optimizer_are_those_of_its_own_steps(optimizer_class):
    expected, found = made_by(by_hand, optimizer_class), made_by(fitted, optimizer_class)
    assert equal(expected[0], found[0])
    assert str(expected[1]) == str(found[1])


def test_hooks_of_an_optimizer_are_called_around_each_step_until_they_are_removed():
    net, optimizer = with_gradients()
    called = []
    hooks = [
        optimizer.register_step_pre_hook(lambda *_: called.append("before")),
        optimizer.register_step_post_hook(lambda *_: called.append("after")),
    ]
    step(state_of(optimizer=optimizer))
    assert called == ["before", "after"]
    for hook in hooks:
        hook.remove()
    before = net.weight.detach().clone()
    step(state_of(optimizer=optimizer))
    assert called == ["before", "after"]
    assert not torch.equal(net.weight, before)


def test_hooks_of_all_optimizers_are_called_around_each_step():
    _, optimizer = with_gradients()
    called = []
    hooks = [
        register_optimizer_step_pre_hook(lambda *_: called.append("before")),
        register_optimizer_step_post_hook(lambda *_: called.append("after")),
    ]
    try:
        step(state_of(optimizer=optimizer))
    finally:
        for hook in hooks:
            hook.remove()
    assert called == ["before", "after"]


def test_a_step_that_was_set_on_the_optimizer_is_called():
    net, optimizer = with_gradients()
    before, called = net.weight.detach().clone(), []
    optimizer.step = lambda: called.append(True)
    step(state_of(optimizer=optimizer))
    assert called == [True]
    assert torch.equal(net.weight, before)


def test_a_step_that_was_wrapped_on_the_class_is_called(monkeypatch):
    _, optimizer = with_gradients()
    called, before = [], torch.optim.SGD.step

    @functools.wraps(before)
    def counted(*arguments, **keywords):
        called.append(True)
        return before(*arguments, **keywords)

    monkeypatch.setattr(torch.optim.SGD, "step", counted)
    step(state_of(optimizer=optimizer))
    assert called == [True]


def test_a_step_in_whose_place_an_object_stands_that_seems_to_be_it_is_called(monkeypatch):
    _, optimizer = with_gradients()
    called = []

    class Proxy:
        """As tracers put around functions: it has the attributes of the function."""

        def __init__(self, function):
            self.__wrapped__ = function

        def __getattr__(self, name):
            return getattr(self.__wrapped__, name)

        def __get__(self, instance, owner=None):
            return self if instance is None else functools.partial(self, instance)

        def __call__(self, *arguments):
            called.append(True)
            return self.__wrapped__(*arguments)

    monkeypatch.setattr(torch.optim.SGD, "step", Proxy(torch.optim.SGD.step))
    step(state_of(optimizer=optimizer))
    assert called == [True]


def test_a_step_of_a_class_of_its_own_is_called_once_a_batch_of_a_fit():
    class Counted(torch.optim.SGD):
        called = 0

        def step(self, closure=None):
            self.called += 1
            return super().step(closure)

    net = model()
    optimizer = Counted(net.parameters(), lr=0.1)
    trainer_of(net=net, optimizer=optimizer).fit(DATA)
    assert optimizer.called == 3


def test_an_optimizer_that_is_none_of_torch_s_has_its_step_called():
    class Other:
        def __init__(self):
            self.called = 0

        def step(self):
            self.called += 1

    optimizer = Other()
    state = state_of(optimizer=optimizer)
    assert step(state) == "after_step"
    assert (optimizer.called, state.step) == (1, 1)


def test_a_schedule_of_torch_sees_the_steps_of_a_fit():
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1)
    trainer = trainer_of(net=net, optimizer=optimizer)
    trainer.on("after_step")(lambda trainer, state: schedule.step())
    with warnings.catch_warnings():  # one says that the schedule was stepped before the optimizer
        warnings.simplefilter("error")
        trainer.fit(DATA)


def test_a_profile_of_a_fit_names_its_steps():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        trainer.fit(DATA)
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["Optimizer.step#SGD.step"] == 3


def test_a_profile_of_all_threads_names_the_steps_and_zero_grad_of_a_fit_in_another_one():
    of_all_threads = torch._C._profiler._ExperimentalConfig(profile_all_threads=True)
    activities = [torch.profiler.ProfilerActivity.CPU]
    trainer = trainer_of()
    with (
        torch.profiler.profile(
            activities=activities, experimental_config=of_all_threads
        ) as profile,
        ThreadPoolExecutor(1) as other,
    ):
        other.submit(trainer.fit, DATA).result()
    counts = {event.key: event.count for event in profile.key_averages()}
    assert counts["Optimizer.step#SGD.step"] == 3
    assert counts["Optimizer.zero_grad#SGD.zero_grad"] == 1 + 3


def test_a_batch_of_a_fit_is_not_announced_where_no_profiler_records():
    called = []

    def profile(frame, event, argument):
        if event == "call":
            called.append(frame.f_code)

    trainer = trainer_of()
    sys.setprofile(profile)
    try:
        trainer.fit(DATA)
    finally:
        sys.setprofile(None)
    assert torch.optim.SGD.step.__wrapped__.__code__ in called
    assert AROUND_STEP not in called
    assert called.count(torch.optim.Optimizer.zero_grad.__code__) == 1  # before the first batch

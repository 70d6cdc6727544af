import pytest
import torch
from helpers import (
    CANCELS,
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    furthest,
    model,
    raise_at,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import (
    CancelBackwardException,
    CancelBatchException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
)
from trackside.handlers import GradientAccumulation, GradientClip

OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.1),
    "momentum": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
}


class Unsized:
    """A loader without a length; counts the batches that it has yielded."""

    def __init__(self, data):
        self.data = data
        self.given = 0

    def __iter__(self):
        for batch in self.data:
            self.given += 1
            yield batch


def joined_batches(*groups):
    """Each group of batches as one batch."""
    return [tuple(torch.cat(parts) for parts in zip(*group, strict=True)) for group in groups]


def windows(data, k):
    return joined_batches(*(data[i : i + k] for i in range(0, len(data), k)))


def fitted(data, *handlers, optimizer="sgd", epochs=2, **options):
    net = model()
    optim = OPTIMIZERS[optimizer](net.parameters())
    trainer = trainer_of(*handlers, net=net, optimizer=optim)
    trainer.fit(data, epochs=epochs, **options)
    return trainer


def same(trainer, reference):
    return trainer.state.step == reference.state.step and (
        furthest(weights(trainer), weights(reference)) <= 1e-6
    )


SIZES = pytest.mark.parametrize(
    ("sizes", "k"),
    [
        ([4] * 6, 3),
        ([4] * 5, 3),
        ([4, 4, 4, 1], 2),
        ([3, 1, 4, 1, 5, 2, 6], 3),
        ([1, 7, 2], 2),
        ([4] * 3, 1),
        ([4, 2], 8),
    ],
    ids=["even", "incomplete", "short_last", "unequal", "unequal_incomplete", "one", "one_window"],
)


@SIZES
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_window_equals_one_large_batch(sizes, k, optimizer):
    data = batches(size=sizes)
    accumulated = fitted(data, GradientAccumulation(k), optimizer=optimizer)
    assert same(accumulated, fitted(windows(data, k), optimizer=optimizer))


@SIZES
@pytest.mark.parametrize("clip", [{"max_norm": 0.05}, {"value": 0.02}], ids=["norm", "value"])
@pytest.mark.parametrize("clipped_first", [True, False], ids=["attached_before", "attached_after"])
def test_whole_gradient_is_clipped_in_any_attachment_order(sizes, k, clip, clipped_first):
    data = batches(size=sizes)
    handlers = [GradientClip(**clip), GradientAccumulation(k)]
    accumulated = fitted(
        data, *(handlers if clipped_first else handlers[::-1]), optimizer="momentum"
    )
    reference = fitted(windows(data, k), GradientClip(**clip), optimizer="momentum")
    assert same(accumulated, reference)
    assert not same(accumulated, fitted(windows(data, k), optimizer="momentum"))


@SIZES
def test_loader_without_length_gives_the_same_result(sizes, k):
    data = batches(size=sizes)
    unsized = fitted(Unsized(data), GradientAccumulation(k))
    assert equal(weights(unsized), weights(fitted(data, GradientAccumulation(k))))


@pytest.mark.filterwarnings("ignore:train_loader .Unsized. tells 9 batches")
def test_loader_that_ends_before_the_limit_gives_the_same_result():
    data = batches(5)
    limited = fitted(Unsized(data), GradientAccumulation(2), batches_per_epoch=9)
    assert same(limited, fitted(windows(data, 2)))


@pytest.mark.parametrize("loader", [list, Unsized], ids=["sized", "unsized"])
def test_limit_ends_the_last_window(loader):
    data = batches(9)
    limited = fitted(loader(data), GradientAccumulation(2), batches_per_epoch=5)
    assert same(limited, fitted(windows(data[:5], 2)))


def test_endless_iterator_loses_no_batch():
    data = batches(6)
    going_on = fitted(iter(data), GradientAccumulation(2), batches_per_epoch=3)
    assert same(going_on, fitted([*windows(data[:3], 2), *windows(data[3:], 2)], epochs=1))


def test_iterator_loses_no_batch_when_train_is_cancelled_in_a_window():
    data = batches(6)
    trainer = trainer_of(GradientAccumulation(2))
    trainer.on("after_batch", once=True)(cancel_train)
    trainer.fit(iter(data), epochs=2, batches_per_epoch=3)
    assert same(trainer, fitted(joined_batches(data[:3], data[3:4]), epochs=1))


def cancel_train(trainer, state):
    raise CancelTrainException


def test_batch_is_fetched_ahead_only_within_a_window():
    loader, given = Unsized(batches(4)), []
    trainer = trainer_of(GradientAccumulation(2))
    trainer.on("after_batch")(lambda t, state: given.append(loader.given))
    trainer.fit(loader)
    assert given == [2, 2, 4, 4]


@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "after_loss", "begin_backward"])
@pytest.mark.parametrize(
    ("cancelled", "groups"),
    [
        (1, [(0, 2), (3, 4, 5), (6,)]),
        (2, [(0, 1, 3, 4, 5), (6,)]),
        (6, [(0, 1, 2), (3, 4, 5)]),
    ],
    ids=["in_the_middle", "last_of_its_window", "last_of_the_epoch"],
)
def test_cancelled_batch_is_not_accumulated(signal, cancelled, groups):
    data = batches(size=[4, 2, 3, 4, 1, 4, 2])
    trainer = trainer_of(GradientAccumulation(3))

    @trainer.on(signal, when=lambda t, state: state.batch_index == cancelled)
    def cancel(trainer, state):
        raise CancelBatchException

    trainer.fit(data)
    assert same(trainer, fitted(joined_batches(*([data[i] for i in g] for g in groups)), epochs=1))


@pytest.mark.parametrize("signal", ["after_backward", "begin_step"])
@pytest.mark.parametrize(
    ("cancelled", "groups"), [(1, [(0, 1, 2), (3, 4)]), (2, [(0, 1, 2, 3, 4)])]
)
def test_batch_cancelled_after_backward_is_accumulated(signal, cancelled, groups):
    data = batches(size=[4, 2, 3, 4, 1])
    trainer = trainer_of(GradientAccumulation(3))

    @trainer.on(signal, when=lambda t, state: state.batch_index == cancelled)
    def cancel(trainer, state):
        raise CancelBatchException

    trainer.fit(data)
    assert same(trainer, fitted(joined_batches(*([data[i] for i in g] for g in groups)), epochs=1))


@pytest.mark.parametrize("cancel", [CancelStepException, CancelBatchException])
def test_window_with_cancelled_step_goes_into_the_next(cancel):
    data = batches(size=[4, 2, 3, 4])
    trainer = trainer_of(GradientAccumulation(2))
    raise_at(trainer, "begin_step", cancel)  # at batch 1: at batch 0 it is not reached
    trainer.fit(data)
    assert same(trainer, fitted(joined_batches(data), epochs=1))


def test_batch_with_cancelled_backward_adds_nothing():
    data = batches(size=[4, 2, 3, 4])
    trainer = trainer_of(GradientAccumulation(2))
    trainer.on("begin_backward", when=lambda t, state: state.batch_index == 1)(cancel_backward)
    trainer.fit(data)
    assert same(trainer, fitted(joined_batches(data[:1], data[2:]), epochs=1))


def cancel_backward(trainer, state):
    raise CancelBackwardException


def test_window_without_gradients_works():
    trainer = trainer_of(GradientAccumulation(2))
    trainer.on("begin_backward")(cancel_backward)
    trainer.fit(batches(3))
    assert equal(weights(trainer), model().parameters())


def test_backward_that_raises_a_cancel_works():
    trainer = trainer_of()
    trainer.wrap("backward", lambda backward: lambda state: cancel_backward(None, state))
    trainer.attach(GradientAccumulation(2))
    trainer.fit(batches(3))
    assert equal(weights(trainer), model().parameters())


def test_incomplete_window_of_a_cancelled_train_goes_into_next_epoch():
    data = batches(size=[4, 2, 3])
    trainer = trainer_of(GradientAccumulation(3))

    @trainer.on("begin_batch", when=lambda t, state: (state.epoch, state.batch_index) == (0, 2))
    def cancel(trainer, state):
        raise CancelTrainException

    trainer.fit(data, epochs=2)
    assert same(trainer, fitted(joined_batches([*data[:2], *data]), epochs=1))


def test_incomplete_window_is_dropped_when_fit_is_cancelled():
    data = batches(size=[4, 2, 3])
    trainer = trainer_of(GradientAccumulation(3))
    trainer.on("begin_batch", when=lambda t, state: state.batch_index == 2, once=True)(cancel_fit)
    trainer.fit(data)
    assert trainer.state.step == 0
    assert all(parameter.grad is None for parameter in trainer.state.model.parameters())
    trainer.fit(data)
    assert same(trainer, fitted(joined_batches(data), epochs=1))


def cancel_fit(trainer, state):
    raise CancelFitException


def test_incomplete_window_is_dropped_when_fit_fails():
    trainer = trainer_of(GradientAccumulation(3))

    @trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)
    def fail(trainer, state):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches())
    assert all(parameter.grad is None for parameter in trainer.state.model.parameters())


def test_detach_in_a_window_drops_its_gradients():
    data, accumulation = batches(4), GradientAccumulation(2)
    trainer = trainer_of(accumulation)

    @trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)
    def detach(trainer, state):
        trainer.detach(accumulation)

    trainer.fit(data)
    assert same(trainer, fitted(data[1:], epochs=1))


def test_validation_inside_a_window_changes_nothing():
    data = batches(size=[4, 2, 3, 4])
    for loader in (data, Unsized(data)):
        trainer = trainer_of(GradientAccumulation(2))

        @trainer.on("after_batch", when=lambda t, state: state.training and state.batch_index == 2)
        def validate_next(trainer, state):
            state.validate_next = True

        trainer.fit(loader, batches(2))
        assert same(trainer, fitted(windows(data, 2), epochs=1))


def test_other_handlers_see_the_unscaled_loss():
    trainer = trainer_of(GradientAccumulation(2))
    scored, later = [], []
    trainer.on("after_loss")(lambda t, state: scored.append(state.loss))
    for signal in ("after_backward", "after_batch"):
        trainer.on(signal)(lambda t, state: later.append(state.loss))
    trainer.fit(batches(2))
    assert [id(loss) for loss in later] == [id(loss) for loss in scored for _ in range(2)]


def test_loss_is_restored_when_backward_fails():
    trainer, seen = trainer_of(GradientAccumulation(2)), []
    trainer.on("after_loss")(lambda t, state: setattr(state, "loss", state.loss.detach()))
    trainer.on("after_error")(lambda t, state: seen.append(state.loss))
    with pytest.raises(ValueError, match="it needs no gradient"):
        trainer.fit(batches(2))
    assert seen[0].item() == pytest.approx(1.1, abs=0.5)


def test_step_counts_updates():
    assert fitted(batches(5), GradientAccumulation(2), epochs=3).state.step == 9


def test_accumulated_batches_have_a_cancelled_step_with_reason():
    trainer, reasons = trainer_of(GradientAccumulation(3)), []
    trainer.on("after_cancel_step")(lambda t, state: reasons.append(state.cancel.reason))
    trainer.fit(batches(5))
    assert reasons == [
        "batch 1 of 3 accumulated",
        "batch 2 of 3 accumulated",
        "batch 1 of 3 accumulated",
    ]


def test_batches_per_step_is_readable():
    recorded = []
    trainer = trainer_of(GradientAccumulation(2))
    trainer.on("begin_epoch")(lambda t, state: recorded.append(state.batches_per_step))
    trainer.fit(batches(2))
    assert recorded == [2]
    assert trainer.state.batches_per_step == 1


def test_works_on_a_hand_made_state():
    net, accumulation = model(), GradientAccumulation(2)
    state = state_of(model=net, optimizer=torch.optim.SGD(net.parameters(), lr=0.1), n_batches=3)

    def backward(state):
        state.loss.backward()
        return "after_backward"

    (parameter,) = list(net.parameters())[:1]
    for index, size in enumerate((4, 2)):
        state.batch_index, state.batch_size = index, size
        state.loss = parameter.sum() * (index + 1)
        assert accumulation.wrap_backward(backward)(state) == "after_backward"
        if index == 0:
            with pytest.raises(CancelStepException, match="batch 1 of 2"):
                accumulation.begin_step(None, state)
    accumulation.begin_step(None, state)
    assert torch.allclose(parameter.grad, torch.tensor((4 * 1 + 2 * 2) / 6))


def test_loader_error_is_raised_when_its_batch_is_due():
    def loader():
        yield from batches(3)
        raise OSError("the disk is gone")

    trainer, outcomes = trainer_of(GradientAccumulation(2)), []
    trainer.on("after_batch")(lambda t, state: outcomes.append(state.outcome))
    with pytest.raises(OSError, match="the disk is gone"):
        trainer.fit(loader())
    assert outcomes == ["completed"] * 3


def test_loader_cancel_is_raised_when_its_batch_is_due():
    def loader():
        yield from batches(3)
        raise CancelTrainException("enough")

    trainer, outcomes = trainer_of(GradientAccumulation(2)), []
    for signal in ("after_batch", "after_train"):
        trainer.on(signal)(lambda t, state: outcomes.append(state.outcome))
    trainer.fit(loader())
    assert outcomes == ["completed"] * 3 + ["cancelled"]


@pytest.mark.parametrize(("k", "error"), [(0, ValueError), (2.0, TypeError), (True, TypeError)])
def test_batches_must_be_a_positive_int(k, error):
    with pytest.raises(error, match=r"GradientAccumulation\(batches="):
        GradientAccumulation(k)


@pytest.mark.parametrize("loader", [list, Unsized])
def test_no_device_sync(loader):
    trainer = trainer_of(GradientAccumulation(2), net=model().to("meta"), device="meta")
    trainer.fit(loader(batches(size=[4, 2, 1])), epochs=2)
    assert trainer.state.step == 4


@every_cancel
@early_or_late
def test_any_cancel_leaves_no_gradients_for_the_next_fit(signal, scope, early):
    trainer = cancelled_fit(GradientAccumulation(2), signal, scope, early)
    fresh = trainer_of(GradientAccumulation(2))
    for again in (trainer, fresh):
        again.state.model.load_state_dict(model().state_dict())
        again.fit(batches(size=[4, 1, 2]))
    assert equal(weights(trainer), weights(fresh))


@pytest.mark.parametrize("scope", CANCELS)
def test_late_cancel_leaves_no_gradients(scope):
    trainer = cancelled_fit(GradientAccumulation(2), LAST_CHANCE[scope], scope, early=False)
    assert all(parameter.grad is None for parameter in trainer.state.model.parameters())


LAST_CHANCE = {
    "fit": "after_backward",
    "epoch": "after_backward",
    "train": "after_backward",
    "validate": "after_loss",
    "batch": "after_backward",
    "backward": "begin_backward",
    "step": "begin_step",
}

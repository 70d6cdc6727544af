import gc
import weakref

import pytest
import torch
from helpers import (
    CANCELS,
    Trace,
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
from reads import Reads
from torch import nn
from torch.amp import GradScaler

from trackside.events import CancelBackwardException, CancelStepException
from trackside.handlers import GradientAccumulation, GradientClip, LRSchedule, Metrics
from trackside.handlers.performance.mixed_precision import MixedPrecision

BOTH = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
HUGE = 2.0**40
"""A scale whose gradients overflow float16 for some steps."""


def scaler(scale=2.0**8, **options):
    return GradScaler("cpu", init_scale=scale, **options)


def by_hand(data, dtype, scaler=None, clip=None, window=1):
    """The loop of torch's documentation; returns the weights and the number of updates."""
    net, steps = model(), []
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    scaler = scaler or GradScaler("cpu", enabled=False)
    for number, (x, y) in enumerate(data, 1):
        with torch.autocast("cpu", dtype):
            loss = nn.functional.cross_entropy(net(x), y)
        scaler.scale(loss / window).backward()
        if number % window:
            continue
        scaler.unscale_(optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    return list(net.parameters()), len(steps)


def trained(*handlers, data, epochs=1, **options):
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    trainer = trainer_of(*handlers, net=net, optimizer=optimizer, **options)
    trainer.fit(data, epochs=epochs)
    return trainer


class Modes:
    """Records at each signal, and in each watched activity, whether autocast is on."""

    def __init__(self):
        self.at_signals = set()
        self.within = {}

    def any_transition(self, trainer, state, transition):
        self.at_signals.add(torch.is_autocast_enabled("cpu"))

    def _watched(self, name, activity):
        def watch(state):
            self.within.setdefault(name, set()).add(torch.is_autocast_enabled("cpu"))
            return activity(state)

        return watch

    def wrap_forward(self, activity):
        return self._watched("forward", activity)

    def wrap_loss(self, activity):
        return self._watched("loss", activity)

    def wrap_backward(self, activity):
        return self._watched("backward", activity)

    def wrap_step(self, activity):
        return self._watched("step", activity)


def test_bfloat16_equals_a_manual_loop_bitwise():
    expected, _ = by_hand(batches(4) * 3, torch.bfloat16)
    assert equal(weights(trained(MixedPrecision(), data=batches(4), epochs=3)), expected)


@pytest.mark.parametrize("scale", [2.0**8, HUGE], ids=["fits", "overflows"])
def test_float16_equals_a_manual_loop_with_skipped_steps_bitwise(scale):
    ours, theirs = scaler(scale, growth_interval=5), scaler(scale, growth_interval=5)
    data = batches(4)
    trainer = trained(MixedPrecision(torch.float16, ours), data=data, epochs=12)
    expected, steps = by_hand(data * 12, torch.float16, theirs)
    assert equal(weights(trainer), expected)
    assert trainer.state.step == steps
    assert (steps < 48) == (scale == HUGE)
    assert ours.state_dict() == theirs.state_dict()


def test_result_differs_from_full_precision():
    assert not equal(
        weights(trained(MixedPrecision(), data=batches())), weights(trained(data=batches()))
    )


@BOTH
def test_gradients_equal_full_precision_except_for_rounding(dtype):
    trainer = trained(MixedPrecision(dtype), data=batches(), epochs=3)
    plain = trained(data=batches(), epochs=3)
    assert 0 < furthest(weights(trainer), weights(plain)) < 0.01


@BOTH
def test_autocast_is_on_only_in_forward_and_loss(dtype):
    modes = Modes()
    trainer = trainer_of(modes, MixedPrecision(dtype))  # a wrap attached first is the innermost
    trainer.fit(batches(), batches(), epochs=2)
    assert modes.within == {"forward": {True}, "loss": {True}, "backward": {False}, "step": {False}}
    assert modes.at_signals == {False}


def test_validate_and_predict_use_autocast():
    trainer = trainer_of(MixedPrecision())
    dtypes = []
    trainer.on("after_pred")(lambda trainer, state: dtypes.append(state.pred.dtype))
    trainer.predict(batches(1))
    assert dtypes == [torch.bfloat16]
    modes = Modes()
    trainer_of(modes, MixedPrecision()).validate(batches())
    assert modes.within == {"forward": {True}, "loss": {True}}
    assert modes.at_signals == {False}


def test_autocast_of_the_host_is_kept():
    trainer = trainer_of(MixedPrecision())
    with torch.autocast("cpu", torch.float16):
        trainer.fit(batches())
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.float16
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_gradients_are_unscaled_before_clipping_in_any_order(order):
    handlers = [MixedPrecision(torch.float16, scaler()), GradientClip(max_norm=0.1)]
    trainer = trained(*[handlers[i] for i in order], data=batches(4))
    expected, _ = by_hand(batches(4), torch.float16, scaler(), clip=0.1)
    assert equal(weights(trainer), expected)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_accumulated_gradients_are_unscaled_once_in_any_order(order):
    handlers = [
        MixedPrecision(torch.float16, scaler()),
        GradientAccumulation(2),
        GradientClip(max_norm=0.1),
    ]
    trainer = trained(*[handlers[i] for i in order], data=batches(6))
    expected, steps = by_hand(batches(6), torch.float16, scaler(), clip=0.1, window=2)
    assert trainer.state.step == steps == 3
    assert furthest(weights(trainer), expected) < 1e-6


def test_overflow_is_published_as_a_cancelled_step():
    trace, reasons = Trace(), []
    trainer = trainer_of(MixedPrecision(torch.float16, scaler(HUGE)), trace)
    trainer.on("after_cancel_step")(lambda t, state: reasons.append(state.cancel.reason))
    before = weights(trainer)
    trainer.fit(batches(1))
    assert equal(weights(trainer), before)
    assert trainer.state.step == 0
    assert "overflowed float16" in reasons[0]
    assert trace.signals[-7:] == [
        "begin_step",
        "after_cancel_step",
        "after_step",
        "after_batch",
        "after_train",
        "after_epoch",
        "after_fit",
    ]


def test_overflow_lowers_the_scale_and_drops_gradients():
    handler = MixedPrecision(torch.float16, scaler(HUGE))
    net, seen = model(), []
    trainer = trainer_of(handler, net=net)
    trainer.on("after_step")(lambda t, state: seen.extend(p.grad for p in net.parameters()))
    trainer.fit(batches(1))
    assert seen == [None] * 4
    assert handler.scaler.get_scale() == HUGE / 2


def test_overflow_is_not_counted_as_a_step():
    rates = LRSchedule(lambda o: torch.optim.lr_scheduler.StepLR(o, 1, gamma=0.5))
    trainer = trainer_of(MixedPrecision(torch.float16, scaler(HUGE)), rates)
    seen = []
    trainer.on("after_epoch")(lambda t, state: seen.append((state.step, state.lr)))
    trainer.fit(batches(4))
    assert seen == [(0, 0.1)]


def test_other_handlers_see_the_unscaled_loss():
    seen = []
    trainer = trainer_of(MixedPrecision(torch.float16, scaler(2.0**10)), Metrics())

    @trainer.on("after_loss")
    @trainer.on("begin_backward")
    @trainer.on("after_backward")
    @trainer.on("after_batch")
    def see(trainer, state):
        seen.append(state.loss.item())

    trainer.fit(batches(1))
    assert seen == [seen[0]] * 4
    assert trainer.state.metrics["train_loss"] == pytest.approx(seen[0])


def test_step_cancelled_after_unscaling_accumulates_correctly():
    """Gradients unscaled for the cancelled step are scaled again before backward adds to them."""
    trainer = trainer_of(MixedPrecision(torch.float16, scaler(2.0**10)))

    class First:
        runs_after = ("MixedPrecision",)

        def begin_step(self, trainer, state):
            if state.batch_index == 0:
                raise CancelStepException("the first of two")

    trainer.attach(First())
    trainer.fit(batches(2))
    plain = trainer_of(First())
    plain.fit(batches(2))
    assert trainer.state.step == plain.state.step == 1
    assert furthest(weights(trainer), weights(plain)) < 0.01


def test_cancelled_backward_before_the_first_scale_works():
    trainer = trainer_of(MixedPrecision(torch.float16))
    raise_at(trainer, "begin_backward", CancelBackwardException)
    trainer.fit(batches(1))
    assert trainer.state.phase == "completed"


def test_detach_unscales_scaled_gradients():
    handler = MixedPrecision(torch.float16, scaler(2.0**12))
    trainer = trainer_of(handler)
    seen = []

    @trainer.on("after_backward", once=True)
    def take_off(trainer, state):
        trainer.detach(handler)
        seen.extend(p.grad.clone() for p in state.model.parameters())

    trainer.fit(batches(3))
    net = model()
    nn.functional.cross_entropy(net(batches(1)[0][0]), batches(1)[0][1]).backward()
    assert furthest(seen, [p.grad for p in net.parameters()]) < 0.01
    assert trainer.state.step == 3


def test_attach_during_accumulation_scales_existing_gradients():
    handler = MixedPrecision(torch.float16, scaler(2.0**12))
    trainer, plain = trainer_of(GradientAccumulation(2)), trainer_of(GradientAccumulation(2))
    trainer.on("after_step", once=True)(lambda trainer, state: trainer.attach(handler))
    trainer.fit(batches(2))
    plain.fit(batches(2))
    assert furthest(weights(trainer), weights(plain)) < 0.01


def test_fit_that_ends_before_the_step_unscales_gradients():
    trainer = trainer_of(MixedPrecision(torch.float16, scaler(2.0**12)))
    raise_at(trainer, "begin_step", CANCELS["fit"])
    raise_at(trainer, "after_backward", CANCELS["fit"])
    trainer.fit(batches(1))
    assert max(p.grad.abs().max() for p in trainer.state.model.parameters()) < 1


def test_second_fit_continues_with_the_scale():
    handler = MixedPrecision(torch.float16, scaler(HUGE))
    trainer = trainer_of(handler)
    trainer.fit(batches(4), epochs=12)
    first_scale = handler.scaler.get_scale()
    assert first_scale < HUGE
    trainer.validate(batches(2))
    trainer.fit(batches(4))
    assert handler.scaler.get_scale() == first_scale
    assert trainer.state.step == 4


def test_scaler_is_made_for_the_device_when_needed():
    handler = MixedPrecision(torch.float16)
    trainer = trainer_of(handler)
    assert handler.scaler is None
    trainer.fit(batches(1))
    assert handler.scaler.get_scale() == 2.0**16


def test_bfloat16_makes_no_scaler():
    handler = MixedPrecision()
    trainer_of(handler).fit(batches(1))
    assert handler.scaler is None


def test_works_on_a_hand_made_state():
    handler, state = MixedPrecision(), state_of()
    handler.wrap_forward(lambda s: setattr(s, "pred", s.model(torch.zeros(2, 5))) or "x")(state)
    assert state.pred.dtype == torch.bfloat16
    state.pred, state.loss = None, torch.ones(())
    assert handler.wrap_backward(forbidden) is forbidden


def forbidden(state):
    raise AssertionError


def test_bfloat16_causes_no_device_sync():
    trainer = trainer_of(MixedPrecision(), net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


@pytest.mark.parametrize(("window", "expected"), [(1, 6), (3, 2)])
def test_float16_syncs_once_per_optimizer_step(window, expected):
    trainer = trainer_of(
        MixedPrecision(torch.float16, scaler()), GradientAccumulation(window), GradientClip(1.0)
    )
    with Reads() as reads:
        trainer.fit(batches(6))
    assert reads.count - 1 == trainer.state.step == expected  # GradientClip reads one norm a pass


def test_loss_that_is_not_a_tensor_raises_the_usual_error():
    trainer = trainer_of(MixedPrecision(torch.float16), loss_fn=lambda pred, y: 1.0)
    with pytest.raises(TypeError, match="it is a float; expected a scalar tensor"):
        trainer.fit(batches(1))
    assert not torch.is_autocast_enabled("cpu")


def test_error_in_the_model_ends_autocast():
    trainer = trainer_of(MixedPrecision(), net=nn.Sequential(nn.Linear(5, 3), nn.Linear(5, 3)))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trainer.fit(batches(1))
    assert not torch.is_autocast_enabled("cpu")


def test_float16_parameters_raise_at_begin_fit():
    net = model().half()
    with pytest.raises(TypeError, match=r"keep the parameters in float32, without model.half\(\)"):
        trainer_of(MixedPrecision(torch.float16), net=net).fit(batches(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, "bf16", None])
def test_other_dtype_raises(dtype):
    with pytest.raises(ValueError, match=r"allowed: torch\.bfloat16, torch\.float16"):
        MixedPrecision(dtype)


def test_wrong_scaler_raises():
    with pytest.raises(TypeError, match=r"allowed: a torch\.amp\.GradScaler"):
        MixedPrecision(torch.float16, scaler=2.0**16)
    with pytest.raises(ValueError, match="bfloat16 has the range of float32"):
        MixedPrecision(torch.bfloat16, scaler=scaler())


@every_cancel
@early_or_late
def test_any_cancel_leaves_the_next_fit_unchanged(signal, scope, early, undisturbed):
    trainer = cancelled_fit(MixedPrecision(torch.float16), signal, scope, early)
    assert not torch.is_autocast_enabled("cpu")
    trainer.state.model.load_state_dict(model().state_dict())
    trainer.fit(batches(), batches(2))
    assert equal(weights(trainer), undisturbed)


@pytest.fixture(scope="module")
def undisturbed():
    trainer = trainer_of(MixedPrecision(torch.float16))
    trainer.fit(batches(), batches(2))
    return weights(trainer)


@BOTH
@pytest.mark.parametrize("signal", ["begin_batch", "after_pred", "begin_backward", "begin_step"])
def test_detach_inside_a_batch_leaves_nothing(dtype, signal):
    handler = MixedPrecision(dtype)
    trainer = trainer_of(handler)
    trainer.on(signal, once=True)(lambda trainer, state: trainer.detach(handler))
    trainer.fit(batches(3), batches(1))
    assert not torch.is_autocast_enabled("cpu")
    assert trainer.predict(batches(1)).dtype == torch.float32
    assert trainer.state.step == 3
    assert all(w.isfinite().all() for w in weights(trainer))


def test_handler_does_not_keep_the_trainer_alive():
    handler = MixedPrecision(torch.float16)
    trainer = trainer_of(handler)
    trainer.fit(batches(1))
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None

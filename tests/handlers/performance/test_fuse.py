import copy
import functools
import math
import re

import pytest
import torch
from helpers import batches, equal, furthest, model, state_of, trainer_of, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import normed
from pairs import trainer_of_two
from torch import nn

from trackside.events import CancelBatchException, CancelStepException
from trackside.handlers.checkpointing.checkpoint import Checkpoint
from trackside.handlers.optimization.gradient_accumulation import GradientAccumulation
from trackside.handlers.performance import _fusing_trial, fuse
from trackside.handlers.performance._fused_call import FusedCall
from trackside.handlers.performance.compile import Compile
from trackside.handlers.performance.fuse import Fuse
from trackside.handlers.performance.mixed_precision import MixedPrecision

OUTSIDE = ["begin_batch", "after_backward", "begin_step", "after_step", "after_batch"]
BETWEEN = ["after_pred", "after_loss", "begin_backward"]


class Backend:
    """Returns each graph unchanged, and counts its runs; raises `error` once in place of one."""

    def __init__(self):
        self.graphs = 0
        self.runs = 0
        self.error = None

    def __call__(self, graph, inputs):
        self.graphs += 1

        def run(*args):
            self.runs += 1
            if self.error is not None:
                error, self.error = self.error, None
                raise error
            return graph(*args)

        return run


@pytest.fixture
def backend():
    return Backend()


@pytest.fixture(autouse=True)
def _pays(monkeypatch):
    """Decide every trial for the fused call; what it measures is not a matter of tests."""
    monkeypatch.setattr(_fusing_trial, "_GAIN", math.inf)


def pair(backend, *others, trial=1, net=model, **options):
    """A fused trainer and a plain one."""
    fused = trainer_of(Fuse(backend, trial=trial), *(f() for f in others), net=net(), **options)
    return fused, trainer_of(*(make() for make in others), net=net(), **options)


def values(trainer):
    return list(trainer.state.model.state_dict().values())


def fit_both(trainers, *arguments, **options):
    """Fit each with the same random numbers; returns the losses of the batches of each."""
    losses = []
    for trainer in trainers:
        of_this = []
        trainer.on("after_batch")(lambda t, s, of_this=of_this: of_this.append(s.loss.detach()))
        torch.manual_seed(3)
        trainer.fit(*arguments, **options)
        losses.append(of_this)
    return losses


def dropping():
    return nn.Sequential(normed(), nn.Dropout(0.5))


@pytest.mark.parametrize("net", [model, normed, dropping])
def test_weights_are_bit_for_bit_those_without_it(backend, net):
    fused, plain = pair(backend, net=net)
    losses = fit_both((fused, plain), batches(9), batches(2), epochs=2)
    assert backend.runs == 18 - 2  # one batch of each side of the trial is computed by the rows
    assert equal(values(fused), values(plain))
    assert (fused.state.step, fused.state.samples) == (plain.state.step, plain.state.samples)
    assert equal(*losses)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of torch, when it imports inductor
def test_weights_compiled_by_inductor_are_those_without_it_within_1e_5():
    fused, plain = pair("inductor", trial=2)
    fit_both((fused, plain), batches(40), epochs=2)
    assert "forward, loss and backward" in fused.explain("fused")
    assert furthest(weights(fused), weights(plain)) < 1e-5


def test_a_trial_that_does_not_pay_ends_the_compiled_calls(backend, monkeypatch):
    monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    fused, plain = pair(backend, trial=2)
    fit_both((fused, plain), batches(12))
    assert backend.runs == 3  # one that compiles, two that are measured
    assert "not fused, it does not pay" in fused.explain("fused")
    assert equal(weights(fused), weights(plain))


@pytest.mark.parametrize("signal", BETWEEN)
def test_a_receiver_between_ends_fusing_and_its_leaving_resumes_it(backend, signal):
    trainer, _ = pair(backend)
    trainer.fit(batches(5))
    runs, seen = backend.runs, []

    def listen(trainer, state):
        seen.append(state.pred.requires_grad)

    trainer.on(signal)(listen)
    trainer.fit(batches(2))
    assert (backend.runs, seen) == (runs, [True, True])
    assert f"listen receives {signal}" in trainer.explain("fused")
    trainer.detach(listen)
    trainer.fit(batches(2))
    assert backend.runs == runs + 2
    assert trainer.explain("fused").startswith("fused: forward, loss and backward")


def test_a_receiver_added_at_begin_batch_already_changes_the_loss_of_that_batch(backend):
    trainers = pair(backend)

    def double(trainer, state):
        state.loss = state.loss * 2

    for trainer in trainers:
        trainer.on("begin_batch", every=6, once=True)(
            lambda trainer, state: trainer.on("after_loss")(double)
        )
        trainer.fit(batches(8))
    assert equal(*map(weights, trainers))
    assert backend.runs == 5 - 2


@pytest.mark.parametrize("signal", OUTSIDE)
def test_receivers_outside_of_the_stretch_leave_it_fused(backend, signal):
    trainer, _ = pair(backend)
    trainer.on(signal)(lambda trainer, state: None)
    trainer.fit(batches(6))
    assert backend.runs == 4


def test_a_checkpoint_which_needs_no_row_of_the_stretch_leaves_it_fused(backend, tmp_path):
    trainer = trainer_of(Fuse(backend, trial=1), Checkpoint(tmp_path / "saved", epochs=1))
    obstacles = []

    def listen(trainer, state):
        obstacles.append(trainer.explain("fused"))
        trainer.detach(listen)

    trainer.on("after_loss")(listen)
    trainer.fit(batches(7))
    assert backend.runs == 6 - 2
    assert "listen receives after_loss" in obstacles[0]
    assert "Checkpoint" not in obstacles[0]


def test_a_receiver_of_any_transition_ends_fusing(backend):
    trainer, _ = pair(backend)

    class Watch:
        def any_transition(self, trainer, state, transition):
            pass

    trainer.attach(Watch())
    trainer.fit(batches(6))
    assert backend.runs == 0
    assert "Watch.any_transition receives any_transition" in trainer.explain("fused")


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (lambda: Compile(backend="eager"), "Compile.wrap_forward wraps forward"),
        (MixedPrecision, "MixedPrecision.wrap_loss wraps loss"),
        (lambda: GradientAccumulation(2), "GradientAccumulation.wrap_backward wraps backward"),
    ],
)
def test_wraps_of_other_handlers_end_fusing_with_the_reason(backend, other, reason):
    fused, plain = pair(backend, other)
    fit_both((fused, plain), batches(6))
    assert backend.runs == 0
    assert reason in fused.explain("fused")
    assert equal(weights(fused), weights(plain))


def test_a_wrap_made_and_undone_during_a_fit_ends_and_resumes_fusing(backend):
    trainer, _ = pair(backend)
    undo = []

    def wrap(trainer, state):
        if state.batch_index == 5:
            undo.append(trainer.wrap("loss", lambda loss: loss))
        if state.batch_index == 7:
            undo.pop()()

    trainer.on("begin_batch")(wrap)
    trainer.fit(batches(10))
    assert backend.runs == 10 - 2 - 2


@pytest.mark.parametrize(
    "register",
    [
        lambda module, call: module.register_forward_hook(call),
        lambda module, call: module.register_full_backward_pre_hook(call),
        lambda module, call: module.weight.register_hook(call),
        lambda module, call: module.weight.register_post_accumulate_grad_hook(call),
    ],
    ids=["forward", "backward", "gradient", "accumulated"],
)
def test_a_hook_of_a_module_or_a_parameter_is_called_in_every_batch(backend, register):
    calls = []
    trainer, _ = pair(backend)
    trainer.fit(batches(4))
    handle = register(trainer.state.model[2], lambda *_: calls.append(1))
    trainer.fit(batches(2))
    assert len(calls) == 2
    assert "has a hook" in trainer.explain("fused")
    handle.remove()
    runs = backend.runs
    trainer.fit(batches(2))
    assert backend.runs == runs + 2


def test_a_model_whose_gradients_ddp_reduces_is_not_fused(backend):
    dist = torch.distributed
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        reduced = nn.parallel.DistributedDataParallel(model())
        trainer = trainer_of(Fuse(backend, trial=1), net=reduced)
        trainer.fit(batches(4))
    finally:
        dist.destroy_process_group()
    assert backend.runs == 0
    assert "a module or a parameter has a hook" in trainer.explain("fused")


def test_fits_driven_by_steps_are_not_fused(backend):
    trainer, _ = pair(backend)
    for _ in trainer.steps(batches(5)):
        pass
    assert backend.runs == 0
    assert "a host makes one transition at a time" in trainer.explain("fused")


def test_an_optimizer_with_a_closure_is_not_fused_and_the_reason_is_told(backend):
    net = model()
    trainer = trainer_of(
        Fuse(backend, trial=1), net=net, optimizer=torch.optim.LBFGS(net.parameters())
    )
    trainer.fit(batches(4))
    assert backend.runs == 0
    assert "the optimizer needs a closure" in trainer.explain("fused")


def test_several_optimizers_are_not_fused_and_the_reason_is_told(backend):
    trainer = trainer_of_two(Fuse(backend, trial=1))
    trainer.fit(batches(4))
    assert backend.runs == 0
    assert "several models or optimizers" in trainer.explain("fused")


def test_an_activity_of_the_authors_own_is_not_fused(backend):
    net = model()
    own = lambda state: state.loss.backward() or "after_backward"  # noqa: E731
    trainer = trainer_of(Fuse(backend, trial=1), net=net, activities={"backward": own})
    trainer.fit(batches(4))
    assert backend.runs == 0
    assert "the activity backward is not the trainer's own" in trainer.explain("fused")


def test_gradients_that_a_cancelled_step_keeps_are_added_to(backend):
    trainers = pair(backend)

    def keep(trainer, state):
        if state.batch_index % 2:
            raise CancelStepException("later")

    for trainer in trainers:
        trainer.on("begin_step")(keep)
        trainer.fit(batches(9))
    assert backend.runs == 7
    assert equal(*map(weights, trainers))


def test_parameters_without_a_gradient_keep_none(backend):
    class Partial(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = model(), nn.Linear(2, 2)

        def forward(self, x):
            return self.used(x)

    seen = []
    net = Partial()
    decayed = torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.5)
    before = net.unused.weight.detach().clone()
    trainer = trainer_of(Fuse(backend, trial=1), net=net, optimizer=decayed)
    trainer.on("begin_step")(lambda t, state: seen.append(net.unused.weight.grad))
    trainer.fit(batches(6))
    assert backend.runs == 4
    assert (seen, torch.equal(net.unused.weight, before)) == ([None] * 6, True)


def test_one_gradient_of_two_parameters_becomes_two_tensors():
    net = nn.ParameterList([torch.ones(2), torch.ones(2)])
    shared = torch.ones(2)
    FusedCall(state_of(model=net), "eager").add_gradients((shared, shared))
    net[0].grad.mul_(3)
    assert [p.grad.tolist() for p in net] == [[3, 3], [1, 1]]


def test_parameters_unfrozen_or_modes_switched_during_a_fit_train_as_without_it(backend):
    trainers = pair(backend, net=normed)

    def change(trainer, state):
        net = state.model
        net[0].requires_grad_(state.batch_index >= 5)
        net[1].train(state.batch_index < 11)

    for trainer in trainers:
        trainer.on("begin_batch")(change)
        trainer.fit(batches(13))
    assert equal(*map(values, trainers))
    assert backend.runs == (2 + 1) + (2 + 2)
    assert "a mode or a context has changed since it was compiled" in trainers[0].explain("fused")


def test_another_learning_rate_each_batch_compiles_nothing_again(backend):
    trainers = pair(backend)

    def lower(trainer, state):
        state.optimizer.param_groups[0]["lr"] *= 0.9

    for trainer in trainers:
        trainer.on("after_batch")(lower)
        trainer.fit(batches(9))
    assert (backend.graphs, backend.runs) == (1, 7)
    assert equal(*map(weights, trainers))


def test_each_shape_has_a_trial_and_no_more_shapes_than_allowed_are_compiled(backend):
    fused = trainer_of(Fuse(backend, trial=1, shapes=2))
    plain = trainer_of()
    fit_both((fused, plain), batches(size=[4, 2, 3, 5] * 6))
    assert backend.graphs == 2
    assert backend.runs == 2 * (6 - 2)
    assert "batches of other shapes: not fused, 2 shapes are tried" in fused.explain("fused")
    assert equal(weights(fused), weights(plain))


@pytest.mark.parametrize(
    "convert",
    [
        lambda x, y: {"input": x, "labels": y},
        lambda x, y: (x, x, y),
    ],
    ids=["dict", "two inputs"],
)
def test_other_kinds_of_batches_give_the_same_weights(backend, convert):
    class Any(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, input, *others, labels=None):
            pred = self.inner(input)
            if labels is None:
                return pred
            return {"loss": nn.functional.cross_entropy(pred, labels), "logits": pred}

    data = [convert(x, y) for x, y in batches(6)]
    trainers = []
    for handlers in ([Fuse(backend, trial=1)], []):
        trainer = trainer_of(*handlers, net=Any())
        if isinstance(data[0], dict):
            trainer.state.loss_fn = None
        trainers.append(trainer)
        trainer.fit(data)
    assert equal(*map(weights, trainers))


def test_batches_without_a_target_give_the_same_weights(backend):
    trainers = pair(backend, loss_fn=lambda pred: pred.square().mean())
    one, other = fit_both(trainers, [x for x, _ in batches(6)])
    assert equal(one, other)
    assert equal(*map(weights, trainers))
    assert backend.runs > 0


class Moody(nn.Module):
    """Raises, in the phase of the loss, for targets that `raises` is true for."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, pred, y):
        if (y == 2).all():
            raise self.error
        return nn.functional.cross_entropy(pred, y)


def test_a_model_that_cannot_become_one_graph_is_left_to_the_rows(backend):
    data = batches(8)
    data[6] = (data[6][0], torch.full((4,), 2))
    states = []
    for handlers in ([Fuse(backend, trial=1)], []):
        trainer = trainer_of(*handlers, loss_fn=Moody(CancelBatchException("all alike")))
        trainer.fit(data)
        states.append((trainer.state.step, trainer.state.outcome, weights(trainer)))
        if handlers:
            assert "not fused: Unsupported" in trainer.explain("fused")
    (fused, plain) = states
    assert fused[:2] == plain[:2] == (7, "completed")
    assert equal(fused[2], plain[2])


def test_an_error_of_the_loss_is_raised_in_its_own_phase(backend):
    data = batches(8)
    data[6] = (data[6][0], torch.full((4,), 9))  # no such class
    seen = []
    for handlers in ([Fuse(backend, trial=1)], []):
        trainer = trainer_of(*handlers)
        trace = []
        for name in ("after_batch", "after_epoch", "after_error", "after_fit"):
            trainer.on(name)(lambda t, s, trace=trace: trace.append((s.phase, s.outcome, s.step)))
        with pytest.raises(IndexError) as raised:
            trainer.fit(data)
        seen.append((trace, str(raised.value), getattr(raised.value, "__notes__", [])))
    assert seen[0] == seen[1]


def test_an_error_of_the_fused_call_alone_leaves_the_batch_to_the_rows(backend):
    trainers = pair(backend)
    trainers[0].on("begin_batch", every=6, once=True)(
        lambda trainer, state: setattr(backend, "error", RuntimeError("out of registers"))
    )
    fit_both(trainers, batches(9))
    assert equal(*map(weights, trainers))
    assert "not fused: RuntimeError: out of registers" in trainers[0].explain("fused")


def test_an_interrupt_in_the_fused_call_closes_the_scopes(backend):
    trainer, _ = pair(backend)
    closed = []
    for name in ("after_batch", "after_epoch", "after_fit"):
        trainer.on(name)(lambda t, s, name=name: closed.append(name))
    trainer.fit(batches(4))
    closed.clear()
    backend.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches(4))
    assert closed == ["after_batch", "after_epoch", "after_fit"]
    trainer.fit(batches(2))
    assert trainer.state.phase == "completed"


def test_a_cancel_requested_in_the_fused_call_leaves_no_gradients():
    def asking(graph, inputs):
        def run(*args):
            trainer.request(CancelBatchException("from outside"))
            return graph(*args)

        return run

    trainer = trainer_of(Fuse(asking, trial=1))
    trainer.fit(batches(6))
    assert trainer.state.step == 1  # that of the trial which the rows have computed
    assert all(p.grad is None for p in trainer.state.model.parameters())


def test_a_handler_detached_while_its_call_runs_leaves_the_batch_to_the_rows():
    handlers = []

    def detaching(graph, inputs):
        def run(*args):
            trainer.detach(handlers.pop())
            return graph(*args)

        return run

    handlers.append(Fuse(detaching, trial=1))
    trainer, plain = trainer_of(*handlers), trainer_of()
    fit_both((trainer, plain), batches(6))
    assert not handlers
    assert equal(weights(trainer), weights(plain))


def test_attached_to_two_trainers_it_fuses_for_the_last_of_them(backend):
    handler = Fuse(backend, trial=1)
    first, second, plain = trainer_of(handler), trainer_of(handler), trainer_of()
    fit_both((first, plain), batches(6))
    assert backend.runs == 0
    assert equal(weights(first), weights(plain))
    second.fit(batches(6))
    first.detach(handler)
    second.fit(batches(3))
    assert backend.runs == 4 + 3


@pytest.mark.parametrize("part", ["loss_fn", "model"])
def test_a_part_that_is_replaced_in_a_fit_is_computed_by_itself(backend, part):
    trainers = pair(backend)
    for trainer in trainers:
        other = {"loss_fn": nn.CrossEntropyLoss(reduction="sum"), "model": nn.Sequential(model(3))}

        @trainer.on("begin_batch", when=lambda trainer, state: state.batch_index == 6)
        def replace(trainer, state, new=other[part]):
            setattr(state, part, new)

    one, other = fit_both(trainers, batches(12))
    assert one == other
    assert backend.graphs == 2


@pytest.mark.parametrize("kind", ["a text", "a gradient"])
def test_batches_that_no_call_can_take_are_left_to_the_rows(backend, kind):
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, x, note=""):
            return self.inner(x)

    trainer = trainer_of(Fuse(backend, trial=1), net=Reads())
    if kind == "a gradient":
        trainer.on("begin_batch")(lambda trainer, state: state.xb.requires_grad_())
    data = batches(6)
    trainer.fit(data if kind == "a gradient" else [({"x": x, "note": "a"}, y) for x, y in data])
    assert backend.graphs == 0
    assert fuse._UNFIT in trainer.explain("fused")


def test_before_and_in_a_trial_it_says_how_far_it_is(backend):
    trainer = trainer_of(Fuse(backend, trial=4))
    assert trainer.explain("fused") == "fused: nothing yet, no training batch has run"
    trainer.fit(batches(6))
    assert "on trial, 6 of 13 batches" in trainer.explain("fused")


def test_weighted_batches_are_not_fused(backend):
    fused, plain = pair(backend, batch=lambda batch: (*batch, torch.tensor([1.0, 0, 2, 1])))
    fit_both((fused, plain), batches(6))
    assert backend.runs == 0
    assert "some batches have weights" in fused.explain("fused")
    assert equal(weights(fused), weights(plain))


def test_a_resumed_fit_keeps_decisions_and_trials_bit_for_bit(backend, monkeypatch):
    through = trainer_of(Fuse(backend, trial=2))
    through.fit(batches(12))
    for stop in (1, 4, 6, 9):
        first, second = (trainer_of(Fuse(Backend(), trial=2)) for _ in range(2))
        saved = []

        class Save:
            def wrap_fetch(self, fetch, saved=saved, first=first, stop=stop):
                def save(state):
                    if state.batch_index == stop - 1 and not saved:
                        saved.append(copy.deepcopy(first.state_dict()))
                    return fetch(state)

                return save

        first.attach(Save())
        first.fit(batches(12))
        second.fit(batches(12), resume={**saved[0]})
        assert equal(weights(second), weights(through))
        assert str(second.explain("fused")).count("fused: forward") == 1


def test_a_trial_that_resumes_before_its_last_batch_has_measured_nothing(backend):
    first, second = (trainer_of(Fuse(backend, trial=1)) for _ in range(2))
    first.fit(batches(3))
    second.load_state_dict(first.state_dict())
    second.fit(batches(6))
    assert "not fused: nothing was measured" in second.explain("fused")


def test_random_numbers_of_the_host_are_unchanged():
    trainer = trainer_of(Fuse("aot_eager", trial=1))
    before = torch.get_rng_state()
    trainer.fit(batches(6))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_copy_of_an_attached_handler_fuses_for_another_trainer(backend):
    handler = Fuse("eager", trial=1)
    first = trainer_of(handler)
    first.fit(batches(6))
    second, plain = trainer_of(copy.deepcopy(handler)), trainer_of()
    fit_both((second, plain), batches(6))
    assert "forward, loss and backward" in second.explain("fused")
    assert equal(weights(second), weights(plain))


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"backend": "no_such_backend"}, ValueError, "refused by torch.compile"),
        ({"trial": 0}, ValueError, r"Fuse\(trial=0\): allowed: an int, from 1"),
        ({"shapes": 1.5}, TypeError, r"Fuse\(shapes=1.5\): found a float"),
    ],
)
def test_wrong_arguments_raise(arguments, error, reason):
    with pytest.raises(error, match=reason):
        Fuse(**arguments)


@functools.cache
def lasting_pair():
    """Two trainers for many examples, so that compiling is done once."""
    backend = Backend()
    fused, plain = pair(backend)
    fused.fit(batches(6))
    return fused, plain, backend


def scale_loss(trainer, state):
    state.loss = state.loss * 2


def change_pred(trainer, state):
    state.pred = state.pred + 1


def clip(trainer, state):
    for parameter in state.model.parameters():
        if parameter.grad is not None:
            parameter.grad.clamp_(-0.01, 0.01)


def cancel_batch(trainer, state):
    raise CancelBatchException("drawn")


ACTIONS = {
    "after_pred": [change_pred, cancel_batch],
    "after_loss": [scale_loss, cancel_batch],
    "begin_backward": [scale_loss, cancel_batch],
    "after_backward": [clip, cancel_batch],
    "begin_step": [clip],
    "after_step": [cancel_batch],
}
PLANS = st.lists(
    st.sampled_from(sorted(ACTIONS)).flatmap(
        lambda signal: st.tuples(
            st.sampled_from(["begin_batch", "after_backward", "after_step", "after_batch"]),
            st.integers(0, 5),
            st.just(signal),
            st.sampled_from(ACTIONS[signal]),
            st.integers(1, 4),
        )
    ),
    max_size=4,
)


def run_plan(trainer, plan):
    """Subscribe and unsubscribe as planned; returns signals, counters and weights."""
    log, undo = [], []
    with torch.no_grad():
        for parameter, start in zip(
            trainer.state.model.parameters(), model().parameters(), strict=True
        ):
            parameter.copy_(start)

    def direct(name):
        def follow(trainer, state):
            log.append((name, state.phase, state.batch_index, state.step, state.outcome))
            for when, first, signal, action, length in plan:
                if when == name and state.batch_index == first:
                    subscribe(signal, action, first + length)
            for one in [one for one in undo if one[1] <= state.batch_index and name == when_left]:
                undo.remove(one)
                trainer.detach(one[0])

        return follow

    def subscribe(signal, action, until):
        def act(trainer, state):
            log.append((signal, action.__name__, state.phase, state.batch_index))
            action(trainer, state)

        trainer.on(signal)(act)
        undo.append((act, until))

    when_left = "begin_batch"
    outside = [direct(name) for name in OUTSIDE]
    for name, follow in zip(OUTSIDE, outside, strict=True):
        trainer.on(name)(follow)
    try:
        trainer.fit(batches(6))
    finally:
        for follow in (*outside, *(act for act, _ in undo)):
            trainer.detach(follow)
    state = trainer.state
    return log, (state.step, state.samples, state.batch_index, state.phase), weights(trainer)


@settings(max_examples=25, deadline=None)
@given(PLANS)
def test_random_subscriptions_give_equal_signals_counters_and_weights(plan):
    fused, plain, backend = lasting_pair()
    (log, counters, ours), (their_log, theirs, weights_of_plain) = (
        run_plan(trainer, plan) for trainer in (fused, plain)
    )
    assert log == their_log
    assert counters == theirs
    assert equal(ours, weights_of_plain)
    runs = backend.runs
    fused.fit(batches(1))
    plain.fit(batches(1))
    assert backend.runs == runs + 1, "it fuses where nobody listens"


def test_batches_of_a_shape_that_is_left_to_the_rows_look_for_no_hooks(backend, monkeypatch):
    monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    trainer, _ = pair(backend)
    looked = []

    def look(call):
        looked.append(call)
        return False

    monkeypatch.setattr(FusedCall, "has_hooks", look)
    trainer.fit(batches(10))
    assert len(looked) == 4  # the trial's


class Watched(Fuse):
    """Notes of each wrap whether it has returned the activity itself when it was called last."""

    def _noted(self, name, own, wrapped):
        self.off = {**getattr(self, "off", {}), name: wrapped is own}
        return wrapped

    def wrap_forward(self, forward):
        return self._noted("forward", forward, super().wrap_forward(forward))

    def wrap_loss(self, loss):
        return self._noted("loss", loss, super().wrap_loss(loss))

    def wrap_backward(self, backward):
        return self._noted("backward", backward, super().wrap_backward(backward))


def test_where_it_does_not_pay_no_wrap_is_left_around_the_activities(backend, monkeypatch):
    monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    handler, plain = Watched(backend, trial=1), trainer_of()
    trainer = trainer_of(handler)
    off = []
    trainer.on("after_batch")(lambda trainer, state: off.append(handler.off.copy()))
    fit_both((trainer, plain), batches(10))
    assert [set(one.values()) for one in off] == [{False}] * 7 + [{True}] * 3  # 4 are the trial's
    assert "it does not pay" in trainer.explain("fused")
    assert equal(weights(trainer), weights(plain))


def test_it_looks_again_in_the_third_and_the_sixth_pass_of_a_fit(backend, monkeypatch):
    monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    handler = Watched(backend, trial=1)
    trainer = trainer_of(handler)
    looked = []

    def note(trainer, state):
        if not handler.off["forward"]:
            looked.append(state.epoch)

    trainer.on("begin_batch")(note)
    trainer.fit(batches(9), epochs=7)
    assert looked == [0] * 8 + [2] * 4 + [5] * 4


def test_a_shape_that_comes_after_one_that_does_not_pay_is_tried_in_a_later_pass(
    backend, monkeypatch
):
    monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    halves = [(x[:2], y[:2]) for x, y in batches(9)]

    def later(trainer, state):
        if state.epoch == 1:
            state.train_loader = halves
            monkeypatch.setattr(_fusing_trial, "_GAIN", math.inf)

    trainers = pair(backend)
    for trainer in trainers:
        trainer.on("begin_epoch")(later)
        trainer.fit(batches(9), epochs=4)
        monkeypatch.setattr(_fusing_trial, "_GAIN", 0)
    assert backend.runs == 2 + 2 * 9 - 2  # the trials compute some batches by the rows
    assert trainers[0].explain("fused").startswith("fused: forward, loss and backward")
    assert equal(*map(weights, trainers))


def test_no_other_shape_is_tried_when_compiling_has_taken_too_long(backend, monkeypatch):
    monkeypatch.setattr(fuse, "_MOST_SECONDS", 0)
    trainers = pair(backend)
    halves = [(x[:2], y[:2]) for x, y in batches(6)]
    fit_both(trainers, [*batches(6), *halves])
    assert backend.runs == 6 - 2
    assert re.search(r"other shapes: not fused, compiling has taken", trainers[0].explain("fused"))
    assert equal(*map(weights, trainers))

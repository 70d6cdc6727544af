"""Resume a fit from a state dict with any kind of loader; refuse one that does not fit."""

import random
import warnings

import numpy
import pytest
import torch
from helpers import Trace, batches, equal, model, sample, trainer_of, weights
from resumable import Images, job, net
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Sampler

from trackside.engine import KeyedLoader, ResumeError, Trainer
from trackside.events import CancelBatchException, CancelTrainException
from trackside.handlers import (
    EMA,
    GradientAccumulation,
    History,
    LimitBatches,
    Metrics,
    OneCycle,
    StepLimit,
    ValidateEvery,
)
from trackside.views import Job
from trackside.views.verify.resume_worker import ResumeCheck
from trackside.views.verify.verify_resume import MEASURED

REPLAY = "ignore:.*cannot save its position"


def with_loaders(train, valid=None, *handlers):
    made = job(Metrics(), *handlers)
    return Job(made.trainer, train, valid)


def differences(make, folder, epochs=2, count=1_000):
    """(boundary, difference) for each boundary, or for `count`, at which a resumed fit differs."""
    whole = ResumeCheck(make(), folder, MEASURED).run_baseline(epochs)
    numbers = sample(range(len(whole["boundaries"])), count)
    found = [
        (number, ResumeCheck(make(), folder, MEASURED).resume(number, whole)) for number in numbers
    ]
    return [(number, rest["difference"]) for number, rest in found if rest["difference"]]


class Unsized:
    """Batches without a length."""

    def __init__(self, given):
        self.given = given
        self.sampler = getattr(given, "sampler", None)  # where a generator is looked for

    def __iter__(self):
        return iter(self.given)


class ThirdPartyLoader:
    """A third-party loader with a position."""

    def __init__(self, given):
        self.given = given
        self.read = 0
        self.starts_at = 0

    def __iter__(self):
        self.read, self.starts_at = self.starts_at, 0
        while self.read < len(self.given):
            self.read += 1
            yield self.given[self.read - 1]
        self.read = 0

    def state_dict(self):
        return {"read": self.read}

    def load_state_dict(self, state):
        self.starts_at = state["read"]


class DrawsAtItsEnd(Sampler):
    """Draws from a global generator when it is exhausted, as torch's sampler from its own."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __iter__(self):
        yield from range(self.count)
        random.random()


class Longer(Unsized):
    """Has more batches than it says."""

    def __len__(self):
        return 3


class Rows(IterableDataset):
    def __iter__(self):
        return ((image, target) for image, target in (Images(10)[i] for i in range(10)))


def images(count=4, size=4):
    data = Images(count * size)
    return [
        (torch.stack([data.images[i] for i in range(n, n + size)]), data.targets[n : n + size])
        for n in range(0, count * size, size)
    ]


def examples(count):
    data = Images(count)
    return list(zip(data.images, data.targets, strict=True))


def seeded_generator():
    return torch.Generator().manual_seed(5)


LOADERS = {
    "a list": images,
    "third-party": lambda: ThirdPartyLoader(images()),
    "a DataLoader": lambda: DataLoader(Images(14), 4, shuffle=True),
    "with a generator": lambda: DataLoader(
        Images(14), 4, shuffle=True, generator=seeded_generator()
    ),
    "with workers": lambda: DataLoader(Images(14), 4, shuffle=True, num_workers=1),
    "a draw at the end": lambda: DataLoader(
        Images(16), 4, shuffle=True, generator=seeded_generator()
    ),
    "a global draw at the end": lambda: DataLoader(Images(16), 4, sampler=DrawsAtItsEnd(16)),
    "more batches than its length": lambda: Longer(images(5)),
    "a draw, no length": lambda: Unsized(
        DataLoader(examples(16), 4, shuffle=True, generator=seeded_generator())
    ),
    "an IterableDataset": lambda: DataLoader(Rows(), 4),
    "without a length": lambda: Unsized(images()),
}


each_count = pytest.mark.parametrize("count", [8, pytest.param(1_000, marks=pytest.mark.long)])
"""Of the boundaries: some that are drawn, or all."""


@pytest.mark.filterwarnings(REPLAY, "ignore:train_loader .Longer. tells 3 batches, and gave 5")
@each_count
@pytest.mark.parametrize("kind", LOADERS)
def test_a_fit_resumes_with_any_kind_of_loader(kind, count, tmp_path):
    make, count = LOADERS[kind], min(count, 3 if kind == "with workers" else count)
    handlers = () if kind == "with workers" else (ValidateEvery(steps=3),)
    found = differences(lambda: with_loaders(make(), make(), *handlers), tmp_path, count=count)
    assert found == []


@pytest.mark.filterwarnings(REPLAY)
@each_count
@pytest.mark.parametrize(
    "limit",
    [lambda: StepLimit(4), lambda: StepLimit(3), lambda: LimitBatches(train=4, valid=4)],
    ids=["at the last batch", "before it", "to the length"],
)
@pytest.mark.parametrize("kind", ["a draw at the end", "with a generator", "a list"])
def test_a_fit_resumes_at_any_batch_of_a_limited_pass(kind, limit, count, tmp_path):
    make = LOADERS[kind]
    found = differences(lambda: with_loaders(make(), make(), limit()), tmp_path, count=count)
    assert found == []


@pytest.mark.parametrize("kind", ["third-party", "without a length", "a draw, no length"])
@pytest.mark.filterwarnings(REPLAY)
def test_a_fit_resumes_where_a_batch_is_read_ahead(kind, tmp_path):
    make = LOADERS[kind]
    assert differences(lambda: with_loaders(make(), None, GradientAccumulation(3)), tmp_path) == []


@pytest.mark.filterwarnings(REPLAY)
def test_a_fit_resumes_in_an_endless_stream_that_is_passed_again(tmp_path):
    def endless():
        while True:
            yield from images()

    whole = trainer_of(net=net())
    states = []
    for transition in whole.steps(endless(), None, 3, batches_per_epoch=3):
        if transition.trigger == "after_batch":
            states.append(cloned(whole.state_dict()))
    for state in states:
        rest = trainer_of(net=net())
        rest.fit(endless(), resume=state)
        assert equal(weights(rest), weights(whole))


def cloned(state):
    return torch.utils._pytree.tree_map(
        lambda part: part.clone() if isinstance(part, torch.Tensor) else part, state
    )


@pytest.mark.parametrize("limited", [True, False])
def test_a_cancelled_training_pass_is_not_resumed(limited, tmp_path):
    class CutShort:
        def after_batch(self, trainer, state):
            if state.training and state.epoch == 0 and state.batch_index == 1:
                raise CancelTrainException("enough")

    def make():
        made = job(Metrics(), LimitBatches(train=3) if limited else CutShort())
        return Job(made.trainer, made.train_loader)

    assert differences(make, tmp_path, epochs=3) == []


def test_a_fit_resumes_after_cancelled_batches(tmp_path):
    class SkipsSome:
        def after_loss(self, trainer, state):
            if state.batch_index == 1:
                raise CancelBatchException("no")

    assert differences(lambda: job(Metrics(), SkipsSome(), History()), tmp_path) == []


def test_replaying_a_loader_warns_and_says_what_is_exact():
    trainer = trainer_of()
    data = Unsized(batches(3))
    state = None
    for transition in trainer.steps(data):
        if transition.trigger == "after_batch" and trainer.state.batch_index == 1:
            state = cloned(trainer.state_dict())
    with pytest.warns(UserWarning, match=r"train_loader \(Unsized\).*first 2 batches.*Exact:.*Not"):
        trainer_of().fit(data, resume=state)


def test_at_the_boundary_of_an_epoch_no_loader_is_replayed():
    data = DataLoader(Images(14), 4, shuffle=True)
    trainer = trainer_of(net=net())
    state = next(
        cloned(trainer.state_dict())
        for transition in trainer.steps(data, None, 2)
        if transition.trigger == "after_epoch"
    )
    with warnings.catch_warnings(action="error"):
        trainer_of(net=net()).fit(data, resume=state)


def stopped_after(trainer, signal, *loaders, **options):
    """The state of a fit after the first time that a signal was sent."""
    for transition in trainer.steps(*loaders, **options):
        if transition.trigger == signal:
            return cloned(trainer.state_dict())
    raise AssertionError(f"{signal} was never sent")


# what handlers receive


class ScopeRecorder:
    """Records its signals and the opening and closing of its scopes."""

    def __init__(self):
        self.received = []

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        raise AssertionError("its saved state is empty")

    def begin_fit(self, trainer, state):
        self.received.append("begin_fit")

    def resumed(self, trainer, state):
        self.received.append(f"resumed in {state.phase}, step {state.step}")

    def within_train(self, trainer, state):
        self.received.append("train opens")
        yield
        self.received.append(f"train closes: {state.outcome}")

    def within_fit(self, trainer, state):
        self.received.append("fit opens")
        yield
        self.received.append("fit closes")


def test_handlers_get_resumed_instead_of_begin_fit_and_reopen_their_scopes():
    state = stopped_after(trainer_of(ScopeRecorder()), "after_batch", batches(2))
    recorder, trace = ScopeRecorder(), Trace()
    trainer_of(recorder, trace).fit(batches(2), resume=state)
    assert recorder.received == [
        "resumed in fit.epoch.train.fetch, step 1",
        "fit opens",
        "train opens",
        "train closes: completed",
        "fit closes",
    ]
    assert trace.signals[0] == "begin_batch"


def test_functions_can_subscribe_to_resumed_and_explain_lists_them():
    state = stopped_after(trainer_of(), "after_batch", batches(2))
    trainer, received = trainer_of(), []
    trainer.on("resumed")(lambda trainer, state: received.append(state.batch_index))
    trainer.fit(batches(2), resume=state)
    assert received == [0]
    assert trainer.explain("resumed").startswith("resumed: 1 to run")


def test_filtered_subscriptions_continue_to_count():
    def subscribed(received):
        trainer = trainer_of()
        trainer.on("after_batch", every=2)(lambda t, state: received.append(state.batch_index))
        trainer.on("after_batch", once=True)(lambda t, state: received.append("once"))
        return trainer

    state = stopped_after(subscribed([]), "after_batch", batches(4))
    received = []
    subscribed(received).fit(batches(4), resume=state)
    assert received == [1, 3]


# what is restored


def test_the_global_generators_are_restored():
    """The fits of resumable.py show that a resumed fit equals one that was not stopped."""

    def drawing(found):
        trainer = trainer_of()

        @trainer.on("after_batch")
        def draw(trainer, state):
            found.append((random.random(), numpy.random.rand(), torch.rand(()).item()))

        return trainer

    state = stopped_after(drawing([]), "after_batch", batches(3))
    first, second = [], []
    for found in (first, second):
        drawing(found).fit(batches(3), resume=state)
        random.seed(1)
        numpy.random.seed(1)
        torch.manual_seed(1)
    assert first == second


def test_a_generator_of_a_module_is_restored():
    class Noisy(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.own = seeded_generator()

        def forward(self, x):
            return super().forward(x) + torch.rand(3, generator=self.own)

    def make():
        torch.manual_seed(0)
        return trainer_of(net=Noisy())

    whole = make()
    state = stopped_after(make(), "after_batch", batches(3))
    whole.fit(batches(3))
    rest = make()
    rest.fit(batches(3), resume=state)
    assert equal(weights(rest), weights(whole))


def test_accumulated_gradients_are_restored():
    def make():
        return trainer_of(GradientAccumulation(3))

    whole = make()
    whole.fit(batches(3))
    state = stopped_after(make(), "after_batch", batches(3))
    assert set(state["gradients"]) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    rest = make()
    rest.fit(batches(3), resume=state)
    assert equal(weights(rest), weights(whole))


def test_module_modes_and_frozen_parameters_are_restored():
    def make():
        trainer = trainer_of(net=net())

        @trainer.on("begin_train")
        def freeze(trainer, state):
            state.model[1].eval()
            state.model[0].weight.requires_grad_(False)

        return trainer

    state = stopped_after(make(), "after_batch", images())
    rest, seen = make(), []
    rest.on("begin_batch")(
        lambda trainer, state: seen.append(
            (state.model[1].training, state.model[2].training, state.model[0].weight.requires_grad)
        )
    )
    rest.fit(images(), resume=state)
    assert set(seen) == {(False, True, False)}


def test_non_persistent_buffers_are_restored():
    class Counting(nn.Linear):
        def __init__(self):
            super().__init__(5, 3)
            self.register_buffer("calls", torch.zeros(()), persistent=False)

        def forward(self, x):
            self.calls += 1
            return super().forward(x)

    state = stopped_after(trainer_of(net=Counting()), "after_batch", batches(3))
    rest = trainer_of(net=Counting())
    rest.fit(batches(3), resume=state)
    assert rest.state.model.calls == 3


def test_the_parameters_of_a_loss_are_saved():
    class Scaled(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, pred, target):
            return super().forward(pred * self.scale, target)

    def make():
        loss, net = Scaled(), model()
        optimizer = torch.optim.Adam([*net.parameters(), *loss.parameters()], lr=0.1)
        return Trainer(net, loss, optimizer)

    whole, rest = make(), make()
    whole.fit(batches(3))
    state = stopped_after(make(), "after_batch", batches(3))
    assert "loss_fn.scale" in state["optimizer"]["state"]
    rest.fit(batches(3), resume=state)
    assert equal(weights(rest), weights(whole))
    assert torch.equal(rest.state.loss_fn.scale, whole.state.loss_fn.scale)


def test_two_handlers_of_one_class_do_not_collide():
    def make():
        return trainer_of(EMA(0.5, validate=False), EMA(0.9, final="trained"))

    state = stopped_after(make(), "after_batch", batches(4))
    assert list(state["handlers"]) == ["EMA", "EMA-2"]
    whole, rest = make(), make()
    whole.fit(batches(4))
    rest.fit(batches(4), resume=state)
    for one, other in zip(whole.handlers, rest.handlers, strict=True):
        assert equal(one.averaged.parameters(), other.averaged.parameters())


# the arguments of the fit


def test_a_resumed_fit_keeps_its_number_of_epochs():
    state = stopped_after(trainer_of(), "after_epoch", batches(2), epochs=3)
    assert trainer_of().fit(batches(2), resume=state).step == 6


def test_a_resumed_fit_can_be_given_more_epochs():
    state = stopped_after(trainer_of(), "after_epoch", batches(2), epochs=1)
    assert trainer_of().fit(batches(2), epochs=4, resume=state).step == 8


def test_a_planned_schedule_refuses_another_number_of_epochs():
    state = stopped_after(trainer_of(OneCycle(0.1)), "after_epoch", batches(2), epochs=2)
    with pytest.raises(ValueError, match="OneCycle has planned 4 steps, and the fit has 6 now"):
        trainer_of(OneCycle(0.1)).fit(batches(2), epochs=3, resume=state)


def test_a_state_dict_can_be_used_twice():
    state = stopped_after(trainer_of(History(), EMA(0.5)), "after_batch", batches(3), epochs=2)
    results = []
    for _ in range(2):
        rest = trainer_of(History(), EMA(0.5))
        rest.fit(batches(3), resume=state)
        results.append(weights(rest))
    assert equal(*results)
    assert state["handlers"]["History"]["rows"] == []


def test_steps_start_and_astream_resume_too():
    state = stopped_after(trainer_of(), "after_batch", batches(3))
    assert trainer_of().start(batches(3), resume=state).result(60).step == 3
    assert sum(t.trigger == "after_step" for t in trainer_of().steps(batches(3), resume=state)) == 2


# what is refused


def test_saving_inside_a_batch_is_refused():
    trainer = trainer_of()
    trainer.on("after_loss")(lambda trainer, state: trainer.state_dict())
    with pytest.raises(RuntimeError, match=r"cannot save in fit\.epoch\.train\.batch\.scored"):
        trainer.fit(batches(1))


def test_saving_inside_validate_is_refused():
    trainer = trainer_of()
    trainer.on("begin_validate")(lambda trainer, state: trainer.state_dict())
    with pytest.raises(RuntimeError, match="of a validate"):
        trainer.validate(batches(1))


def test_a_state_saved_outside_of_a_fit_can_be_loaded_but_not_resumed():
    trainer = trainer_of()
    trainer.fit(batches(2))
    state = cloned(trainer.state_dict())
    with pytest.raises(ResumeError, match="outside of a fit, in phase completed"):
        trainer_of().fit(batches(2), resume=state)
    other = trainer_of(net=model(seed=3))
    other.load_state_dict(state)
    assert equal(weights(other), weights(trainer))


def refused(other, match, loaders=None, **changes):
    state = stopped_after(trainer_of(History()), "after_batch", batches(2)) | changes
    trace = Trace()
    other.attach(trace)
    before, generator = weights(other), torch.get_rng_state()
    with pytest.raises(ResumeError, match=match):
        other.fit(*(loaders or [batches(2)]), resume=state)
    assert equal(weights(other), before)
    assert other.state.phase == "idle"
    assert trace.signals == []
    assert torch.equal(torch.get_rng_state(), generator)


def test_a_state_of_another_model_is_refused_with_the_differences():
    other = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 3), nn.Linear(3, 3))
    match = r"0\.bias is \(8,\) float32 in the state dict, \(9,\) float32 in.*3\.bias is missing"
    refused(trainer_of(History(), net=other), match)


def test_a_state_of_another_optimizer_is_refused():
    net = model()
    adam = torch.optim.Adam(net.parameters())
    refused(
        trainer_of(History(), net=net, optimizer=adam),
        "optimizer is SGD in the state dict, Adam in this",
    )
    net = model()
    some = torch.optim.SGD(net[0].parameters(), lr=0.1)
    refused(
        trainer_of(History(), net=net, optimizer=some), r"2\.bias is optimized only in the state"
    )


def test_the_state_of_a_missing_handler_is_refused_by_name():
    refused(trainer_of(Metrics()), "handlers that are not attached: History; attached: Metrics")


def test_a_state_of_another_chart_is_refused():
    refused(trainer_of(History()), "another chart", chart=["begin_fit: idle → elsewhere"])


def test_a_newer_format_is_refused():
    refused(trainer_of(History()), "has format 99, from a newer trackside", format=99)


def test_a_dict_that_is_not_a_state_dict_is_refused():
    with pytest.raises(ResumeError, match="a dict without a format is not the state dict"):
        trainer_of().fit(batches(1), resume={"model": {}})


def test_another_kind_of_loader_is_refused():
    loader = KeyedLoader(batches(2))
    had = "train_loader=a KeyedLoader: the saved fit's loader had no state_dict()"
    refused(trainer_of(History()), had, [loader])


def test_a_valid_loader_that_the_saved_fit_had_not_is_refused():
    refused(
        trainer_of(History()),
        "valid_loader=a list: the saved fit had none",
        [batches(2), batches(1)],
    )


def test_a_logger_that_cannot_load_is_detached_and_the_fit_continues(caplog):
    class Logger(ScopeRecorder):
        on_error = "detach"

        def state_dict(self):
            return {"some": 1}

        def load_state_dict(self, state):
            raise OSError("the file is gone")

    state = stopped_after(trainer_of(Logger()), "after_batch", batches(2))
    trainer = trainer_of(Logger())
    assert trainer.fit(batches(2), resume=state).outcome == "completed"
    assert trainer.handlers == []
    assert "handler Logger cannot save or load its state" in caplog.text


def test_if_a_handler_cannot_load_the_scopes_close_and_the_trainer_is_idle():
    class CannotLoad(ScopeRecorder):
        def state_dict(self):
            return {"some": 1}

        def load_state_dict(self, state):
            raise KeyError("unknown state")

    state = stopped_after(trainer_of(CannotLoad()), "after_batch", batches(2))
    handler = CannotLoad()
    trainer = trainer_of(handler)
    with pytest.raises(KeyError, match="unknown state"):
        trainer.fit(batches(2), resume=state)
    assert trainer.state.phase == "idle"
    assert handler.received[-2:] == ["train closes: failed", "fit closes"]
    assert trainer.fit(batches(2)).outcome == "completed"


def test_a_running_trainer_refuses_to_load_a_state_dict():
    trainer = trainer_of()
    saved = trainer.state_dict()
    trainer.on("begin_batch")(lambda trainer, state: trainer.load_state_dict(saved))
    with pytest.raises(RuntimeError, match="cannot load a state dict while this Trainer is in"):
        trainer.fit(batches(1))


# what handlers keep


class Counting:
    def __init__(self):
        self.batches = 0
        self.seen = {"losses": []}

    def after_batch(self, trainer, state):
        self.batches += 1
        self.seen["losses"].append(state.loss.item())


def test_a_handler_that_cannot_save_its_state_causes_a_warning():
    trainer = trainer_of(Counting())
    with pytest.warns(UserWarning, match="handler Counting keeps batches, seen and cannot save it"):
        stopped_after(trainer, "after_batch", batches(2))


def test_references_to_what_the_trainer_saves_cause_no_warning():
    class Pointing:
        def begin_fit(self, trainer, state):
            self.parameters = list(state.model.parameters())

    class Quiet:
        def __init__(self):
            self.trainer, self.limit = None, 3

        def attached(self, trainer):
            self.trainer, self.model = trainer, trainer.state.model
            self.parameters = list(trainer.state.model.parameters())

        def after_batch(self, trainer, state):
            pass

    with warnings.catch_warnings(action="error"):
        stopped_after(trainer_of(Quiet()), "after_batch", batches(2))
    with pytest.warns(UserWarning, match="Pointing keeps parameters"):
        stopped_after(trainer_of(Pointing()), "after_batch", batches(2))


class Endless(IterableDataset):
    """A `DataLoader` of it has `__len__`, which raises."""

    def __iter__(self):
        return iter(())


class Keeping:
    def __init__(self, kept):
        self.kept = kept

    def after_batch(self, trainer, state):
        pass


@pytest.mark.parametrize(
    "kept",
    [
        DataLoader(Endless()),
        numpy.array(3.0),
        numpy.zeros(3, numpy.float32),
        numpy.full((2, 2, 2, 2, 2), numpy.nan),
        [numpy.float32(1), numpy.zeros(5_000)],
    ],
    ids=["a loader without a length", "no dimension", "float32", "nan", "a list"],
)
def test_what_a_handler_keeps_as_it_is_causes_no_warning(kept):
    with warnings.catch_warnings(action="error"):
        stopped_after(trainer_of(Keeping(kept)), "after_batch", batches(2))


def test_an_array_that_a_handler_changes_in_place_causes_a_warning():
    class Adding(Keeping):
        def after_batch(self, trainer, state):
            self.kept += 1

    trainer = trainer_of(Adding(numpy.zeros((2, 2), numpy.float32)))
    with pytest.warns(UserWarning, match="handler Adding keeps kept and cannot save it"):
        stopped_after(trainer, "after_batch", batches(2))


def test_state_that_is_not_plain_data_is_refused_by_handler_and_key():
    class Odd(Counting):
        def state_dict(self):
            return {"paths": [{1, 2}]}

        def load_state_dict(self, state):
            pass

    with pytest.raises(TypeError, match=r"handler Odd: state_dict\(\)\['paths'\]\[0\] is a set"):
        stopped_after(trainer_of(Odd()), "after_batch", batches(1))


def test_numpy_numbers_are_saved_as_python_numbers(tmp_path):
    trainer = trainer_of(History())
    trainer.on("after_train")(lambda t, state: state.metrics.update(score=numpy.float64(0.5)))
    state = stopped_after(trainer, "after_epoch", batches(1))
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    assert loaded["handlers"]["History"]["rows"][0]["score"] == 0.5

import weakref

import pytest
import torch
from helpers import (
    Trace,
    batches,
    cancelled_fit,
    equal,
    every_cancel,
    furthest,
    model,
    trainer_of,
    weights,
)
from torch import nn
from torch.amp import GradScaler

from trackside.engine import SUPERVISED, Chart, set_batch, update
from trackside.handlers import GradientAccumulation, GradientClip, Metrics
from trackside.handlers.performance.activation_checkpointing import ActivationCheckpointing
from trackside.handlers.performance.compile import Compile
from trackside.handlers.performance.mixed_precision import MixedPrecision
from trackside.handlers.performance.split_on_out_of_memory import SplitOnOutOfMemory

WHERE = pytest.mark.parametrize("where", ["forward", "loss", "backward"])


def out_of_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


class Refusing(torch.autograd.Function):
    """Raises out of memory in the backward pass of more than `limit` examples."""

    @staticmethod
    def forward(ctx, x, limit):
        ctx.limit = limit
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        if grad.size(0) > ctx.limit:
            raise out_of_memory()
        return grad, None


class Small(nn.Module):
    """Raises out of memory in training, at `where`, for more than `limit` examples."""

    def __init__(self, limit=100, where="forward", valid_limit=100, inner=None):
        super().__init__()
        self.inner = inner or model()
        self.limit = limit
        self.where = where
        self.valid_limit = valid_limit
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        if self.where == "forward" or not self.training:
            self.refuse(len(x))
        x = self.inner[0](x)
        if self.where == "backward" and self.training:
            x = Refusing.apply(x, self.limit)
        return self.inner[1:](x)

    def refuse(self, examples):
        if examples > (self.limit if self.training else self.valid_limit):
            raise out_of_memory()

    def loss(self, pred, y):
        if self.where == "loss":
            self.refuse(self.sizes[-1])
        return nn.functional.cross_entropy(pred, y)


def small_trainer(*handlers, loss_fn=None, **options):
    net = Small(**options)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return trainer_of(*handlers, net=net, optimizer=optimizer, loss_fn=loss_fn or net.loss)


def fitted(*handlers, data=None, epochs=1, **options):
    trainer = small_trainer(*handlers, **options)
    trainer.fit(data or batches(3, size=8), epochs=epochs)
    return trainer


@WHERE
@pytest.mark.parametrize("limit", [7, 4, 3, 1])
def test_training_equals_whole_batches_except_for_rounding(where, limit):
    trainer = fitted(SplitOnOutOfMemory(), limit=limit, where=where, epochs=2)
    assert furthest(weights(trainer), weights(fitted(epochs=2))) < 1e-6
    assert trainer.state.step == 6


@WHERE
def test_without_the_handler_the_error_ends_the_fit(where):
    with pytest.raises(torch.OutOfMemoryError):
        fitted(limit=7, where=where)


@WHERE
@pytest.mark.parametrize(("limit", "size"), [(8, None), (7, 4), (4, 4), (3, 2), (1, 1)])
def test_size_that_fitted_is_kept(where, limit, size):
    split, trace = SplitOnOutOfMemory(), Trace()
    trainer = fitted(split, trace, limit=limit, where=where)
    assert (split.train_size, split.valid_size) == (size, None)
    found_out = trace.signals.count("begin_retry")
    trainer.fit(batches(3, size=8))
    assert trace.signals.count("begin_retry") == found_out == [8, 4, 2, 1].index(size or 8)


@WHERE
def test_counters_and_metrics_equal_whole_batches(where):
    trainer = fitted(SplitOnOutOfMemory(), Metrics(), limit=3, where=where)
    plain = fitted(Metrics())
    for name in ("step", "samples", "batch_index", "n_batches", "epoch"):
        assert getattr(trainer.state, name) == getattr(plain.state, name)
    assert trainer.state.metrics == pytest.approx(plain.state.metrics, abs=1e-6)


@WHERE
def test_batch_stays_open_and_its_forward_pass_runs_again(where):
    seen = []
    trainer = small_trainer(SplitOnOutOfMemory(), limit=4, where=where)
    trainer.on("begin_batch")(lambda trainer, state: seen.append(("begin", len(state.xb))))
    trainer.on("begin_retry")(lambda trainer, state: seen.append(state.cancel.reason))
    trainer.on("after_batch")(
        lambda trainer, state: seen.append((state.batch_index, state.samples, state.outcome))
    )
    trainer.fit(batches(2, size=8))
    assert seen == [
        ("begin", 8),
        "out of memory; it runs again, 4 examples at a time",
        (0, 8, "completed"),
        ("begin", 8),
        (1, 16, "completed"),
    ]


def test_last_part_may_be_smaller():
    trainer = fitted(SplitOnOutOfMemory(), limit=3, data=batches(size=[7, 3, 2]))
    forward_and_again = [2, 2, 2, 1, 1, 2, 2, 2]
    assert trainer.state.model.sizes == [7, 4, *forward_and_again, *[2, 1, 1, 2], 2]


def test_loss_over_the_whole_batch_has_the_same_gradient():
    def contrast(pred, y):
        return (pred @ pred.T).softmax(0).square().sum() + pred.std()

    trainer = fitted(SplitOnOutOfMemory(), limit=3, loss_fn=contrast)
    assert furthest(weights(trainer), weights(fitted(loss_fn=contrast))) < 1e-6


def test_changes_of_pred_and_loss_by_handlers_are_differentiated():
    class Regularized:
        def after_pred(self, trainer, state):
            state.pred = state.pred * 2

        def after_loss(self, trainer, state):
            state.loss = state.loss + state.model.inner[0].weight.square().sum()

    for where in ("forward", "loss", "backward"):
        trainer = fitted(SplitOnOutOfMemory(), Regularized(), limit=3, where=where)
        assert furthest(weights(trainer), weights(fitted(Regularized()))) < 1e-6


def test_recomputed_part_has_the_same_dropout():
    def dropping():
        plain = model()
        return nn.Sequential(plain[0], nn.Dropout(0.5), plain[1], plain[2])

    split, by_hand, recorded = SplitOnOutOfMemory(), dropping(), []
    split.train_size = 2
    trainer = small_trainer(split, inner=dropping())
    trainer.on("begin_step")(lambda trainer, state: recorded.extend(gradients(trainer)))
    x, y = batches(1, size=8)[0]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        nn.functional.cross_entropy(torch.cat([by_hand(p) for p in x.split(2)]), y).backward()
        expected = torch.get_rng_state()
        torch.manual_seed(1)
        trainer.fit([(x, y)])
        assert torch.equal(torch.get_rng_state(), expected)
    assert furthest(recorded, [p.grad for p in by_hand.parameters()]) < 1e-6


def gradients(trainer):
    return [p.grad.clone() for p in trainer.state.model.parameters()]


def test_batch_norm_statistics_are_updated_once_per_part():
    def normed():
        net = model()
        return nn.Sequential(net[0], nn.BatchNorm1d(8), net[1], net[2])

    by_hand, x = normed(), batches(1, size=8)[0][0]
    for part in x.split(4):
        by_hand(part)
    split = SplitOnOutOfMemory()
    split.train_size = 4
    trainer = fitted(split, inner=normed(), data=batches(1, size=8))
    assert equal(trainer.state.model.inner.buffers(), by_hand.buffers())


@WHERE
def test_only_gradients_of_the_failed_backward_are_dropped(where):
    data = batches(size=[4, 4, 8, 4])
    trainer = fitted(SplitOnOutOfMemory(), GradientAccumulation(4), limit=4, where=where, data=data)
    plain = fitted(GradientAccumulation(4), data=data)
    assert trainer.state.step == plain.state.step == 1
    assert furthest(weights(trainer), weights(plain)) < 1e-6


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_accumulation_without_splitting_is_bitwise_unchanged(order):
    handlers = [SplitOnOutOfMemory(), GradientAccumulation(3)]
    trainer = fitted(*[handlers[i] for i in order])
    assert equal(weights(trainer), weights(fitted(GradientAccumulation(3))))


@WHERE
def test_loader_without_length_loses_no_batch(where):
    class Stream:
        def __iter__(self):
            return iter(batches(5, size=8))

    trainer = small_trainer(SplitOnOutOfMemory(), GradientAccumulation(2), limit=3, where=where)
    plain = small_trainer(GradientAccumulation(2))
    for each in (trainer, plain):
        each.fit(Stream(), epochs=2)
    assert trainer.state.step == plain.state.step == 6
    assert furthest(weights(trainer), weights(plain)) < 1e-6


def test_iterator_read_over_several_epochs_loses_no_batch():
    trainer, plain = small_trainer(SplitOnOutOfMemory(), limit=3), small_trainer()
    for each in (trainer, plain):
        each.fit(iter(batches(6, size=8)), epochs=3, batches_per_epoch=2)
    assert trainer.state.step == plain.state.step == 6
    assert furthest(weights(trainer), weights(plain)) < 1e-6


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
@WHERE
def test_works_with_float16_and_clipping_in_any_order(order, where):
    def handlers():
        precision = MixedPrecision(torch.float16, GradScaler("cpu", init_scale=2.0**8))
        return [precision, SplitOnOutOfMemory(), GradientClip(max_norm=0.5)]

    trainer = fitted(*[handlers()[i] for i in order], limit=3, where=where)
    plain = fitted(*handlers())
    assert furthest(weights(trainer), weights(plain)) < 1e-3


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@WHERE
def test_works_with_activation_checkpointing_in_any_order(order, where):
    handlers = [SplitOnOutOfMemory(), ActivationCheckpointing(nn.Tanh, "inner.2")]
    trainer = fitted(*[handlers[i] for i in order], limit=3, where=where)
    assert furthest(weights(trainer), weights(fitted())) < 1e-6


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_works_with_compile_in_any_order(order):
    torch._dynamo.reset()
    split = SplitOnOutOfMemory()
    split.train_size = 3
    handlers = [split, Compile(backend="aot_eager")]
    ours = trainer_of(*[handlers[i] for i in order])
    plain = trainer_of()
    for trainer in (ours, plain):
        trainer.fit(batches(3, size=8))
    assert furthest(weights(ours), weights(plain)) < 1e-6


def test_validation_and_prediction_have_their_own_size():
    split, plain = SplitOnOutOfMemory(), small_trainer(Metrics())
    trainer = small_trainer(split, Metrics(), limit=5, valid_limit=2)
    data = batches(3, size=8)
    for each in (trainer, plain):
        each.fit(data, data)
    assert (split.train_size, split.valid_size) == (4, 2)
    assert trainer.state.metrics == pytest.approx(plain.state.metrics, abs=1e-5)
    assert trainer.validate(data) == pytest.approx(plain.validate(data), abs=1e-5)
    assert furthest([trainer.predict(data)], [plain.predict(data)]) < 1e-5


def test_out_of_memory_in_predict_keeps_the_batch_order():
    trainer, plain = small_trainer(SplitOnOutOfMemory(), valid_limit=3), small_trainer()
    data = batches(size=[2, 8, 3, 8])
    assert furthest([trainer.predict(data)], [plain.predict(data)]) < 1e-6


@WHERE
def test_failed_attempt_is_freed_before_the_next_begins(where):
    alive, counted = [], []

    class Activations:
        pass

    class Keeping(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.kept = Activations()
            alive.append(weakref.ref(ctx.kept))
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            return grad

    class Watched(Small):
        def forward(self, x):
            counted.append(sum(kept() is not None for kept in alive))
            return Keeping.apply(super().forward(Keeping.apply(x.requires_grad_())))

    net = Watched(limit=4, where=where)
    trainer = trainer_of(SplitOnOutOfMemory(), net=net, loss_fn=net.loss)
    trainer.fit(batches(1, size=8))
    assert counted[:2] == [0, 0]


@WHERE
def test_single_example_that_does_not_fit_raises_with_note(where):
    trainer = small_trainer(SplitOnOutOfMemory(), limit=0, where=where)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer.fit(batches(1, size=3))
    assert any(
        note == "SplitOnOutOfMemory: 3 examples ((3, 5)) were run 1 at a time, and cannot be split "
        "further"
        for note in caught.value.__notes__
    )
    trainer.state.model.limit = 1
    trainer.fit(batches(2))
    assert trainer.state.step == 2


def test_an_error_of_a_single_example_that_takes_no_notes_is_raised(caplog):
    class Unnoted(torch.OutOfMemoryError):
        def add_note(self, note):
            raise TypeError("no notes")

    class Full(torch.nn.Linear):
        def forward(self, x):
            raise Unnoted("full")

    with pytest.raises(Unnoted):
        trainer_of(SplitOnOutOfMemory(), net=Full(5, 2)).fit(batches(1, size=1))
    assert "cannot be split further" in caplog.text


def test_inputs_without_example_tensors_are_not_split():
    class Words(Small):
        def forward(self, words):
            return super().forward(torch.zeros(len(words), 5))

    net = Words(limit=1)
    trainer = trainer_of(SplitOnOutOfMemory(), net=net)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        trainer.fit([("two", torch.tensor([0, 1, 2]))])
    assert "3 examples (str) were run 3 at a time" in "".join(caught.value.__notes__)


def test_other_errors_are_not_caught():
    trainer = small_trainer(SplitOnOutOfMemory())
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        trainer.fit([(torch.zeros(4, 7), torch.zeros(4, dtype=torch.long))])
    assert trainer.handlers[0].train_size is None


def test_another_error_of_a_backward_pass_is_not_caught():
    def refuse(grad):
        raise RuntimeError("of the hook")

    trainer = small_trainer(SplitOnOutOfMemory())
    trainer.on("after_pred")(lambda trainer, state: state.pred.register_hook(refuse))
    with pytest.raises(RuntimeError, match="of the hook"):
        trainer.fit(batches(1))
    assert trainer.handlers[0].train_size is None


def test_cpu_allocator_error_is_recognised():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model()

        def forward(self, x):
            torch.empty(2**50 if len(x) > 2 else 1)
            return self.inner(x)

    split = SplitOnOutOfMemory()
    trainer, plain = trainer_of(split, net=Greedy()), trainer_of()
    for each in (trainer, plain):
        each.fit(batches())
    assert split.train_size == 2
    assert furthest(weights(trainer), weights(plain)) < 1e-6


class Named(nn.Module):
    """Takes keyword arguments, and returns a mapping with its own loss."""

    def __init__(self, limit=100):
        super().__init__()
        self.inner = model()
        self.limit = limit

    def forward(self, x, scale, target):
        if len(x) > self.limit:
            raise out_of_memory()
        logits = self.inner(x) * scale
        loss = nn.functional.cross_entropy(logits, target)
        return {"loss": loss, "more": (logits, [logits * 2, None])}


def named(count=3, size=8):
    return [{"x": x, "scale": torch.tensor(2.0), "target": y} for x, y in batches(count, size)]


def test_nested_batches_and_outputs_are_split_and_joined():
    seen = []

    def own_loss(net):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return type(trainer_of())(net, None, optimizer)

    trainer, plain = own_loss(Named(limit=3)), own_loss(Named())
    trainer.attach(SplitOnOutOfMemory())
    for each in (trainer, plain):
        each.on("after_pred")(lambda trainer, state: seen.append(state.pred))
        each.fit(named(size=[8, 7, 5]))
    assert furthest(weights(trainer), weights(plain)) < 1e-6
    assert [pred["more"][0].shape for pred in seen] == [(8, 3), (7, 3), (5, 3)] * 2
    assert [pred["more"][1][1] for pred in seen] == [None] * 6


def test_output_without_examples_raises_with_shapes():
    class Recurrent(Small):
        def forward(self, x):
            return super().forward(x).T

    net = Recurrent(limit=2)
    trainer = trainer_of(SplitOnOutOfMemory(), net=net)
    with pytest.raises(ValueError, match=r"outputs of shapes \(3, 2\), \(3, 2\) for parts of 2, 2"):
        trainer.fit(batches(1))


def test_no_device_sync():
    split = SplitOnOutOfMemory()
    split.train_size = split.valid_size = 3
    trainer = trainer_of(split, net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.step == 6


def test_a_later_batch_is_split_at_once():
    split, net = SplitOnOutOfMemory(), Small(limit=2)
    trainer = trainer_of(split, net=net)
    split.train_size = 2
    trainer.on("begin_retry")(lambda trainer, state: pytest.fail("it was not split at once"))
    trainer.fit(batches(1, size=5))
    assert net.sizes[:3] == [2, 2, 1]


@pytest.mark.parametrize("signal", ["after_pred", "after_loss", "after_backward"])
def test_detach_inside_a_split_batch_leaves_nothing(signal):
    split, plain = SplitOnOutOfMemory(), fitted(data=batches(1, size=8))
    trainer = small_trainer(split, limit=4)
    trainer.on(signal, when=lambda trainer, state: split.train_size, once=True)(
        lambda trainer, state: trainer.detach(split) or setattr(state.model, "limit", 100)
    )
    trainer.fit(batches(1, size=8))
    assert split not in trainer.handlers
    assert furthest(weights(trainer), weights(plain)) < 1e-6


class Refuse:
    """An activity that raises out of memory for more than two examples."""

    def wrap_forward(self, forward):
        def refuse(state):
            if len(state.xb) > 2:
                raise out_of_memory()
            return forward(state)

        return refuse


@every_cancel
def test_any_cancel_leaves_the_next_fit_unchanged(signal, scope, undisturbed):
    trainer = cancelled_fit(SplitOnOutOfMemory(), signal, scope, early=False, handlers=[Refuse()])
    trainer.state.model.load_state_dict(model().state_dict())
    trainer.fit(batches(), batches(2))
    assert equal(weights(trainer), undisturbed)
    assert trainer.state.samples == 12


@pytest.fixture(scope="module")
def undisturbed():
    trainer = trainer_of(Refuse(), SplitOnOutOfMemory())
    trainer.fit(batches(), batches(2))
    return weights(trainer)


class Detector(nn.Module):
    """Takes a list of images, at most `limit`, and returns a list of their scores."""

    def __init__(self, limit):
        super().__init__()
        self.scale, self.limit = nn.Parameter(torch.ones(())), limit

    def forward(self, images):
        if len(images) > self.limit:
            raise out_of_memory()
        return [{"score": image.mean() * self.scale} for image in images]


def detector_loss(pred, targets):
    pairs = zip(pred, targets, strict=True)
    return torch.stack([(part["score"] - target["score"]) ** 2 for part, target in pairs]).mean()


def detected(limit):
    images = [torch.full((3, n, n), float(n)) for n in (5, 7, 6)]
    targets = [{"score": float(n)} for n in range(3)]
    trainer = trainer_of(SplitOnOutOfMemory(), net=Detector(limit), loss_fn=detector_loss)
    trainer.fit([(images, targets)])
    return trainer


def test_a_list_of_images_is_split_by_image():
    trainer = detected(limit=2)
    assert trainer.state.samples == 3
    assert furthest(weights(trainer), weights(detected(limit=3))) < 1e-5


def test_a_batch_of_several_updates_runs_only_the_open_one_again():
    made = []
    chart = SUPERVISED.cut("validate").replace("batch", update("one"), update("other"))
    split = SplitOnOutOfMemory()
    trainer = trainer_of(split, chart=chart)
    trainer.on("after_step")(lambda trainer, state: made.append(state.batch_index))

    @trainer.on("after_pred", inside="other", once=True)
    def refuse(trainer, state):
        state.loss_fn, usual = failing, state.loss_fn

        def restore(trainer, state):
            state.loss_fn = usual

        trainer.on("begin_retry", once=True)(restore)

    def failing(pred, y):
        raise out_of_memory()

    state = trainer.fit(batches(3))
    assert made == [0, 0, 1, 1, 2, 2]
    assert (state.outcome, split.train_size) == ("completed", 2)


def test_in_a_chart_without_a_way_back_the_batch_is_skipped_and_later_ones_are_split():
    chart = Chart(row for row in SUPERVISED if "retr" not in str(row))
    split = SplitOnOutOfMemory()
    trainer = trainer_of(split, net=Small(limit=2), chart=chart)
    outcomes, reasons = [], []
    trainer.on("after_batch")(lambda trainer, state: outcomes.append(state.outcome))
    trainer.on("after_cancel_batch")(lambda trainer, state: reasons.append(state.cancel.reason))
    trainer.fit(batches(3))
    assert outcomes == ["cancelled", "completed", "completed"]
    assert "cannot run again: its rest is skipped, and later ones run 2 examples at" in reasons[0]


def test_a_batch_that_the_loop_has_made_itself_is_run_again():
    def draw(state):
        state.batch_index += 1
        set_batch(state, batches(1)[0])
        return "begin_batch"

    net = Small(limit=2)
    activities = {"train.fetch": draw}
    trainer = trainer_of(SplitOnOutOfMemory(), net=net, activities=activities)
    state = trainer.fit(batches_per_epoch=3)
    assert (state.step, state.outcome) == (3, "completed")

"""Every bad input raises an error that says what and where, and the trainer stays usable."""

import gc
import multiprocessing
import os
import signal
import threading
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from trackside.engine import BusyError, KeyedLoader, Trainer
from trackside.events import (
    AttachError,
    CancelEpochException,
    CancelFitException,
    IllegalCancelError,
    ReceiverError,
)
from trackside.handlers import EMA, Annealing, BatchTransform, Metrics, TokenLimit

DATA = [(torch.ones(4, 5), torch.zeros(4, dtype=torch.long)) for _ in range(3)]


class Trace:
    """Counts how often each scope was opened and closed."""

    def __init__(self, trainer):
        self.open, self.triggers = {}, []
        trainer.on("any_transition")(self.watch)

    def watch(self, trainer, state, transition):
        self.triggers.append(transition.trigger)
        moment, _, scope = transition.trigger.partition("_")
        if moment == "begin":
            self.open[scope] = self.open.get(scope, 0) + 1
        elif scope in self.open:
            self.open[scope] -= 1

    @property
    def all_closed(self):
        return not any(self.open.values())


@pytest.fixture
def trainer():
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    return Trainer(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1))


@pytest.fixture
def trace(trainer):
    return Trace(trainer)


def assert_usable(trainer):
    """Check that a correct fit still works, and makes its steps."""
    model = nn.Linear(5, 3)
    state = trainer.state
    state.model, state.loss_fn = model, nn.CrossEntropyLoss()
    state.optimizer = torch.optim.SGD(model.parameters(), 0.1)
    assert trainer.fit(DATA).step == 3


# configuration


@pytest.mark.parametrize(
    ("epochs", "error"),
    [(-1, ValueError), (1.0, TypeError), ("2", TypeError), (True, TypeError)],
)
def test_epochs_must_be_an_int_from_0(trainer, trace, epochs, error):
    with pytest.raises(error, match=r"fit\(epochs=.*allowed: an int, from 0"):
        trainer.fit(DATA, epochs=epochs)
    assert trace.triggers == []
    assert_usable(trainer)


def test_zero_epochs_open_and_close_the_fit(trainer, trace):
    trainer.fit(DATA, epochs=0)
    assert trace.triggers == ["begin_fit", "after_fit"]


@pytest.mark.parametrize(("count", "error"), [(0, ValueError), (2.0, TypeError)])
def test_batches_per_epoch_must_be_an_int_from_1(trainer, count, error):
    with pytest.raises(error, match=r"fit\(batches_per_epoch=.*allowed: an int, from 1"):
        trainer.fit(DATA, batches_per_epoch=count)
    assert_usable(trainer)


@pytest.mark.parametrize("model", ["model", None, lambda x: x])
def test_a_model_must_be_a_module(model):
    with pytest.raises(TypeError, match="model is"):
        Trainer(model)


def test_a_fit_needs_an_optimizer(trainer, trace):
    trainer.state.optimizer = None
    with pytest.raises(TypeError, match=r"fit needs an optimizer: Trainer\(Linear"):
        trainer.fit(DATA)
    assert trace.triggers == []
    assert_usable(trainer)


def test_an_optimizer_must_be_a_torch_optimizer(trainer):
    trainer.state.optimizer = "adam"
    with pytest.raises(TypeError, match=r"optimizer is a str; a torch\.optim\.Optimizer"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_an_optimizer_without_parameters_of_the_model_is_refused(trainer):
    trainer.state.optimizer = torch.optim.SGD(nn.Linear(5, 3).parameters(), 0.1)
    with pytest.raises(ValueError, match="the optimizer has none of its parameters"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_a_model_without_trainable_parameters_is_refused(trainer):
    trainer.state.model.requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter requires a gradient"):
        trainer.fit(DATA)
    assert_usable(trainer)


@pytest.mark.parametrize("lr", [float("nan"), float("inf")])
def test_a_learning_rate_that_is_not_finite_is_refused(trainer, trace, lr):
    trainer.state.optimizer.param_groups[0]["lr"] = lr
    with pytest.raises(ValueError, match=rf"lr={lr} in parameter group 0 of the optimizer"):
        trainer.fit(DATA)
    assert trace.triggers == []
    assert_usable(trainer)


def test_a_fit_under_no_grad_is_refused(trainer):
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"inside torch\.no_grad\(\)"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_a_wrapper_that_fails_where_a_run_has_begun_wraps_nothing(trainer, trace):
    run = trainer.steps(DATA)
    next(run)
    with pytest.raises(TypeError, match="a wrap of 'forward', returned a NoneType"):
        trainer.wrap("forward", lambda forward: None)
    assert [*run][-1].trigger == "after_fit"
    assert trainer.state.step == 3
    trainer.wrap("forward", lambda forward: None)
    with pytest.raises(TypeError, match="a wrap of 'forward', returned a NoneType"):
        trainer.fit(DATA)
    assert trace.all_closed


# loaders


@pytest.mark.parametrize("loader", [None, 3, nn.Linear(1, 1)])
def test_a_loader_must_be_iterable(trainer, trace, loader):
    with pytest.raises(TypeError, match="expected something to iterate over"):
        trainer.fit(loader)
    assert trace.triggers == []
    assert_usable(trainer)


@pytest.mark.parametrize("loader", [torch.ones(4, 5), "text", {"x": torch.ones(4, 5)}])
def test_a_single_batch_is_refused_as_a_loader(trainer, loader):
    with pytest.raises(TypeError, match="one batch at the most"):
        trainer.predict(loader)
    assert_usable(trainer)


def test_an_empty_loader_warns_and_closes_every_scope(trainer, trace):
    with pytest.warns(UserWarning, match=r"train_loader \(list\) gave no batch in epoch 1: it is"):
        trainer.fit([], DATA)
    assert trace.all_closed
    assert trace.triggers[-1] == "after_fit"
    with pytest.warns(UserWarning, match="valid_loader"):
        trainer.fit(DATA, [])
    assert_usable(trainer)


@pytest.mark.parametrize("job", ["validate", "predict"])
def test_an_empty_loader_outside_of_a_fit_is_named_as_it_was_passed(trainer, job):
    with pytest.warns(UserWarning, match=r"^loader \(list\) gave no batch: it is empty"):
        assert not getattr(trainer, job)([])


def test_a_dict_without_validation_loaders_is_refused(trainer, trace):
    with pytest.raises(ValueError, match=r"valid_loader=\{\}.*found no loader.*None for no valid"):
        trainer.fit(DATA, {})
    assert trace.triggers == []
    assert_usable(trainer)


@pytest.mark.parametrize("left", [None, {}])
def test_a_loader_that_a_handler_takes_away_is_an_error_that_says_so(trainer, trace, left):
    @trainer.on("begin_validate", once=True)
    def take_away(trainer, state):
        state.valid_loader = left

    with pytest.raises(TypeError, match="of this pass: a handler has taken it away"):
        trainer.fit(DATA, DATA)
    assert trace.all_closed
    assert_usable(trainer)


def test_the_warning_about_an_empty_loader_names_drop_last(trainer):
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*DATA[0]), batch_size=8, drop_last=True
    )
    with pytest.warns(UserWarning, match="drop_last"):
        trainer.fit(loader)


def test_a_loader_without_length_works(trainer):
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(range(5))

    loader = torch.utils.data.DataLoader(
        Stream(),
        batch_size=2,
        collate_fn=lambda ids: (torch.ones(len(ids), 5), torch.tensor(ids) % 3),
    )
    trainer.fit(loader, epochs=2)
    assert trainer.state.n_batches is None
    assert (trainer.state.step, trainer.state.samples) == (6, 10)


def test_a_generator_serves_one_epoch(trainer):
    trainer.fit(batch for batch in DATA)
    assert trainer.state.step == 3


def test_a_generator_for_two_epochs_is_refused_before_it_is_read(trainer, trace):
    generator = (batch for batch in DATA)
    with pytest.raises(ValueError, match="it serves one epoch, and epochs=2"):
        trainer.fit(generator, epochs=2)
    assert trace.triggers == []
    assert len(list(generator)) == 3
    assert_usable(trainer)


def test_the_warning_distinguishes_an_exhausted_generator(trainer):
    generator = (batch for batch in DATA)
    trainer.fit(generator)
    with pytest.warns(UserWarning, match="it is an iterator, and exhausted"):
        trainer.fit(generator)


def test_an_endless_loader_continues_in_each_epoch_where_it_stopped(trainer):
    def endless():
        n = 0
        while True:
            yield torch.full((4, 5), float(n)), DATA[0][1]
            n += 1

    firsts = []
    trainer.on("begin_batch")(lambda trainer, state: firsts.append(state.xb[0, 0].item()))
    trainer.fit(endless(), epochs=3, batches_per_epoch=2)
    assert firsts == [0, 1, 2, 3, 4, 5]
    assert trainer.state.n_batches == 2


def test_every_scope_closes_if_a_loader_raises_in_mid_epoch(trainer, trace):
    def broken():
        yield DATA[0]
        raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone") as caught:
        trainer.fit(broken())
    assert any("fit.epoch.train.fetch, epoch 1, batch 1" in note for note in caught.value.__notes__)
    assert trace.all_closed
    assert trainer.state.phase == "failed"
    assert_usable(trainer)


def test_a_loader_with_a_wrong_length_is_read_to_its_end(trainer):
    class Liar(list):
        def __len__(self):
            return 99

    with pytest.warns(UserWarning, match=r"train_loader \(Liar\) tells 99 batches, and gave 3"):
        trainer.fit(Liar(DATA))
    assert trainer.state.step == 3


def test_a_resumed_pass_over_a_shorter_loader_says_how_many_batches_were_planned(trainer):
    run = trainer.steps(DATA)
    while next(run).trigger != "after_batch":
        pass
    saved = trainer.state_dict()
    run.close()
    with pytest.warns(UserWarning, match=r"\(list\) was planned with 3 batches, and gave 2 in"):
        trainer.fit(DATA[:2], resume=saved)
    assert trainer.state.step == 2


class Images(Dataset):
    """Twelve correct examples, except the sixth, which calls a function."""

    def __init__(self, sixth):
        self.sixth = sixth

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == 5:
            self.sixth()
        return DATA[0][0][0], DATA[0][1][0]


def fail():
    raise OSError("image 5 is damaged")


def die():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("sixth", "error", "message"),
    [(fail, OSError, "image 5 is damaged"), (die, RuntimeError, r"worker \(pid.* (killed|exited)")],
)
def test_every_scope_closes_if_a_loader_worker_fails_or_dies(trainer, trace, sixth, error, message):
    with pytest.raises(error, match=message) as caught:
        trainer.fit(DataLoader(Images(sixth), batch_size=6, num_workers=1))
    assert any("fit.epoch.train.fetch, epoch 1" in note for note in caught.value.__notes__)
    assert trace.all_closed
    assert_usable(trainer)


def test_the_workers_of_a_cancelled_epoch_are_gone_after_the_fit(trainer):
    @trainer.on("after_loss", once=True)
    def cancel(trainer, state):
        raise CancelEpochException("enough")

    trainer.fit(DataLoader(Images(dict), batch_size=2, num_workers=2))
    gc.collect()
    assert multiprocessing.active_children() == []


# model and loss


def test_an_error_of_the_model_names_the_batch(trainer, trace):
    trainer.state.model = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3))
    trainer.state.optimizer = torch.optim.SGD(trainer.state.model.parameters(), 0.1)
    one = torch.ones(1, 5), torch.zeros(1, dtype=torch.long)
    with pytest.raises(ValueError, match="Expected more than 1 value per channel") as caught:
        trainer.fit([*DATA, one])
    assert any("batch.forward, epoch 1, batch 4" in note for note in caught.value.__notes__)
    assert trace.all_closed
    assert_usable(trainer)


def test_the_error_names_a_model_that_returns_none(trainer, trace):
    trainer.state.model.forward = lambda x: None
    with pytest.raises(TypeError, match=r"Linear\.forward returned None at epoch 1, batch 1"):
        trainer.fit(DATA)
    assert trace.all_closed
    assert_usable(trainer)


def test_the_error_for_a_loss_that_is_not_a_scalar_has_its_shape(trainer, trace):
    trainer.state.loss_fn = nn.CrossEntropyLoss(reduction="none")
    with pytest.raises(ValueError, match=r"its shape is \(4,\); expected a scalar"):
        trainer.fit(DATA)
    assert trace.all_closed
    assert_usable(trainer)


def test_a_loss_that_a_handler_reduces_is_accepted(trainer):
    trainer.state.loss_fn = nn.CrossEntropyLoss(reduction="none")

    @trainer.on("after_loss")
    def reduce(trainer, state):
        state.loss = state.loss.mean()

    assert trainer.fit(DATA).step == 3


def test_the_error_for_a_detached_loss_says_so(trainer):
    trainer.state.loss_fn = lambda pred, yb: pred.detach().sum()
    with pytest.raises(ValueError, match="it needs no gradient; it was detached"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_the_error_for_a_loss_that_is_not_a_tensor_has_its_type(trainer):
    trainer.state.loss_fn = lambda pred, yb: 1.5
    with pytest.raises(TypeError, match="it is a float; expected a scalar tensor"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_the_error_names_a_loss_function_that_returns_none(trainer):
    def forgetful(pred, yb):
        pass

    trainer.state.loss_fn = forgetful
    with pytest.raises(TypeError, match="loss_fn forgetful returned None"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_without_a_loss_function_the_output_must_carry_a_loss(trainer):
    trainer.state.loss_fn = None
    with pytest.raises(TypeError, match=r"the Tensor that Linear returned carries no `\.loss`"):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_an_error_inside_the_backward_pass_is_torchs_own(trainer):
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("broken kernel")

    trainer.on("after_pred")(lambda t, state: setattr(state, "pred", Broken.apply(state.pred)))
    trainer.state.loss_fn = nn.CrossEntropyLoss()
    with pytest.raises(RuntimeError, match="broken kernel"):
        trainer.fit(DATA)


# handlers


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"model": nn.Linear}, r"Trainer\(model=…\): Linear"),
        ({"models": {"a": nn.Linear}}, r"Trainer\(models={'a': …}\): Linear"),
        ({"loss_fn": nn.MSELoss}, r"Trainer\(loss_fn=…\): MSELoss"),
        ({"optimizer": torch.optim.SGD}, r"Trainer\(optimizer=…\): SGD"),
        ({"batch": nn.MSELoss}, r"Trainer\(batch=…\): MSELoss"),
        ({"activities": {"forward": nn.Linear}}, r"activities={'forward': …}: Linear"),
        ({"handlers": [EMA]}, "the class EMA"),
    ],
)
def test_a_class_in_place_of_an_instance_is_refused_when_a_trainer_is_made(parts, named):
    if "models" not in parts:
        parts = {"model": nn.Linear(5, 3), **parts}
    with pytest.raises((TypeError, AttachError), match=named + ".*did you forget \\(\\)"):
        Trainer(**parts)


@pytest.mark.parametrize("loaders", [(DataLoader,), (DATA, DataLoader)])
def test_the_class_of_a_loader_is_refused_before_anything_runs(trainer, trace, loaders):
    with pytest.raises(TypeError, match="_loader: DataLoader is a class; did you forget"):
        trainer.fit(*loaders)
    assert trace.triggers == []
    assert_usable(trainer)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Metrics(accuracy=Trace),
        lambda: Metrics(take=Trace),
        lambda: BatchTransform(Trace),
        lambda: Annealing("lr", Trace),
        lambda: TokenLimit(10, count=Trace),
        lambda: KeyedLoader(Trace),
        lambda: KeyedLoader(range(3), sampler=Trace),
    ],
)
def test_a_class_is_refused_where_a_function_or_an_object_is_needed(make):
    with pytest.raises(TypeError, match=r"Trace is a class; did you forget \(\)\?"):
        make()


def test_a_handler_class_is_refused(trainer):
    class Handler:
        def after_loss(self, trainer, state):
            pass

    with pytest.raises(AttachError, match="the class Handler: did you forget"):
        Trainer(nn.Linear(1, 1), handlers=[Handler])
    with pytest.raises(AttachError, match="the class Handler"):
        trainer.attach(Handler)


def test_a_receiver_with_a_wrong_signature_is_refused_at_connect(trainer):
    with pytest.raises(ReceiverError, match=r"expected def f\(trainer, state\)"):
        trainer.on("after_loss")(lambda state: None)


def test_a_fit_inside_a_fit_of_the_same_trainer_is_refused(trainer, trace):
    @trainer.on("after_loss", once=True)
    def again(trainer, state):
        trainer.fit(DATA)

    with pytest.raises(BusyError, match=r"cannot begin_fit while this Trainer is in fit\.epoch"):
        trainer.fit(DATA)
    assert trace.all_closed
    assert_usable(trainer)


def test_a_fit_of_another_trainer_inside_a_fit_works(trainer):
    model = nn.Linear(5, 3)
    other = Trainer(model, nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1))
    trainer.on("after_loss", once=True)(lambda trainer, state: other.fit(DATA))
    assert (trainer.fit(DATA).step, other.state.step) == (3, 3)


def test_a_fit_from_a_second_thread_is_refused_at_once(trainer):
    caught = []

    def intrude():
        try:
            trainer.fit(DATA)
        except BusyError as error:
            caught.append(error)

    @trainer.on("after_loss", once=True)
    def start(trainer, state):
        thread = threading.Thread(target=intrude)
        thread.start()
        thread.join()

    assert trainer.fit(DATA).step == 3
    assert len(caught) == 1


def test_a_trainer_is_busy_until_its_iterator_is_closed(trainer):
    run = trainer.steps(DATA)
    next(run)
    with pytest.raises(BusyError, match=r"in fit\.ready: .* close its iterator"):
        trainer.fit(DATA)
    run.close()
    assert_usable(trainer)


def test_a_cancel_after_the_fit_has_ended_is_an_error(trainer):
    @trainer.on("after_fit", once=True)
    def late(trainer, state):
        raise CancelFitException("too late")

    with pytest.raises(IllegalCancelError, match=r"too late.*no fit is open; open here: nothing"):
        trainer.fit(DATA)
    assert trainer.state.phase == "failed"
    assert_usable(trainer)


def test_the_error_for_an_illegal_cancel_lists_the_open_scopes(trainer):
    from trackside.events import CancelValidException

    @trainer.on("after_loss", once=True)
    def wrong(trainer, state):
        raise CancelValidException("not here")

    with pytest.raises(
        IllegalCancelError,
        match=r"CancelValidException\('not here'\) raised by handler wrong in "
        r"fit\.epoch\.train\.batch\.scored: no validate is open; "
        r"open here: batch, train, epoch, fit",
    ):
        trainer.fit(DATA)
    assert_usable(trainer)


def test_a_correct_fit_warns_about_nothing(trainer):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer.fit(DATA, DATA, epochs=2)

import copy
from collections import namedtuple
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from trackside.engine import Engine, IllegalTransitionError, Trainer
from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    TrainState,
)

B = 4


def batches(count=3, size=B):
    generator = torch.Generator().manual_seed(7)
    return [
        (
            torch.randn(size, 5, generator=generator),
            torch.randint(0, 3, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def trainer_of(model=None, loss_fn=None, **kwargs):
    torch.manual_seed(0)
    model = model or nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, loss_fn or nn.CrossEntropyLoss(), optimizer, **kwargs)


def seen(trainer, signal, read):
    values = []
    trainer.on(signal)(lambda trainer, state: values.append(read(state)))
    return values


class Adder(nn.Module):
    """Accepts inputs by position or by name, and records how it was called."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3)
        self.calls = []

    def forward(self, *args, **kwargs):
        self.calls.append((len(args), sorted(kwargs)))
        return self.linear(sum((*args, *kwargs.values())))


# kinds of batches


def test_a_pair_is_input_and_target():
    trainer = trainer_of(Adder())
    xs = seen(trainer, "begin_batch", lambda state: (state.xb.shape, state.yb.shape))
    trainer.fit(batches(1))
    assert xs == [((B, 5), (B,))]
    assert trainer.state.model.calls == [(1, [])]


def test_the_last_of_several_parts_is_the_target():
    trainer = trainer_of(Adder())
    trainer.fit([(x, x, x, y) for x, y in batches(1)])
    assert trainer.state.model.calls == [(3, [])]


def test_a_list_is_treated_like_a_tuple():
    trainer = trainer_of(Adder())
    trainer.fit([[x, y] for x, y in batches(1)])
    assert trainer.state.model.calls == [(1, [])]


def test_a_dict_is_passed_as_keywords_and_is_the_target_of_the_loss():
    targets = []

    def loss_fn(pred, batch):
        targets.append(sorted(batch))
        return pred.sum()

    trainer = trainer_of(Adder(), loss_fn)
    trainer.fit([{"a": x, "b": x} for x, _ in batches(1)])
    assert trainer.state.model.calls == [(0, ["a", "b"])]
    assert targets == [["a", "b"]]


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: (x,)], ids=["bare", "single"])
def test_without_a_target_the_loss_gets_the_prediction_alone(wrap):
    trainer = trainer_of(loss_fn=lambda pred: pred.square().mean())
    trainer.fit([wrap(x) for x, _ in batches(2)])
    assert trainer.state.step == 2


@pytest.mark.parametrize("kind", ["attribute", "mapping"])
def test_a_model_that_returns_its_own_loss_needs_no_loss_fn(kind):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(5, 3)

        def forward(self, x, y):
            loss = nn.functional.cross_entropy(self.linear(x), y)
            return SimpleNamespace(loss=loss) if kind == "attribute" else {"loss": loss}

    model = Own()
    trainer = Trainer(model, None, torch.optim.SGD(model.parameters(), 0.1))
    losses = seen(trainer, "after_loss", lambda state: state.loss.item())
    trainer.fit([{"x": x, "y": y} for x, y in batches(3)])
    assert len(losses) == 3
    assert trainer.state.step == 3


def test_samples_counts_the_training_examples():
    trainer = trainer_of()
    trainer.fit([*batches(2), batches(1, size=1)[0]], batches(2), epochs=2)
    assert trainer.state.samples == 2 * (2 * B + 1)


def test_batches_are_moved_to_the_device_without_waiting(monkeypatch):
    moves = []
    real = torch.Tensor.to

    def to(self, *args, **kwargs):
        moves.append((args, kwargs))
        return real(self, *args, **kwargs)

    trainer = trainer_of(nn.Linear(5, 3, device="meta"), device="meta")
    monkeypatch.setattr(torch.Tensor, "to", to)
    devices = seen(trainer, "begin_batch", lambda state: (state.xb.device, state.yb.device))
    Pair = namedtuple("Pair", "x y")
    trainer.fit([Pair(x, y) for x, y in batches(1)])
    meta = torch.device("meta")
    assert devices == [(meta, meta)]
    assert [kwargs for args, kwargs in moves if args == (meta,)] == [{"non_blocking": True}] * 2


def test_a_fit_without_handlers_reads_no_tensor_value():
    trainer = trainer_of(nn.Linear(5, 3, device="meta"), device="meta")
    trainer.fit(batches(3), batches(2), epochs=2)
    assert trainer.state.step == 6


def test_nested_batches_keep_their_structure_when_moved_to_a_device():
    trainer = trainer_of(Adder().to("meta"), lambda pred, batch: pred.sum(), device="meta")
    kinds = seen(trainer, "begin_batch", lambda state: type(state.batch["b"]))
    trainer.state.model.forward = lambda a, b: trainer.state.model.linear(a + b[0] + b[1])
    trainer.fit([{"a": x, "b": [x, x]} for x, _ in batches(1)])
    assert kinds == [list]


# changes made by handlers


def test_inputs_and_targets_set_at_begin_batch_are_used():
    trainer = trainer_of(Adder())

    @trainer.on("begin_batch")
    def replace(trainer, state):
        state.xb, state.yb = (state.xb, state.xb), torch.zeros_like(state.yb)

    targets = seen(trainer, "after_loss", lambda state: state.yb.sum().item())
    trainer.fit(batches(1))
    assert trainer.state.model.calls == [(2, [])]
    assert targets == [0]


def test_a_prediction_and_loss_set_by_a_handler_are_used():
    trainer = trainer_of()
    before = copy.deepcopy(trainer.state.model.state_dict())

    @trainer.on("after_pred")
    def shift(trainer, state):
        state.pred = state.pred * 0

    @trainer.on("after_loss")
    def nothing(trainer, state):
        state.loss = state.loss * 0

    trainer.fit(batches(2))
    after = trainer.state.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_step_uses_gradients_changed_by_a_handler():
    trainer = trainer_of()
    before = copy.deepcopy(trainer.state.model.state_dict())

    @trainer.on("begin_step")
    def zero(trainer, state):
        for parameter in state.model.parameters():
            parameter.grad.zero_()

    trainer.fit(batches(2))
    after = trainer.state.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_loader_and_a_number_of_epochs_set_by_a_handler_are_used():
    trainer = trainer_of()

    @trainer.on("begin_train")
    def shorter(trainer, state):
        state.train_loader = batches(1)
        state.n_epochs = 2

    trainer.fit(batches(3), epochs=5)
    assert trainer.state.step == 2


# evaluation


def test_validate_changes_no_weights_and_no_counters_of_the_fit():
    trainer = trainer_of()
    trainer.fit(batches(3), epochs=2)
    before = copy.deepcopy(trainer.state.model.state_dict())
    grad = seen(trainer, "after_loss", lambda state: state.loss.requires_grad)
    assert trainer.validate(batches(2)) == {}
    after = trainer.state.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert grad == [False, False]
    assert (trainer.state.step, trainer.state.epoch) == (6, 1)


def test_predict_returns_the_outputs_of_all_batches_in_order():
    trainer = trainer_of(nn.Sequential(nn.Linear(5, 3), nn.Dropout(0.5)))
    data = [*batches(2), batches(1, size=1)[0]]
    losses = seen(trainer, "after_loss", lambda state: state.loss)
    predicted = trainer.predict(data)
    trainer.state.model.eval()
    with torch.no_grad():
        expected = trainer.state.model(torch.cat([x for x, _ in data]))
    assert torch.allclose(predicted, expected)
    assert not predicted.requires_grad
    assert losses == []


def test_predict_keeps_the_structure_of_the_output():
    Output = namedtuple("Output", "logits extra")

    class Both(nn.Module):
        def forward(self, x):
            return Output(x, {"double": (x * 2, "text")})

    trainer = Trainer(Both())
    predicted = trainer.predict([x for x, _ in batches(2)])
    assert isinstance(predicted, Output)
    assert predicted.logits.shape == (2 * B, 5)
    assert torch.equal(predicted.extra["double"][0], predicted.logits * 2)
    assert predicted.extra["double"][1] == ["text", "text"]


def test_predict_needs_neither_loss_nor_optimizer_nor_targets():
    trainer = Trainer(nn.Linear(5, 3))
    assert trainer.predict([x for x, _ in batches(2)]).shape == (2 * B, 3)
    with pytest.warns(UserWarning, match="gave no batch"):
        assert trainer.predict([]) is None


def test_predict_leaves_out_a_cancelled_batch():
    trainer = trainer_of()

    @trainer.on("after_pred", when=lambda trainer, state: state.batch_index == 1)
    def skip(trainer, state):
        raise CancelBatchException("not this one")

    assert trainer.predict(batches(3)).shape == (2 * B, 3)


@pytest.mark.filterwarnings("ignore:in eval mode before the fit")
@pytest.mark.parametrize("job", ["fit", "validate", "predict"])
@pytest.mark.parametrize("training", [True, False])
def test_the_train_modes_of_all_modules_are_restored(job, training):
    trainer = trainer_of(nn.Sequential(nn.Linear(5, 3), nn.Dropout()))
    trainer.state.model.train(training)
    trainer.state.model[1].train(not training)
    modes = seen(trainer, "begin_batch", lambda state: state.model[1].training)
    getattr(trainer, job)(batches(1))
    assert modes == [job == "fit" and not training]  # one in eval mode by itself stays so
    assert [m.training for m in trainer.state.model.modules()] == [training, training, not training]


# the host drives


def test_steps_make_one_transition_each():
    trainer = trainer_of()
    run = trainer.steps(batches(1))
    first = next(run)
    assert first == ("begin_fit", "idle", "fit.ready")
    assert trainer.state.phase == "fit.ready"
    assert [t.trigger for t in run][-1] == "after_fit"


def test_fit_and_steps_train_the_same_weights():
    one, other = trainer_of(), trainer_of()
    one.fit(batches(3), batches(2), epochs=2)
    for transition in other.steps(batches(3), batches(2), epochs=2):
        assert other.state.phase == transition.destination
    for a, b in zip(one.state.model.parameters(), other.state.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_step_makes_the_next_transition_and_returns_none_at_the_end():
    trainer = trainer_of()
    run = trainer.steps(batches(1))
    triggers = []
    while (transition := trainer.step()) is not None:
        triggers.append(transition.trigger)
    assert triggers[0] == "begin_fit"
    assert triggers[-1] == "after_fit"
    assert list(run) == []


def test_step_without_a_run_says_how_to_get_one():
    trainer = trainer_of()
    with pytest.raises(RuntimeError, match=r"run = trainer\.steps\(loader\)"):
        trainer.step()


def test_leaving_a_loop_over_steps_closes_every_scope():
    trainer = trainer_of()
    closed = seen(trainer, "after_batch", lambda state: state.outcome)
    ended = seen(trainer, "after_fit", lambda state: state.cancel and state.cancel.reason)
    for transition in trainer.steps(batches(3)):
        if transition.trigger == "after_loss":
            break
    assert closed == ["cancelled"]
    assert ended == ["the iterator of the run was closed"]
    assert trainer.state.phase == "cancelled"
    trainer.fit(batches(1))


def test_two_trainers_interleave_in_one_thread():
    alone, one, other = trainer_of(), trainer_of(), trainer_of()
    alone.fit(batches(3), epochs=2)
    for _ in zip(one.steps(batches(3), epochs=2), other.steps(batches(3), epochs=2), strict=True):
        pass
    for trainer in (one, other):
        assert torch.equal(trainer.state.model.weight, alone.state.model.weight)


def test_the_state_after_a_fit_says_how_it_ended():
    trainer = trainer_of()
    trainer.on("after_epoch")(
        lambda trainer, state: (_ for _ in ()).throw(CancelFitException("ok"))
    )
    state = trainer.fit(batches(1), epochs=3)
    assert state is trainer.state
    assert (state.outcome, state.cancel.reason, state.phase) == ("cancelled", "ok", "cancelled")


# wraps, other charts


def test_a_wrap_is_undone_with_its_handler():
    calls = []

    class Wrapping:
        def wrap_forward(self, forward):
            def wrapped(state):
                calls.append(state.training)
                return forward(state)

            return wrapped

    trainer = trainer_of()
    with trainer.attach(Wrapping()):
        trainer.fit(batches(1), batches(1))
    trainer.fit(batches(1), batches(1))
    assert calls == [True, False]


def test_a_context_manager_that_is_a_decorator_wraps_an_activity():
    trainer = trainer_of()
    trainer.wrap("forward", torch.autocast("cpu", torch.bfloat16))
    dtypes = seen(trainer, "after_pred", lambda state: state.pred.dtype)
    trainer.fit(batches(1))
    assert dtypes == [torch.bfloat16]


def test_a_wrap_added_during_a_run_is_used_from_the_next_phase_on():
    trainer = trainer_of()
    calls = []

    @trainer.on("begin_batch", once=True)
    def wrap(trainer, state):
        trainer.wrap("loss", lambda loss: lambda state: calls.append(1) or loss(state))

    trainer.fit(batches(2))
    assert calls == [1, 1]


def test_a_replaced_loss_is_used_in_fit_and_validate_not_in_predict():
    trainer = trainer_of()
    phases = []

    def my_loss(state):
        phases.append(state.training)
        state.loss = state.pred.mean()
        return "after_loss"

    trainer.wrap("loss", lambda loss: my_loss)
    trainer.fit(batches(1), batches(1))
    trainer.predict(batches(1))
    assert phases == [True, False]


def test_an_activity_without_a_trigger_raises_and_lists_the_legal_ones():
    trainer = trainer_of()
    trainer.wrap("forward", lambda forward: lambda state: None)
    with pytest.raises(IllegalTransitionError, match=r"cannot fire None in .*forward.*after_pred"):
        trainer.fit(batches(1))
    assert trainer.state.phase == "failed"


def test_an_engine_runs_any_chart():
    rows = (
        ("begin_game", ("idle", "completed", "cancelled", "failed"), "game.play"),
        ("after_move", "game.play", "game.play"),
        ("after_cancel_game", "game", "game.cancelled"),
        ("after_error", "game", "game.failing"),
        ("after_game", "game.play", "completed"),
        ("after_game", "game.cancelled", "cancelled"),
        ("after_game", "game.failing", "failed"),
    )
    moves = iter(["after_move", "after_move", "after_game"])
    engine = Engine(rows, {"play": lambda state: next(moves)}, TrainState(model=nn.Identity()))
    triggers = [transition.trigger for transition in engine.steps()]
    assert triggers == ["begin_game", "after_move", "after_move", "after_game"]


def test_the_machine_of_a_trainer_has_its_live_phase():
    trainer = trainer_of()
    live = seen(trainer, "after_loss", lambda state: trainer.machine.models[0].phase)
    trainer.fit(batches(1))
    assert live == ["fit.epoch.train.batch.scored"]
    assert trainer.machine.get_triggers("fit.ready")


# validation in mid-epoch, and skipped


def test_training_pauses_for_a_validation_and_resumes_where_it_stopped():
    trainer = trainer_of()
    triggers = []

    @trainer.on("any_transition")
    def watch(trainer, state, transition):
        if transition.trigger.endswith(("_train", "_validate", "_epoch")):
            triggers.append(transition.trigger)

    @trainer.on("after_batch", when=lambda t, state: state.training and state.batch_index == 0)
    def request(trainer, state):
        state.validate_next = True

    indices = seen(trainer, "begin_batch", lambda state: (state.training, state.batch_index))
    trainer.fit(iter(batches(3)), batches(1))
    segment = ["begin_train", "after_train", "begin_validate", "after_validate"]
    assert triggers == ["begin_epoch", *segment, *segment, "after_epoch"]
    assert indices == [(True, 0), (False, 0), (True, 1), (True, 2), (False, 0)]


def test_a_paused_training_is_not_resumed_after_its_epoch_is_cancelled():
    trainer = trainer_of()

    @trainer.on("after_batch", when=lambda t, s: s.training and (s.epoch, s.batch_index) == (0, 0))
    def request(trainer, state):
        state.validate_next = True

    @trainer.on("begin_validate", once=True)
    def cancel(trainer, state):
        raise CancelEpochException("enough")

    indices = seen(trainer, "begin_batch", lambda state: (state.epoch, state.training))
    trainer.fit(batches(2), batches(1), epochs=2)
    assert indices == [(0, True), (1, True), (1, True), (1, False)]


def test_a_handler_can_skip_the_validation_of_an_epoch():
    trainer = trainer_of()

    @trainer.on("begin_epoch", when=lambda trainer, state: state.epoch == 0)
    def skip(trainer, state):
        state.validation_due = False

    epochs = seen(trainer, "begin_validate", lambda state: state.epoch)
    trainer.fit(batches(1), batches(1), epochs=2)
    assert epochs == [1]


def test_validate_returns_its_own_metrics_only():
    trainer = trainer_of()
    trainer.on("after_train")(lambda t, state: state.metrics.update(train_loss=1.0, both=1.0))
    trainer.on("after_validate")(lambda t, state: state.metrics.update(valid_loss=2.0, both=2.0))
    trainer.fit(batches(1))
    assert trainer.validate(batches(1)) == {"valid_loss": 2.0, "both": 2.0}
    assert trainer.state.metrics == {"train_loss": 1.0, "both": 1.0}  # those of the fit


def test_a_closing_signal_reaches_receivers_that_compare_equal():
    class Equal:
        def __init__(self, name):
            self.name = name

        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

        def __call__(self, trainer, state):
            called.append(self.name)
            if self.name == "b":
                raise ValueError("b")

    called = []
    trainer = trainer_of()
    for name in "abc":
        trainer.on("after_batch")(Equal(name))
    with pytest.raises(ValueError, match="b"):
        trainer.fit(batches(1))
    assert called == ["a", "b", "c"]

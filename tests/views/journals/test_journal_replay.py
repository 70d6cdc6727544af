import math
import warnings

import pytest
import torch
from helpers import Trace, batches, trainer_of
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import journal_of, lines_of

from trackside import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    EarlyStopping,
    History,
    Journal,
    Metrics,
    OneCycle,
    RetryBatchException,
    RollbackException,
    Snapshots,
)
from trackside.views import JournalError, RecordedError, replay


class Counters:
    """What a handler reads of the state at each signal, and what it hears of metrics."""

    def __init__(self):
        self.seen = []

    def any_transition(self, trainer, state, transition):
        counters = (state.epoch, state.batch_index, state.step, state.samples, state.n_batches)
        self.seen.append((*transition, *counters, state.n_epochs, state.training, state.batch_size))

    def reported(self, trainer, state):
        self.seen.append(dict(state.reported))

    def after_epoch(self, trainer, state):
        self.seen.append(dict(state.metrics))


def test_a_handler_reads_what_it_has_read_in_the_fit(tmp_path):
    real, again = Counters(), Counters()
    journal_of(tmp_path / "a.jsonl", real, Metrics())
    state = replay(tmp_path / "a.jsonl", [again])
    assert again.seen == real.seen
    assert (state.outcome, state.step) == ("completed", 6)


CANCELS = [CancelBatchException, CancelStepException, CancelEpochException, CancelFitException]
SIGNALS = ["begin_batch", "after_loss", "begin_step", "after_batch", "begin_epoch", "after_epoch"]


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CANCELS), st.sampled_from(SIGNALS), st.integers(1, 5))
def test_the_cancels_of_the_journal_are_made_again(tmp_path_factory, cancel, name, count):
    path = tmp_path_factory.mktemp("replay") / "a.jsonl"

    def change(trainer):
        @trainer.on(name, every=count)
        def raise_it(trainer, state):
            if cancel.scope in state.phase.split("."):
                raise cancel("enough")

    with warnings.catch_warnings(action="ignore"):  # that it was never called
        journal_of(path, change=change)
    recorded = [(line["trigger"], line["to"]) for line in lines_of(path) if "trigger" in line]
    made = []

    class Listener:
        def any_transition(self, trainer, state, transition):
            made.append((transition.trigger, transition.destination))
            assert str(getattr(state.cancel, "reason", "enough")) == "enough"

    replay(path, [Listener()])
    assert made == recorded


@pytest.mark.parametrize("patience", [1, 2])
def test_a_handler_decides_as_it_does_in_a_fit(tmp_path, patience):
    path = journal_of(tmp_path / "a.jsonl", Metrics(), epochs=9)
    fit = trainer_of(Metrics(), EarlyStopping(patience=patience, min_delta=0.5))
    expected = fit.fit(batches(), batches(2), epochs=9)
    state = replay(path, [EarlyStopping(patience=patience, min_delta=0.5)])
    assert (state.outcome, state.epoch) == ("cancelled", expected.epoch)
    assert state.cancel.reason == expected.cancel.reason


def test_after_a_cancel_of_a_batch_the_next_one_follows(tmp_path):
    path = journal_of(tmp_path / "a.jsonl")
    trace = Trace()

    class Skip:
        def after_pred(self, trainer, state):
            if state.training and state.batch_index == 1:
                raise CancelBatchException("not this one")

    assert replay(path, [Skip(), trace]).outcome == "completed"
    assert trace.signals.count("after_cancel_batch") == 2
    assert trace.signals.count("begin_batch") == trace.signals.count("after_batch") == 10
    assert trace.signals.count("after_step") == 4


def test_fields_in_full_are_there_with_their_values(tmp_path):
    losses, again = [], []
    trainer = trainer_of(Journal(tmp_path / "a.jsonl", full=("loss", "xb"), every=2))
    trainer.on("after_loss")(lambda _, state: losses.append(state.loss.detach()))
    trainer.fit(batches(), epochs=1)

    class Reader:
        def after_loss(self, trainer, state):
            again.append(state.loss)
            assert state.pred is None
            assert (state.xb is None) == (state.loss is None)

    replay(tmp_path / "a.jsonl", [Reader()])
    assert again == [losses[0], None, losses[2]]


def test_a_nan_of_the_journal_is_one(tmp_path):
    loss_fn = lambda pred, yb: pred.mean() * math.nan  # noqa: E731
    trainer_of(Journal(tmp_path / "a.jsonl", full=("loss",)), loss_fn=loss_fn).fit(batches())
    seen = []

    class Reader:
        def after_loss(self, trainer, state):
            seen.append(state.loss.item())

    replay(tmp_path / "a.jsonl", [Reader()])
    assert len(seen) == 3
    assert all(map(math.isnan, seen))


def test_a_schedule_and_a_history_work_without_a_model(tmp_path):
    path = journal_of(tmp_path / "a.jsonl", Metrics())
    history, rates = History(), []

    class Rates:
        runs_after = ("OneCycle",)

        def begin_step(self, trainer, state):
            rates.append(state.lr)

    replay(path, [history, OneCycle(0.1), Rates()])
    assert max(rates) == pytest.approx(0.1, rel=0.5)
    assert len({*rates}) == len(rates) == 6
    real = History()
    trainer_of(Metrics(), real).fit(batches(), batches(2), epochs=2)
    names = ("epoch", "step", "train_loss", "valid_loss")
    assert [[row[n] for n in names] for row in history.rows] == [
        [row[n] for n in names] for row in real.rows
    ]


def failing(trainer):
    @trainer.on("after_loss", every=4)
    def fail(trainer, state):
        raise OSError("disk")


def test_the_error_of_the_recorded_run_is_raised_at_the_end(tmp_path):
    with pytest.raises(OSError, match="disk"):
        journal_of(tmp_path / "a.jsonl", change=failing)
    trace = Trace()
    with pytest.raises(RecordedError, match="OSError: disk"):
        replay(tmp_path / "a.jsonl", [trace])
    assert trace.signals[-2:] == ["after_error", "after_fit"]


def test_an_error_that_the_journal_is_cut_off_at_is_raised(tmp_path):
    with pytest.raises(OSError, match="disk"):
        journal_of(tmp_path / "a.jsonl", change=failing)
    lines = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines) if "closed_by" in line)
    (tmp_path / "a.jsonl").write_text("".join(lines[: end + 1]))
    with pytest.raises(RecordedError, match="OSError: disk"):
        replay(tmp_path / "a.jsonl", [])


def test_of_several_fits_the_first_one_is_replayed(tmp_path):
    trainer = trainer_of(Journal(tmp_path / "a.jsonl"))
    for count in (3, 5):
        trainer.fit(batches(count), epochs=1)
    trainer.detach(trainer.handlers[0])
    trace = Trace()
    assert replay(tmp_path / "a.jsonl", [trace]).step == 3
    assert trace.signals.count("begin_fit") == 1


def test_the_journal_of_a_resumed_fit_alone_cannot_be_replayed(tmp_path):
    saved = []
    first = trainer_of()
    first.on("after_batch", once=True)(lambda trainer, state: saved.append(trainer.state_dict()))
    first.fit(batches(), epochs=1)
    trainer_of(Journal(tmp_path / "a.jsonl")).fit(batches(), resume=saved[0])
    assert "resumed" in lines_of(tmp_path / "a.jsonl")[1]
    with pytest.raises(JournalError, match="does not begin with a fit"):
        replay(tmp_path / "a.jsonl", [Trace()])


def test_a_handler_that_reads_the_loader_finds_its_length_and_no_batch(tmp_path):
    seen = []

    class Reader:
        def begin_fit(self, trainer, state):
            seen.append((len(state.train_loader), [*state.train_loader]))

    replay(journal_of(tmp_path / "a.jsonl"), [Reader()])
    assert seen == [(3, [])]


def test_a_journal_that_is_cut_off_ends_the_replay_there(tmp_path):
    path = journal_of(tmp_path / "a.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:20]) + lines[20][:-5])
    state = replay(path, [Trace()])
    assert (state.outcome, str(state.cancel.reason)) == ("cancelled", "the journal ends here")


def test_what_cannot_be_replayed_is_said(tmp_path):
    path = journal_of(tmp_path / "a.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[4:]]))
    with pytest.raises(JournalError, match="does not begin with a fit"):
        replay(path, [Trace()])
    with pytest.raises(JournalError, match="cannot read"):
        replay(tmp_path / "none", [Trace()])


def test_a_batch_that_was_run_again_is_so_in_the_replay(tmp_path):
    def change(trainer):
        @trainer.on("after_loss", every=3)
        def again(trainer, state):
            if not state.phase.endswith("retry"):
                raise RetryBatchException("once more")

    path = journal_of(tmp_path / "a.jsonl", change=change)
    recorded = [line["trigger"] for line in lines_of(path) if "trigger" in line]
    assert "begin_retry" in recorded
    trace = Trace()
    replay(path, [trace])
    assert trace.signals == recorded


def test_a_journal_with_a_rollback_is_refused(tmp_path):
    def change(trainer):
        @trainer.on("after_step", when=lambda _, state: state.step == 2, once=True)
        def back(trainer, state):
            raise RollbackException("there")

    path = journal_of(tmp_path / "a.jsonl", Snapshots(every=1), change=change)
    with pytest.raises(JournalError, match="rollback after 2 steps"):
        replay(path, [Trace()])


def test_values_of_all_kinds_come_back(tmp_path):
    from trackside.handlers.recording._field_digest import in_full
    from trackside.views.journals.journal_replay import _value

    tensor = torch.tensor([[1.5, math.inf]], dtype=torch.float64)
    for value in (tensor, torch.tensor(True), {"a": (tensor, 3)}, -math.inf, None, "text"):
        again = _value(in_full(value))
        assert str(again) == str(value)

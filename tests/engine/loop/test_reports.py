"""When the signal `reported` is sent, and what a receiver of it may do."""

import contextlib

import pytest
import torch
from helpers import Trace, batches, trainer_of, weights

from trackside.events import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    IllegalCancelError,
    reported,
)


class Reads:
    """Keeps what was reported, with the phase and the step."""

    def __init__(self):
        self.read = []

    def reported(self, trainer, state):
        self.read.append((dict(state.reported), state.phase, state.step))


def test_reports_of_one_signal_are_sent_together_before_the_next_activity():
    reads = Reads()
    trainer = trainer_of(reads)
    trainer.on("after_train")(lambda t, state: state.report(a=1))
    trainer.on("after_train")(lambda t, state: state.metrics.update(b=2))
    trainer.fit(batches(2))
    assert reads.read == [({"a": 1, "b": 2}, "fit.epoch.trained", 2)]


def test_a_report_in_a_batch_is_sent_in_that_batch():
    reads = Reads()
    trainer = trainer_of(reads)
    trainer.on("after_step", every=2)(lambda t, state: state.report(at=state.step))
    trainer.fit(batches(4))
    assert [(values["at"], step) for values, _, step in reads.read] == [(2, 2), (4, 4)]


@pytest.mark.parametrize("name", ["begin_fit", "after_epoch", "after_fit"])
def test_a_report_at_the_ends_of_a_fit_is_sent(name):
    reads = Reads()
    trainer = trainer_of(reads)
    trainer.on(name)(lambda t, state: state.report(at=name))
    trainer.fit(batches(1))
    assert [values for values, *_ in reads.read] == [{"at": name}]


def test_a_report_while_scopes_close_is_sent_when_they_have_closed():
    reads = Reads()
    trainer = trainer_of(reads)

    @trainer.on("begin_batch", once=True)
    def cancel(trainer, state):
        raise CancelBatchException("bad")

    trainer.on("after_cancel_batch")(lambda t, state: state.report(skipped=1))
    trainer.fit(batches(2))
    assert [(values, phase) for values, phase, _ in reads.read] == [
        ({"skipped": 1}, "fit.epoch.train.fetch")
    ]


def test_every_receiver_gets_a_report_even_if_one_of_them_cancels():
    reads = Reads()
    trainer = trainer_of()

    @trainer.on("reported")
    def cancel(trainer, state):
        raise CancelFitException("enough")

    trainer.attach(reads)
    trainer.on("after_step", once=True)(lambda t, state: state.report(a=1))
    state = trainer.fit(batches(3))
    assert [values for values, *_ in reads.read] == [{"a": 1}]
    assert (state.outcome, state.step) == ("cancelled", 1)
    assert "cancel" in state.cancel.raised_by


@pytest.mark.parametrize("trigger", ["after_step", "after_batch", "begin_epoch", "after_epoch"])
def test_a_stepwise_run_yields_a_transition_whose_report_raised(trigger):
    def sent_and_yielded(error):
        trace, trainer = Trace(), trainer_of()
        trainer.attach(trace)
        trainer.on(trigger, once=True)(lambda t, state: state.report(a=1))

        @trainer.on("reported", once=True)
        def fail(trainer, state):
            raise error

        run, yielded = trainer.steps(batches(3)), []
        with contextlib.suppress(ValueError, IllegalCancelError):
            yielded.extend(transition.trigger for transition in run)
        return trace.signals, yielded

    for error in (CancelEpochException("enough"), CancelFitException("no"), ValueError("no")):
        sent, yielded = sent_and_yielded(error)
        assert yielded == sent


@pytest.mark.parametrize("error", [CancelEpochException("enough"), ValueError("no")])
def test_a_report_of_the_host_that_raises_yields_no_transition_twice(error):
    trace, trainer = Trace(), trainer_of()
    trainer.attach(trace)

    @trainer.on("reported", once=True)
    def fail(trainer, state):
        raise error

    yielded = []
    with contextlib.suppress(ValueError):
        for transition in trainer.steps(batches(3)):
            yielded.append(transition.trigger)
            if len(yielded) == 4:
                trainer.state.report(a=1)
    assert yielded == trace.signals
    assert yielded.count("after_pred") < 3, "the report has raised"


def test_an_error_of_a_receiver_of_reported_names_it():
    trainer = trainer_of()

    @trainer.on("reported")
    def broken(trainer, state):
        raise ValueError("no")

    trainer.on("after_train")(lambda t, state: state.report(a=1))
    with pytest.raises(ValueError, match="no") as caught:
        trainer.fit(batches(1))
    assert "raised by handler" in caught.value.__notes__[0]
    assert "broken" in caught.value.__notes__[0]


def test_a_cancel_of_a_report_after_the_step_clears_the_used_gradients():
    trainer = trainer_of()

    @trainer.on("reported", once=True)
    def cancel(trainer, state):
        raise CancelBatchException("skip")

    trainer.on("after_step")(lambda t, state: state.report(a=1))
    plain = trainer_of()
    plain.fit(batches(3))
    trainer.fit(batches(3))
    for ours, theirs in zip(weights(trainer), weights(plain), strict=True):
        assert torch.equal(ours, theirs)


def test_no_signal_is_sent_without_a_report():
    reads, trace = Reads(), Trace()
    trainer_of(reads, trace).fit(batches(2), batches(1))
    assert reads.read == []


def test_a_module_subscribes_to_the_reports_of_every_trainer():
    read = []
    with reported.connected_to(lambda sender, state: read.append(dict(state.reported))):
        trainer = trainer_of()
        trainer.on("after_train")(lambda t, state: state.report(a=1))
        trainer.fit(batches(1))
    assert read == [{"a": 1}]


def test_a_report_outside_of_a_run_is_not_sent_in_the_next_one():
    reads = Reads()
    trainer = trainer_of(reads)
    trainer.state.report(stale=1)
    trainer.fit(batches(1))
    assert reads.read == []


def test_a_report_of_the_host_that_was_not_sent_yet_is_sent_after_the_resume():
    trainer = trainer_of()
    run = trainer.steps(batches(2))
    for transition in run:
        if transition.trigger == "after_train":
            trainer.state.report(a=1)
            saved = trainer.state_dict()
            break
    run.close()
    reads = Reads()
    trainer_of(reads).fit(batches(2), resume=saved)
    assert [values for values, *_ in reads.read] == [{"a": 1}]


def test_what_a_transition_reports_is_sent_when_the_host_gets_it():
    reads = Reads()
    trainer = trainer_of(reads)
    trainer.on("after_train")(lambda t, state: state.report(a=1))
    for transition in trainer.steps(batches(2)):
        if transition.trigger == "after_train":
            assert [values for values, *_ in reads.read] == [{"a": 1}]

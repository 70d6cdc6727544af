"""A chart whose scopes have other names: engine, status, checkpoints and handlers ask for roles."""

import os
import signal
import sys
from pathlib import Path

import pytest
from forked import run_forked
from helpers import Trace, batches, equal, trainer_of, weights

from trackside import interruptible
from trackside.engine import SUPERVISED, ResumeError, Topology
from trackside.engine.loop.activities import forward, zero_grad
from trackside.events import AttachError, Cancel, cancel_for
from trackside.handlers import (
    Checkpoint,
    EarlyStopping,
    GradientAccumulation,
    History,
    Metrics,
    SkipEpochs,
)

NAMES = {"fit": "study", "epoch": "iteration", "train": "learning", "batch": "frame"}


def other_names():
    return SUPERVISED.renamed(NAMES)


def renamed(signal):
    return "_".join(NAMES.get(word, word) for word in signal.split("_"))


def test_a_fit_under_other_names_makes_the_same_transitions_and_weights():
    one, other = Trace(), Trace()
    plain, named = trainer_of(one), trainer_of(other, chart=other_names())
    plain.fit(batches(3), batches(2), epochs=2)
    named.fit(batches(3), batches(2), epochs=2)
    assert other.signals == [renamed(name) for name in one.signals]
    assert equal(weights(named), weights(plain))


def test_handlers_of_standard_signals_work_under_other_names(tmp_path):
    def rows_of(**options):
        history = History()
        handlers = [Metrics(), history, GradientAccumulation(2), EarlyStopping(patience=1)]
        trainer = trainer_of(*handlers, Checkpoint(tmp_path / str(len(options))), **options)
        trainer.fit(batches(3), batches(2), epochs=3)
        return history.rows

    assert rows_of(chart=other_names()) == rows_of()


@pytest.mark.parametrize("chart", [SUPERVISED, other_names()], ids=["standard", "other names"])
def test_a_checkpoint_is_saved_at_each_epoch_and_at_a_cancel(chart, tmp_path):
    trainer = trainer_of(Checkpoint(tmp_path, epochs=1, keep_last=None), chart=chart)

    @trainer.on("begin_epoch", when=lambda trainer, state: state.epoch == 2)
    def stop(trainer, state):
        raise cancel_for("study" if chart is not SUPERVISED else "fit")("enough")

    trainer.fit(batches(2), epochs=4)
    assert len([*tmp_path.glob("step-*")]) == 3


@pytest.mark.parametrize("chart", [SUPERVISED, other_names()], ids=["standard", "other names"])
def test_a_state_inside_a_batch_is_refused_under_any_names(chart):
    trainer = trainer_of(chart=chart)
    run = trainer.steps(batches(2))
    saved = next(trainer.state_dict() for t in run if t.destination.endswith(".fetch"))
    run.close()
    unit = trainer.state.unit_scope
    inside = next(leaf for leaf in trainer.topology.leaves if leaf.endswith(f".{unit}.loss"))
    with pytest.raises(ResumeError, match="no fit is saved there"):
        trainer_of(chart=chart).fit(batches(2), resume={**saved, "phase": inside})


@pytest.mark.parametrize(("scope", "is_computed"), [("learning", True), ("iteration", False)])
def test_a_pass_that_its_own_cancel_ends_is_computed_under_other_names(scope, is_computed):
    trainer = trainer_of(Metrics(), chart=other_names())

    @trainer.on("begin_batch", when=lambda trainer, state: state.batch_index == 1)
    def stop(trainer, state):
        raise cancel_for(scope)("enough")

    assert ("train_loss" in trainer.fit(batches(3)).metrics) is is_computed


def test_a_receiver_is_found_by_its_standard_name_and_by_its_own():
    calls = []
    trainer = trainer_of(chart=other_names())
    trainer.on("after_epoch")(lambda t, state: calls.append("standard"))
    trainer.on("after_iteration")(lambda t, state: calls.append("own"))
    trainer.fit(batches(1))
    assert calls == ["standard", "own"]


def test_a_handler_whose_role_is_missing_is_refused_at_attach():
    with pytest.raises(AttachError, match="begin_epoch: none of its scopes has the role round"):
        trainer_of(SkipEpochs(1), chart=SUPERVISED.without("epoch"))


def test_a_fit_is_between_batches_where_no_unit_is_open():
    seen = {}
    trainer = trainer_of(chart=other_names())
    trainer.on("any_transition")(
        lambda t, state, transition: seen.setdefault(state.phase, state.at_boundary)
    )
    trainer.fit(batches(1))
    assert not any(at for phase, at in seen.items() if ".frame." in phase)
    assert seen["study.iteration.learning.fetch"]


def test_a_fit_under_other_names_resumes_bit_for_bit():
    whole = trainer_of(chart=other_names())
    whole.fit(batches(4), batches(2), epochs=2)
    first = trainer_of(chart=other_names())
    run = first.steps(batches(4), batches(2), epochs=2)
    for transition in run:
        if transition.trigger == "after_frame" and first.state.step == 6:
            saved = first.state_dict()
            break
    run.close()
    second = trainer_of(chart=other_names())
    second.fit(batches(4), batches(2), epochs=2, resume=saved)
    assert equal(weights(second), weights(whole))


def test_progress_counts_rounds_whatever_they_are_called():
    chart = Topology(other_names()).chart
    made = []
    trainer = trainer_of(chart=chart)
    trainer.on("after_iteration")(lambda t, state: made.append(state.progress("epochs").done))
    trainer.fit(batches(2), epochs=3)
    assert made == [1.0, 2.0, 3.0]


def test_a_cancel_of_a_scope_of_its_own_closes_it():
    trace = Trace()
    trainer = trainer_of(trace, chart=other_names())

    @trainer.on("begin_frame", once=True)
    def cancel(trainer, state):
        raise cancel_for("iteration")("next, please")

    trainer.fit(batches(3), epochs=2)
    assert issubclass(cancel_for("iteration"), Cancel)
    assert trace.signals.count("after_cancel_iteration") == 1
    assert trainer.state.step == 3


def test_validate_sends_the_signals_under_the_same_names():
    trace = Trace()
    trainer = trainer_of(trace, Metrics(), chart=other_names())
    found = trainer.validate(batches(2))
    assert trace.signals.count("after_frame") == 2
    assert {*found} == {"valid_loss"}


def test_predict_needs_no_targets_under_other_names():
    inputs = [x for x, _ in batches(2)]
    plain, named = trainer_of(), trainer_of(chart=other_names())
    assert named.predict(inputs).equal(plain.predict(inputs))


def test_other_names_add_nothing_around_the_activities_of_a_batch():
    registry = trainer_of(chart=other_names())._registry
    frame = "study.iteration.learning.frame"
    assert registry.activity_of(f"{frame}.forward") is forward
    assert registry.activity_of(f"{frame}.zero_grad") is zero_grad


def test_a_row_with_a_condition_is_fired_by_its_standard_name_too():
    asked = []
    trainer = trainer_of(chart=other_names())
    (row,) = trainer.machine.get_transitions("after_frame", "study.iteration.learning.frame")
    row.add_callback("before", lambda state: asked.append(state.phase))
    trainer.fit(batches(2))
    assert asked == ["study.iteration.learning.frame.zero_grad"] * 2


def test_a_background_run_is_cancelled_by_the_scopes_of_its_own_chart():
    endless = trainer_of(chart=other_names())
    run = endless.start(batches(2), epochs=10**6)
    with pytest.raises(ValueError, match=r"no scope 'epoch'.*scopes are study, iteration"):
        run.cancel("epoch")
    assert run.cancel(reason="enough")
    assert run.result().cancel.scope == "study"


def test_a_process_that_ends_closes_the_fit_of_a_chart_of_its_own():
    code = """
from helpers import batches, trainer_of
from test_roles import other_names

trainer = trainer_of(chart=other_names())
trainer.on("after_study")(lambda trainer, state: print("closed", flush=True))
trainer.start(batches(2), epochs=10**6)
"""
    folder = Path(__file__).parent
    paths = {"PYTHONPATH": f"{folder.parent}:{folder}"}
    done = run_forked([sys.executable, "-c", code], env={**os.environ, **paths})
    assert (done.returncode, done.stdout) == (0, "closed\n"), done.stderr


def test_an_interruptible_block_cancels_the_outermost_scope_of_the_chart():
    trainer = trainer_of(chart=other_names())
    with interruptible(trainer) as interruption:
        trainer.on("begin_frame", once=True)(lambda t, state: signal.raise_signal(signal.SIGTERM))
        state = trainer.fit(batches(2), epochs=3)
    assert interruption.signal == signal.SIGTERM
    assert (state.outcome, state.cancel.scope) == ("cancelled", "study")

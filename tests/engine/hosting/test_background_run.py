import asyncio
import copy
import gc
import sys
import threading
import weakref
from concurrent import futures

import pytest
from forked import run_forked
from helpers import CANCELS, Trace, batches, equal, model, trainer_of, weights
from strange import Disguised, Falsy, Incomparable, Sealed

from trackside.engine import BusyError, Run
from trackside.events import CancelFitException, begin_fit

LONG = 300
"""Seconds after which a test stops waiting; normally it needs less than a hundredth."""


class Gate:
    """A loader that blocks before the batch `at` until `open` is called."""

    def __init__(self, data, at=1):
        self.data, self.at = data, at
        self.reached, self.opened = threading.Event(), threading.Event()

    def __iter__(self):
        for index, batch in enumerate(self.data):
            if index == self.at:
                self.reached.set()
                assert self.opened.wait(LONG)
            yield batch

    def open(self):
        self.opened.set()


@pytest.fixture
def gate():
    made = Gate(batches(4))
    yield made
    made.open()


def endless(trainer, **options):
    return trainer.start(batches(2), batches(1), epochs=1_000_000, **options)


def paused_status(run):
    """Pause a run, wait until it is paused, and return its status."""
    run.pause()
    return awaited_pause(run)


def awaited_pause(run):
    while not (status := run.status()).paused:
        assert not run.done()
    return status


def test_a_run_of_several_ranks_refuses_to_pause():
    trainer = trainer_of()
    run = endless(trainer)
    trainer.state.world_size = 2
    try:
        with pytest.raises(RuntimeError, match="cannot pause one of several ranks: the others"):
            run.pause()
    finally:
        trainer.state.world_size = 1
        run.cancel()
    assert run.result(LONG).outcome == "cancelled"


# the fit


def test_a_run_in_the_background_gives_the_weights_of_a_fit():
    here, there = trainer_of(net=model(3)), trainer_of(net=model(3))
    here.fit(batches(3), batches(1), epochs=2)
    state = there.start(batches(3), batches(1), epochs=2).result(LONG)
    assert state is there.state
    assert equal(weights(here), weights(there))


def test_a_run_has_a_thread_named_after_the_trainer():
    names = []
    trainer = trainer_of(name="detector")
    trainer.on("begin_fit")(lambda trainer, state: names.append(threading.current_thread().name))
    trainer.start(batches(1)).result(LONG)
    assert names == ["trackside detector"]


def test_start_returns_when_the_fit_has_begun(gate):
    trainer = trainer_of()
    run = trainer.start(gate)
    assert run.status().phase.startswith("fit.")
    assert run.running()
    gate.open()
    run.result(LONG)


def test_wrong_arguments_are_raised_by_start(gate):
    trainer = trainer_of()
    with pytest.raises(ValueError, match="epochs=-1"):
        trainer.start(batches(1), epochs=-1)
    with pytest.raises(TypeError, match="train_loader"):
        trainer.start(None)
    with trainer.start(gate):
        with pytest.raises(BusyError, match="begin_fit while this Trainer is in"):
            trainer.start(batches(1))
        gate.open()


def test_an_error_before_the_fit_begins_is_raised_by_start():
    trainer = trainer_of()
    trainer.machine.events["begin_fit"].transitions["idle"][0].prepare.append(refuse)
    with pytest.raises(LookupError, match="not today"):
        trainer.start(batches(1))
    assert trainer.handlers == []


def refuse(state):
    raise LookupError("not today")


def test_an_error_of_the_fit_is_raised_by_result():
    trainer = trainer_of()
    trainer.on("after_loss")(refuse_in_handler)
    run = trainer.start(batches(1))
    with pytest.raises(LookupError, match="not today"):
        run.result(LONG)
    assert isinstance(run.exception(), LookupError)
    assert run.status().phase == "failed"


def refuse_in_handler(trainer, state):
    raise LookupError("not today")


# status


def test_a_status_does_not_change_while_the_run_continues():
    trainer = trainer_of()
    trainer.on("after_loss")(lambda trainer, state: state.metrics.update(n=state.step))
    with endless(trainer) as run:
        status = run.status()
        kept = status._replace(metrics=dict(status.metrics))
        run.wait_for("fit.epoch.validate", LONG)
        assert status == kept
        with pytest.raises(AttributeError):
            status.step = 3
        with pytest.raises(TypeError):
            status.metrics["n"] = 3


def test_the_status_of_a_finished_run_stays_when_the_trainer_fits_again():
    trainer = trainer_of()
    run = trainer.start(batches(3), epochs=2)
    run.result(LONG)
    trainer.fit(batches(1))
    status = run.status()
    assert (status.phase, status.epoch, status.step, status.left) == ("completed", 1, 6, 0.0)


# pause, resume


def test_a_paused_run_makes_no_transition_until_it_is_resumed():
    trace = Trace()
    with endless(trainer_of(trace)) as run:
        before = paused_status(run)
        count = len(trace.signals)
        assert (run.status(), len(trace.signals)) == (before, count)
        run.resume()
        while len(trace.signals) == count:
            assert not run.done()


def test_a_run_that_nobody_has_paused_is_not_paused(gate):
    with trainer_of().start(gate) as run:
        assert gate.reached.wait(LONG)
        status = run.status()
        gate.open()
    assert not status.paused


def test_a_run_can_be_paused_in_training_validation_and_fetch(gate):
    with endless(trainer_of()) as run:
        for phase in ("fit.epoch.train.batch", "fit.epoch.validate.batch", "fit.epoch.train.fetch"):
            run.wait_for(phase, LONG)
            paused_status(run)
            run.resume()
    trainer = trainer_of()
    with trainer.start(gate) as run:
        assert gate.reached.wait(LONG)
        run.pause()
        gate.open()
        status = paused_status(run)
        assert (status.phase, status.batch_index) == ("fit.epoch.train.batch.forward", 1)


def test_a_pause_does_not_count_as_time():
    with endless(trainer_of()) as run:
        seconds = paused_status(run).seconds
        assert run.status().seconds == seconds


def test_a_cancel_takes_effect_in_a_paused_run_which_stays_paused(gate):
    trace = Trace()
    with trainer_of(trace).start(gate, epochs=2) as run:
        assert gate.reached.wait(LONG)
        run.pause()
        gate.open()
        assert paused_status(run).phase == "fit.epoch.train.batch.forward"
        run.cancel("epoch", "by hand")
        while run.status().phase != "fit.ready":
            assert not run.done()
        assert awaited_pause(run).epoch == 0
        assert trace.signals[-1] == "after_epoch"
    assert run.status().phase == "cancelled"


def test_pausing_a_finished_run_does_not_pause_the_next_one(gate):
    trainer = trainer_of()
    old = trainer.start(batches(1))
    old.result(LONG)
    old.pause()
    assert trainer.fit(batches(1)).outcome == "completed"


# cancel


@pytest.mark.parametrize("scope", ["batch", "train", "validate", "epoch", "fit"])
def test_each_scope_can_be_cancelled_with_a_reason(scope):
    cancelled = []
    trainer = trainer_of()

    @trainer.on(f"after_cancel_{scope}", once=True)
    def hear(trainer, state):
        cancelled.append((type(state.cancel), state.cancel.reason))

    with endless(trainer) as run:
        while not cancelled:  # a cancel expires if its scope closes before it is read
            epoch = run.status().epoch
            assert run.cancel(scope, "by hand") or cancelled  # a fit is done soon after its cancel
            while not cancelled and run.status().epoch == epoch:
                assert scope == "fit" or not run.done()
    assert cancelled == [(CANCELS[scope], "by hand")]


def test_a_cancelled_run_has_a_result_whose_state_says_how_it_ended():
    run = endless(trainer_of())
    run.cancel(reason="by hand")
    state = run.result(LONG)
    assert (state.outcome, state.cancel.reason, run.cancelled()) == ("cancelled", "by hand", False)
    assert (run.status().outcome, run.status().reason) == ("cancelled", "by hand")


def test_cancelling_a_finished_run_returns_false():
    trainer = trainer_of()
    run = trainer.start(batches(1))
    run.result(LONG)
    assert run.cancel() is False
    assert trainer.fit(batches(1)).outcome == "completed"


def test_an_unknown_scope_is_refused_with_the_nearest_name():
    message = "no scope 'epochs'; did you mean epoch"
    with endless(trainer_of()) as run, pytest.raises(ValueError, match=message):
        run.cancel("epochs")


# waiting


def test_wait_for_returns_when_the_run_reaches_the_phase(gate):
    trainer = trainer_of()
    with trainer.start(gate, batches(1)) as run:
        gate.reached.wait(LONG)
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(run.wait_for, "fit.epoch.validate", LONG)
            while not trainer.handlers:  # wait until it has subscribed
                assert not waiting.done()
            gate.open()
            assert waiting.result(LONG) is True


def test_wait_for_the_current_phase_returns_at_once(gate):
    with trainer_of().start(gate) as run:
        gate.reached.wait(LONG)
        assert run.wait_for("fit.epoch.train.fetch", LONG)
        assert run.wait_for("fit", LONG)
        gate.open()


def test_wait_for_a_phase_that_is_never_reached_returns_false():
    assert trainer_of().start(batches(1)).wait_for("fit.epoch.validate", LONG) is False


@pytest.mark.parametrize("phase", ["completed", "cancelled"])
def test_wait_for_an_end_returns_whether_the_run_ended_so(phase):
    trainer = trainer_of()
    trainer.fit(batches(1))
    run = endless(trainer)
    run.cancel()
    assert run.wait_for(phase, LONG) is (phase == "cancelled")
    assert run.wait_for(phase, LONG) is (phase == "cancelled")


def test_waiting_times_out_and_leaves_nothing_attached(gate):
    trainer = trainer_of()
    with trainer.start(gate) as run:
        with pytest.raises(TimeoutError, match=r"not in fit.epoch.validate after 0.01 s, but fit"):
            run.wait_for("fit.epoch.validate", timeout=0.01)
        with pytest.raises(TimeoutError):
            run.result(timeout=0.01)
        assert trainer.handlers == []
        gate.open()


def test_an_unknown_phase_is_refused_with_the_nearest_name():
    message = r"no phase 'fit\.epoch\.valid'; did you mean"
    with endless(trainer_of()) as run, pytest.raises(ValueError, match=message):
        run.wait_for("fit.epoch.valid")


@pytest.mark.parametrize("tried", ["result", "exception", "wait_for"])
def test_waiting_for_a_run_in_its_own_thread_is_refused(tried):
    trainer, messages = trainer_of(), []

    @trainer.on("after_loss", once=True)
    def wait(trainer, state):
        assert run_assigned.wait(LONG)
        try:
            getattr(runs[0], tried)(*(["fit.epoch.validate"] if tried == "wait_for" else []))
        except RuntimeError as error:
            messages.append(str(error))

    run_assigned, runs = threading.Event(), []
    runs.append(trainer.start(batches(1)))
    run_assigned.set()
    runs[0].result(LONG)
    assert messages == [
        f"cannot call {tried} in the thread of the fit, which would wait for itself; "
        "allowed there: status, pause, resume, cancel"
    ]


# a context manager


def names_of_threads():
    return [thread.name for thread in threading.enumerate()]


def test_leaving_the_block_cancels_the_fit_and_joins_its_thread():
    with endless(trainer_of(name="endless")) as run:
        assert "trackside endless" in names_of_threads()
    assert "trackside endless" not in names_of_threads()
    assert (run.done(), run.status().reason) == (True, "its with block was left")


def test_leaving_the_block_ends_a_paused_run():
    with endless(trainer_of()) as run:
        paused_status(run)
    assert run.status().phase == "cancelled"


def test_leaving_the_block_raises_the_error_of_the_fit():
    trainer = trainer_of()
    trainer.on("after_loss")(refuse_in_handler)
    with pytest.raises(LookupError, match="not today"), trainer.start(batches(1)) as run:
        futures.wait([run], LONG)


def test_a_block_that_raises_has_the_error_of_the_fit_as_a_note():
    trainer = trainer_of()
    trainer.on("after_loss")(refuse_in_handler)
    run = trainer.start(batches(1))
    futures.wait([run], LONG)
    with pytest.raises(ZeroDivisionError) as raised, run:
        raise ZeroDivisionError
    (note,) = raised.value.__notes__
    assert note.startswith("trackside: the fit failed, too: Traceback")
    assert "LookupError: not today" in note
    assert isinstance(run.exception(), LookupError)


def test_a_block_that_raises_the_error_of_the_fit_itself_has_no_such_note():
    trainer = trainer_of()
    trainer.on("after_loss")(refuse_in_handler)
    with pytest.raises(LookupError) as raised, trainer.start(batches(1)) as run:
        run.result(LONG)
    assert not any("the fit failed, too" in note for note in raised.value.__notes__)


# a future


def test_runs_work_with_wait_and_as_completed():
    runs = [trainer_of().start(batches(2)) for _ in range(3)]
    assert {*futures.as_completed(runs, LONG)} == {*runs}
    assert futures.wait(runs, LONG).not_done == set()
    assert all(isinstance(run, Run) for run in runs)


def test_a_callback_of_a_run_is_called_when_it_is_done():
    called = threading.Event()
    run = trainer_of().start(batches(1))
    run.add_done_callback(lambda done: done.result().outcome == "completed" and called.set())
    assert called.wait(LONG)


def test_a_run_can_be_awaited():
    trainer = trainer_of()

    async def main():
        return await trainer.start(batches(2))

    assert asyncio.run(main()) is trainer.state


def test_awaiting_a_run_raises_its_error():
    trainer = trainer_of()
    trainer.on("after_loss")(refuse_in_handler)

    async def main():
        await asyncio.wrap_future(trainer.start(batches(2)))

    with pytest.raises(LookupError, match="not today"):
        asyncio.run(main())


@pytest.mark.parametrize("kind", [Disguised, Sealed])
def test_an_error_that_refuses_its_class_is_raised_where_the_run_is_awaited(kind):
    trainer, caught = trainer_of(), []

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise kind("no")

    async def main():
        try:
            await trainer.start(batches(2))
        except (
            Exception
        ) as error:  # asyncio.run itself would wait for ever for a task that raises it
            caught.append(type(error))

    asyncio.run(main())
    assert caught == [kind]


def test_cancelling_the_task_that_awaits_a_run_cancels_the_fit():
    run = endless(trainer_of())

    async def main():
        await asyncio.wait_for(run, timeout=0.01)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert run.result(LONG).outcome == "cancelled"


# many requests, and the end of the process


def test_a_thousand_requests_from_eight_threads_leave_all_scopes_closed():
    trace = Trace()
    with endless(trainer_of(trace)) as run:

        def disturb(seed):
            scopes = ("batch", "train", "validate", "epoch")
            for n in range(125):
                run.cancel(scopes[(seed + n) % 4], f"{seed}-{n}")
                run.pause()
                run.resume()
                run.status()

        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(disturb, range(8)))
        run.resume()
        assert run.wait_for("fit.epoch.validate.batch", LONG)
    for scope in ("fit", "epoch", "train", "validate", "batch", "backward", "step"):
        assert trace.signals.count(f"begin_{scope}") == trace.signals.count(f"after_{scope}")
    assert run.status().phase == "cancelled"


PROCESS = """
import torch
from torch import nn
from trackside.engine import Trainer
model = nn.Linear(2, 1)
trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1))
trainer.on("after_fit")(lambda trainer, state: print(state.outcome, state.cancel.reason))
run = trainer.start([(torch.ones(1, 2), torch.ones(1, 1))], epochs=10**9)
run.wait_for("fit.epoch.train")
{end}
"""


def test_a_fit_in_the_background_resumes_from_a_state_dict():
    trainer, other = trainer_of(net=model(3)), trainer_of(net=model(3))
    whole = other.fit(batches(3), epochs=2)
    for transition in trainer.steps(batches(3), epochs=2):
        if transition.trigger == "after_epoch":
            saved = copy.deepcopy(trainer.state_dict())
            break
    run = trainer.start(batches(3), resume=saved)
    assert (run.result(LONG).step, run.status().step) == (whole.step, 6)
    assert equal(weights(trainer), weights(other))


@pytest.mark.parametrize(
    ("end", "code"),
    [("", 0), ("raise SystemExit(3)", 3), ("1 / 0", 1)],
    ids=["end", "exit", "error"],
)
def test_process_exit_cancels_the_fit_and_closes_its_scopes(end, code):
    done = run_forked([sys.executable, "-c", PROCESS.format(end=end)], timeout=LONG)
    assert (done.returncode, done.stdout) == (code, "cancelled the process ends\n"), done.stderr


def test_a_finished_run_is_garbage_collected():
    run = trainer_of().start(batches(1))
    run.result(LONG)
    run._thread.join()
    gone = weakref.ref(run)
    del run
    gc.collect()
    assert gone() is None


def test_receivers_are_called_in_the_thread_of_the_fit():
    threads = []

    @begin_fit.connect
    def hear(trainer, state):
        threads.append(threading.current_thread())
        raise CancelFitException("from another module")

    try:
        state = trainer_of().start(batches(1)).result(LONG)
    finally:
        begin_fit.disconnect(hear)
    assert state.cancel.reason == "from another module"
    assert threads != [threading.current_thread()]


# a run whose own ending fails


def leave(**fields):
    """A handler that leaves these values in the state when the fit has ended."""

    def after_fit(trainer, state):
        for name, value in fields.items():
            setattr(state, name, value)

    return after_fit


@pytest.mark.parametrize(
    "fields",
    [
        {"metrics": 5},
        {"samples": "many"},
        {"cancel": "enough"},
        {"epoch": None, "n_epochs": None},
        {"phase": 7},
    ],
)
def test_a_run_ends_whatever_a_handler_has_left_in_the_state(fields, caplog):
    trainer = trainer_of()
    trainer.on("after_fit")(leave(**fields))
    run = trainer.start(batches(2))
    assert run.result(LONG) is trainer.state
    assert run.done()
    assert run.status().left == 0.0
    assert run.status().phase == "completed"
    assert run.wait_for("completed", LONG)
    told = "what a status cannot be read of" in caplog.text
    assert told == ("phase" not in fields)


def test_a_run_fails_and_ends_where_the_state_was_made_unreadable():
    def begin_fit(trainer, state):
        state.samples, state.metrics, state.phase = None, None, ["nonsense"]
        raise OSError("first")

    trainer = trainer_of()
    trainer.on("begin_fit")(begin_fit)
    run = trainer.start(batches(2))
    assert isinstance(run.exception(LONG), OSError)
    assert trainer.state.phase == "failed"


class Measured(list):
    """A loader whose length cannot be told when the fit has ended."""

    ended = False

    def __len__(self):
        if self.ended:
            raise CancelFitException("no length")
        return super().__len__()


def test_a_cancel_that_a_loader_raises_at_the_end_of_a_run_is_logged(caplog):
    trainer, loader = trainer_of(), Measured(batches(2))
    trainer.on("after_fit")(lambda trainer, state: setattr(loader, "ended", True))
    run = trainer.start(loader)
    assert run.result(LONG).outcome == "completed"
    assert "what a status cannot be read of" in caplog.text
    assert run.status().phase == "completed"


class Unprepared:
    """Cannot prepare itself for a transition."""

    def any_transition(self, trainer, state, transition):
        pass

    def for_transition(self, transition):
        raise OSError("not prepared")


def test_start_raises_what_a_receiver_raised_that_prepared_for_a_transition():
    trainer = trainer_of(Unprepared())
    with pytest.raises(OSError, match="not prepared"):
        trainer.start(batches(2))
    assert len(trainer.handlers) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_done_callback_that_raises_keeps_nobody_waiting():
    def callback(run):
        raise SystemExit

    gate = Gate(batches(3))
    run = trainer_of().start(gate)
    run.add_done_callback(callback)
    gate.open()
    assert run.result(LONG).outcome == "completed"
    assert run.wait_for("completed", LONG)
    run._thread.join(LONG)


@pytest.mark.parametrize("kind", [Falsy, Incomparable])
def test_an_error_that_is_false_or_has_no_truth_value_is_raised_by_result(kind):
    trainer = trainer_of()

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise kind("bad")

    with pytest.raises(kind):
        trainer.start(batches(2)).result(60)

"""What leaves the iterator of a run when the host closes it, and user code raises."""

import asyncio
import contextlib
import gc
import sys

import pytest
from helpers import batches, trainer_of

from trackside.engine import RESTING

CLOSED_AT = ("after_batch", "after_cancel_fit", "after_fit")


def started(*handlers, signal="after_pred"):
    """A trainer, and the iterator of its run just after this signal."""
    trainer = trainer_of(*handlers)
    run = trainer.steps(batches(2), batches(1))
    while next(run).trigger != signal:
        pass
    return trainer, run


def fail_at(trainer, signal, kind):
    @trainer.on(signal)
    def fail(trainer, state):
        raise kind("of a handler")


def close(run):
    run.close()


def throw(run):
    run.throw(GeneratorExit())


def leave(run):
    with contextlib.closing(run):
        pass


@pytest.mark.parametrize("signal", CLOSED_AT)
@pytest.mark.parametrize("end", [close, throw, leave])
def test_a_generator_exit_of_a_handler_is_not_lost_where_the_iterator_is_closed(signal, end):
    trainer, run = started()
    fail_at(trainer, signal, GeneratorExit)
    with pytest.raises(RuntimeError, match="the run raised GeneratorExit") as caught:
        end(run)
    assert (str(caught.value.__cause__), trainer.state.phase) == ("of a handler", "failed")


def test_one_that_was_raised_before_the_iterator_was_closed_is_not_lost():
    trainer, run = started()
    fail_at(trainer, "after_loss", GeneratorExit)
    while next(run).trigger != "after_error":
        pass
    with pytest.raises(RuntimeError, match="the run raised GeneratorExit"):
        run.close()


def test_one_of_a_run_that_nobody_closes_is_raised_as_it_is():
    trainer, run = started()
    fail_at(trainer, "after_loss", GeneratorExit)
    with pytest.raises(GeneratorExit, match="of a handler"):
        list(run)
    with pytest.raises(GeneratorExit, match="of a handler"):
        trainer.fit(batches(2))


def test_one_of_a_dropped_iterator_is_told_as_any_other_error_there(monkeypatch):
    trainer, run = started()
    fail_at(trainer, "after_fit", GeneratorExit)
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: told.append(found.exc_value))
    del run
    gc.collect()
    assert [*map(str, told)] == ["the run raised GeneratorExit"]
    assert trainer.state.phase == "failed"


def test_none_of_a_handler_is_lost_when_the_end_of_around_run_raises_it():
    class Around:
        def begin_fit(self, trainer, state):
            pass

        def around_run(self, trainer, state):
            yield
            raise GeneratorExit("of around_run")

    with pytest.raises(GeneratorExit, match="of around_run"):
        trainer_of(Around()).fit(batches(1))
    trainer, run = started(Around())
    with pytest.raises(RuntimeError, match="the run raised GeneratorExit"):
        run.close()
    with pytest.raises(GeneratorExit, match="of around_run"):
        trainer.validate(batches(1))
    assert trainer.state.phase in RESTING


@pytest.mark.parametrize("kind", [GeneratorExit, StopAsyncIteration])
def test_none_is_lost_where_the_task_of_a_stream_is_cancelled(kind):
    trainer = trainer_of()
    fail_at(trainer, "after_cancel_fit", kind)

    async def main():
        async for _ in trainer.astream(batches(2)):
            asyncio.current_task().cancel()

    with pytest.raises(RuntimeError, match=f"the run raised {kind.__name__}") as caught:
        asyncio.run(main())
    assert str(caught.value.__cause__) == "of a handler"


def test_none_is_lost_where_a_stream_is_closed():
    trainer = trainer_of()
    fail_at(trainer, "after_cancel_fit", GeneratorExit)

    async def main():
        stream = trainer.astream(batches(2))
        await anext(stream)
        await stream.aclose()

    with pytest.raises(RuntimeError, match="the run raised GeneratorExit"):
        asyncio.run(main())


def test_the_host_sees_nothing_of_the_exit_by_which_python_closes_an_iterator():
    trainer, run = started()
    run.close()
    assert trainer.state.phase == "cancelled"
    trainer, run = started()
    with pytest.raises(GeneratorExit) as caught:
        run.throw(GeneratorExit("of the host"))
    assert (str(caught.value), trainer.state.phase) == ("of the host", "cancelled")

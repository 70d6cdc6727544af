import asyncio

import pytest
from helpers import Trace, batches, equal, model, trainer_of, weights


def signals_of_a_fit():
    trace = Trace()
    trainer_of(trace).fit(batches(2), batches(1), epochs=2)
    return trace.signals


def test_a_stream_yields_the_transitions_and_weights_of_a_fit():
    trainer, other = trainer_of(net=model(3)), trainer_of(net=model(3))

    async def main():
        stream = trainer.astream(batches(2), batches(1), epochs=2)
        return [transition.trigger async for transition in stream]

    assert asyncio.run(main()) == signals_of_a_fit()
    other.fit(batches(2), batches(1), epochs=2)
    assert equal(weights(trainer), weights(other))


def test_other_tasks_run_at_every_transition():
    turns = []

    async def beside():
        while True:
            turns.append("beside")
            await asyncio.sleep(0)

    async def main():
        task = asyncio.create_task(beside())
        async for transition in trainer_of().astream(batches(1)):
            turns.append(transition.trigger)
        task.cancel()

    asyncio.run(main())
    made = [turn for turn in turns if turn != "beside"]
    assert turns[:-1] == [turn for trigger in made for turn in ("beside", trigger)]


def test_two_streams_interleave_in_one_event_loop():
    nets = [model(1), model(2)]

    async def drive(net):
        async for _ in trainer_of(net=net).astream(batches(3), epochs=2):
            pass

    async def main():
        await asyncio.gather(*map(drive, nets))

    asyncio.run(main())
    for seed, net in zip((1, 2), nets, strict=True):
        alone = trainer_of(net=model(seed))
        alone.fit(batches(3), epochs=2)
        assert equal(weights(alone), list(net.parameters()))


def cancelled_at(count, inside):
    """The trainer and the signals of a stream whose task is cancelled after `count` transitions.

    `inside`: the task waits in the body of the loop when it is cancelled, else in the stream.
    """
    trace = Trace()
    trainer = trainer_of(trace)
    phases = []

    async def drive():
        try:
            made = 0
            async for _ in trainer.astream(batches(2), batches(1), epochs=2):
                made += 1
                if made == count:
                    task.cancel()
                    if inside:
                        await asyncio.sleep(0)
        finally:
            phases.append(trainer.state.phase)

    async def main():
        nonlocal task
        task = asyncio.create_task(drive())
        await task

    task = None
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert phases == ["cancelled"], "scopes were still open when the task was cancelled"
    return trainer, trace.signals


@pytest.mark.parametrize("inside", [False, True], ids=["in_the_stream", "in_the_body"])
@pytest.mark.parametrize("count", range(1, len(signals_of_a_fit()) - 1))
def test_cancelling_the_task_closes_all_scopes_before_the_error_escapes(count, inside):
    trainer, signals = cancelled_at(count, inside)
    assert signals[:count] == signals_of_a_fit()[:count]
    assert signals[-1] == "after_fit"
    opened = [s for s in signals if s.startswith("begin_")]
    closed = [f"after_{s.removeprefix('begin_')}" for s in opened]
    assert sorted(closed) == sorted(s for s in signals if s in closed)
    assert trainer.fit(batches(1)).outcome == "completed"


def test_leaving_the_loop_cancels_the_fit_at_once():
    trainer = trainer_of()

    async def main():
        async for transition in trainer.astream(batches(2)):
            if transition.trigger == "after_loss":
                break
        return trainer.state.phase

    assert asyncio.run(main()) == "cancelled"


def test_a_stream_can_be_closed():
    trainer = trainer_of()

    async def main():
        stream = trainer.astream(batches(2))
        await anext(stream)
        await stream.aclose()
        assert trainer.state.phase == "cancelled"
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(main())


def test_an_error_of_the_fit_is_raised_in_the_loop():
    trainer = trainer_of()

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise LookupError("not today")

    async def main():
        async for _ in trainer.astream(batches(2)):
            pass

    with pytest.raises(LookupError, match="not today"):
        asyncio.run(main())


def test_stop_async_iteration_raised_by_the_fit_does_not_end_the_loop_silently():
    trainer = trainer_of()

    @trainer.on("after_loss")
    def fail(trainer, state):
        raise StopAsyncIteration("of a handler")

    async def main():
        async for _ in trainer.astream(batches(2)):
            pass

    with pytest.raises(RuntimeError, match="StopAsyncIteration") as caught:
        asyncio.run(main())
    assert str(caught.value.__cause__) == "of a handler"


def test_wrong_arguments_are_raised_before_the_loop():
    with pytest.raises(ValueError, match="epochs=-1"):
        trainer_of().astream(batches(1), epochs=-1)

import gc
from contextlib import contextmanager

from helpers import batches, trainer_of


@contextmanager
def frequent_collections():
    """The garbage collector finalizes a run's generators in another order than they were made."""
    before = gc.get_threshold()
    gc.freeze()  # so that a collection is fast
    gc.set_threshold(1, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def test_a_resumed_run_that_is_dropped_is_cancelled():
    first = trainer_of()
    run = first.steps(batches(), epochs=2)
    next(t for t in run if t.trigger == "after_batch")
    saved = first.state_dict()
    run.close()
    ended = []
    for _ in range(2):
        with frequent_collections():
            trainer = trainer_of()
            trainer.on("after_fit")(lambda _, state: ended.append((state.outcome, state.error)))
            run = trainer.steps(batches(), resume=saved)
            next(t for t in run if t.trigger == "begin_batch")
        vars(trainer)["kept"] = run
        del trainer, run
        gc.collect()
    assert ended == [("cancelled", None)] * 2

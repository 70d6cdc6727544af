import pytest
from helpers import batches, trainer_of

from trackside.engine.closing.unwinding import Unwinding
from trackside.events import CancelBatchException, CancelFitException


def raise_once(trainer, error, signal="after_loss"):
    """Have `error` raised the first time that `signal` is sent."""

    def fail(trainer, state):
        raise error

    trainer.on(signal, once=True)(fail)


def test_a_scope_that_cannot_be_closed_is_given_up_and_the_error_says_so(monkeypatch):
    def enter(unwinding, row):
        raise MemoryError("too little")

    monkeypatch.setattr(Unwinding, "enter", enter)
    trainer = trainer_of()
    raise_once(trainer, ValueError("too large"))
    with pytest.raises(ValueError, match="too large") as caught:
        trainer.fit(batches())
    assert trainer.state.phase == "failed"
    last = caught.value.__notes__[-1]
    assert "RuntimeError: gave up closing fit.epoch.train.batch.scored: after_batch always" in last


@pytest.mark.parametrize("kind", [CancelBatchException, CancelFitException])
def test_a_cancel_holds_no_frame_after_its_scope_and_so_no_batch(kind):
    trainer, cancel = trainer_of(), kind("enough")
    raise_once(trainer, cancel)
    trainer.fit(batches())
    assert cancel.__traceback__ is None


def test_nor_does_one_that_another_cancel_has_outranked():
    trainer, weaker, stronger = trainer_of(), CancelBatchException(), CancelFitException()
    raise_once(trainer, weaker)
    raise_once(trainer, stronger, "after_cancel_batch")
    trainer.fit(batches())
    assert trainer.state.cancel is stronger
    assert (weaker.__traceback__, stronger.__traceback__) == (None, None)

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


def test_giving_up_ends_the_run_also_if_the_error_takes_no_note(monkeypatch):
    class Unnoted(KeyboardInterrupt):
        def add_note(self, note):
            raise SystemExit

    def enter(unwinding, row):
        raise MemoryError("too little")

    monkeypatch.setattr(Unwinding, "enter", enter)
    trainer = trainer_of()
    raise_once(trainer, Unnoted())
    with pytest.raises(Unnoted):
        trainer.fit(batches())
    assert trainer.state.phase == "failed"


@pytest.mark.parametrize("kind", [CancelBatchException, CancelFitException])
def test_a_cancel_holds_no_frame_after_its_scope_and_so_no_batch(kind):
    trainer, cancel = trainer_of(), kind("enough")
    raise_once(trainer, cancel)
    trainer.fit(batches())
    assert cancel.__traceback__ is None


def test_a_cancel_that_another_one_has_outranked_holds_no_frame():
    trainer, weaker, stronger = trainer_of(), CancelBatchException(), CancelFitException()
    raise_once(trainer, weaker)
    raise_once(trainer, stronger, "after_cancel_batch")
    trainer.fit(batches())
    assert trainer.state.cancel is stronger
    assert (weaker.__traceback__, stronger.__traceback__) == (None, None)


def test_however_many_receivers_raise_while_scopes_close_each_is_called_and_told_of():
    trainer, called = trainer_of(), []

    def failing(signal, number):
        def fail(trainer, state):
            called.append((signal, number))
            raise ValueError(f"{number} at {signal}")

        return fail

    closing = ("after_batch", "after_train", "after_epoch", "after_fit")
    expected = [(signal, number) for signal in closing for number in range(40)]
    for signal, number in expected:
        trainer.on(signal)(failing(signal, number))
    with pytest.raises(ValueError, match="0 at after_batch") as caught:
        trainer.fit(batches(1))
    assert called == expected
    told = [note for note in caught.value.__notes__ if "also raised during the unwinding" in note]
    assert len(told) == len(expected) - 1
    assert trainer.state.phase == "failed"

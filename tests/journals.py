"""Fits that write a journal, and the lines of a journal."""

import json

from helpers import batches, trainer_of

from trackside import Journal


def journal_of(path, *handlers, change=None, epochs=2, valid=True, **options):
    """The path of the journal of a fit; `change(trainer)` may subscribe something."""
    trainer = trainer_of(Journal(path, **options), *handlers)
    if change is not None:
        change(trainer)
    trainer.fit(batches(), batches(2) if valid else None, epochs=epochs)
    trainer.detach(trainer.handlers[0])
    return path


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def shift_inputs(at_step):
    """A change: the inputs of one training batch are another tensor."""

    def subscribe(trainer):
        @trainer.on("begin_batch", when=lambda _, state: state.training and state.step == at_step)
        def shift(trainer, state):
            state.xb = state.xb + 1

    return subscribe

"""What handlers put around a whole run."""

import torch
from torch import nn

from trackside import CancelFitException, Trainer

BATCHES = [(torch.zeros(2, 3), torch.zeros(2, 1))] * 2


class Around:
    def __init__(self):
        self.log = []

    def around_run(self, trainer, state):
        self.log.append(f"{state.job} opens in {state.phase}")
        found = state.train_loader if state.job == "fit" else state.valid_loader
        if state.job == "fit":
            state.train_loader = found[:1]
        yield
        self.log.append(f"closes in {state.phase}")
        if state.job == "fit":
            state.train_loader = found

    def begin_batch(self, trainer, state):
        self.log.append("batch")


def trainer_with(*handlers):
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return Trainer(model, nn.MSELoss(), optimizer, handlers)


def test_around_run_surrounds_a_fit_and_may_replace_its_loader():
    around = Around()
    state = trainer_with(around).fit(BATCHES)
    assert around.log == ["fit opens in idle", "batch", "closes in completed"]
    assert state.train_loader is BATCHES


def test_around_run_surrounds_a_validation():
    around = Around()
    trainer_with(around).validate(BATCHES)
    opened, *batches, closed = around.log
    assert opened.startswith("validate opens")
    assert closed.startswith("closes")
    assert batches == ["batch", "batch"]


def test_around_run_is_closed_after_a_cancel_and_after_an_error():
    for raised in (CancelFitException("enough"), ZeroDivisionError()):
        around = Around()
        trainer = trainer_with(around)

        def fail(trainer, state, raised=raised):
            raise raised

        trainer.on("begin_batch")(fail)
        try:
            trainer.fit(BATCHES)
        except ZeroDivisionError:
            assert around.log[-1] == "closes in failed"
        else:
            assert around.log[-1] == "closes in cancelled"


def test_a_resumed_fit_restores_within_around_run():
    trainer = trainer_with()
    run = trainer.steps(BATCHES, epochs=2)
    while next(run).trigger != "after_epoch":
        pass
    saved = trainer.state_dict()
    seen = []

    class Late:
        def around_run(self, trainer, state):
            seen.append(state.step)
            yield
            seen.append(state.step)

        def resumed(self, trainer, state):
            seen.append("resumed")

    trainer_with(Late()).fit(BATCHES, epochs=2, resume=saved)
    assert seen == [0, "resumed", 4]

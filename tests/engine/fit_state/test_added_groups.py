import pytest
import torch
from helpers import batches, equal, model, weights
from torch import nn

from trackside.engine import ResumeError, Trainer


class AddGroup:
    """Trains the last layer from the second epoch on, at another rate."""

    def begin_epoch(self, trainer, state):
        if state.epoch == 1:
            state.optimizer.add_param_group({"params": state.model[2].parameters(), "lr": 0.01})


def made(*handlers, trained=slice(0, 1)):
    net = model()
    optimizer = torch.optim.SGD(net[trained].parameters(), lr=0.1, momentum=0.9)
    return Trainer(net, nn.CrossEntropyLoss(), optimizer, handlers)


def saved_after(trainer, epochs):
    run = trainer.steps(batches(), epochs=4)
    while not (next(run).trigger == "after_epoch" and trainer.state.epoch + 1 == epochs):
        pass
    saved = trainer.state_dict()
    run.close()
    return saved


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_fit_in_which_a_handler_adds_a_parameter_group_resumes(epochs):
    through, resumed = made(AddGroup()), made(AddGroup())
    through.fit(batches(), epochs=4)
    resumed.fit(batches(), epochs=4, resume=saved_after(made(AddGroup()), epochs))
    assert equal(weights(resumed), weights(through))
    ours, theirs = (t.state.optimizer.param_groups for t in (resumed, through))
    assert [g["lr"] for g in ours] == [g["lr"] for g in theirs] == [0.1, 0.01]


def test_parameters_of_no_module_here_are_still_refused():
    trainer, other = made(), nn.Parameter(torch.ones(2))
    trainer.state.optimizer.add_param_group({"params": [other]})
    with pytest.raises(ResumeError, match="parameter 0 is optimized only in the state dict"):
        made().fit(batches(), epochs=4, resume=saved_after(trainer, 1))


def test_a_resume_that_fails_takes_the_added_group_away_again():
    class Refuses:
        def state_dict(self):
            return {"anything": 1}

        def load_state_dict(self, state):
            raise ValueError("refused")

        def after_loss(self, trainer, state):
            pass

    saved = saved_after(made(AddGroup(), Refuses()), 2)
    trainer = made(AddGroup(), Refuses())
    with pytest.raises(ValueError, match="refused"):
        trainer.fit(batches(), epochs=4, resume=saved)
    assert len(trainer.state.optimizer.param_groups) == 1

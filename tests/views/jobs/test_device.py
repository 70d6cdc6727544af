import pytest
import torch
from torch import nn

from trackside.engine import Trainer
from trackside.views.jobs.device import move, usable_device
from trackside.views.output.usage_error import UsageError

META = torch.device("meta")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta"])
def test_a_device_that_cannot_train_is_refused(name):
    with pytest.raises(UsageError, match=f"cannot train on --device {name}: ."):
        usable_device(name)


def test_the_refusal_is_one_line_on_the_command_line(refused):
    assert "cannot train on --device cuda:99: " in refused("fit", "jobs:job", "--device", "cuda:99")


def test_a_trainer_moves_with_all_that_it_holds():
    model = nn.Linear(4, 2, device=META)
    loss_fn = nn.CrossEntropyLoss(weight=torch.ones(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros(parameter.shape)
    trainer = Trainer(model, loss_fn, optimizer)
    move(trainer, META)
    remembered = [kept["momentum_buffer"] for kept in optimizer.state.values()]
    assert {tensor.device for tensor in (loss_fn.weight, *remembered)} == {META}
    trainer.fit([(torch.ones(3, 4), torch.tensor([0, 1, 0]))])
    assert trainer.state.step == 1


def test_a_model_that_would_leave_its_optimizer_behind_is_not_moved():
    model = nn.Linear(4, 2)
    trainer = Trainer(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(UsageError, match="cannot move a model to meta beneath its optimizer"):
        move(trainer, META)

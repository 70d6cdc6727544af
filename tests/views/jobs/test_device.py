import pytest
import torch
from torch import nn

from trackside.engine import Trainer
from trackside.views.jobs.device import move_trainer, usable_device
from trackside.views.output.usage_error import UsageError

META = torch.device("meta")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:99", "meta"])
def test_an_unusable_device_is_refused(name):
    with pytest.raises(UsageError, match=f"cannot train on --device {name}: ."):
        usable_device(name)


def test_the_command_line_reports_an_unusable_device_in_one_line(refused):
    assert "cannot train on --device cuda:99: " in refused("fit", "jobs:job", "--device", "cuda:99")


def test_model_loss_and_optimizer_state_move_to_the_device():
    model = nn.Linear(4, 2, device=META)
    loss_fn = nn.CrossEntropyLoss(weight=torch.ones(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for parameter in model.parameters():
        optimizer.state[parameter]["momentum_buffer"] = torch.zeros(parameter.shape)
    trainer = Trainer(model, loss_fn, optimizer)
    move_trainer(trainer, META)
    buffers = [state["momentum_buffer"] for state in optimizer.state.values()]
    assert {tensor.device for tensor in (loss_fn.weight, *buffers)} == {META}
    trainer.fit([(torch.ones(3, 4), torch.tensor([0, 1, 0]))])
    assert trainer.state.step == 1


def test_a_loss_that_is_a_function_stays_where_it_is():
    net = nn.Linear(4, 2, device=META)
    trainer = Trainer(net, nn.functional.mse_loss, torch.optim.SGD(net.parameters(), lr=0.1))
    move_trainer(trainer, META)
    assert trainer.state.loss_fn is nn.functional.mse_loss
    assert trainer.state.device == META


def test_a_move_that_would_replace_the_parameters_is_refused():
    model = nn.Linear(4, 2)
    trainer = Trainer(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(UsageError, match="cannot move the model to meta: its optimizer would keep"):
        move_trainer(trainer, META)

import pytest
import torch
from helpers import batches, model
from torch import nn

from trackside.engine import Trainer, read_checkpoint
from trackside.handlers import EMA, Checkpoint


def made(compiled, *handlers):
    net = model()
    if compiled == "whole":
        net = torch.compile(net, backend="eager")
    elif compiled == "part":
        net[0] = torch.compile(net[0], backend="eager")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return Trainer(net, nn.CrossEntropyLoss(), optimizer, handlers)


@pytest.mark.parametrize("first", ["whole", "part", "no"])
@pytest.mark.parametrize("second", ["whole", "part", "no"])
def test_checkpoints_of_compiled_and_plain_models_exchange(tmp_path, first, second):
    through = made("no", EMA(0.5))
    through.fit(batches(), epochs=2)
    made(first, EMA(0.5), Checkpoint(tmp_path)).fit(batches(), epochs=1)
    saved = read_checkpoint(tmp_path)
    assert saved["model"].keys() == model().state_dict().keys()
    resumed = made(second, EMA(0.5))
    resumed.fit(batches(), epochs=2, resume=tmp_path)
    ours, theirs = resumed.state.model.parameters(), through.state.model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_frozen_part_of_a_compiled_model_is_frozen_in_a_plain_one():
    class Freeze:
        def after_train(self, trainer, state):
            for parameter in list(state.model.parameters())[:2]:
                parameter.requires_grad_(False)

    run = (stepped := made("whole", Freeze())).steps(batches(), epochs=2)
    while next(run).trigger != "after_epoch":
        pass
    saved = stepped.state_dict()
    run.close()
    assert saved["position"]["frozen"] == ["0.weight", "0.bias"]
    resumed = made("no", Freeze())
    resumed.fit(batches(), epochs=2, resume=saved)
    assert [p.requires_grad for p in resumed.state.model.parameters()] == [False] * 2 + [True] * 2


class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.own = torch.Generator().manual_seed(1)

    def forward(self, pred, yb):
        self.calls += 1
        noise = 1 + torch.rand((), generator=self.own)
        return nn.functional.cross_entropy(pred, yb) * noise


def test_the_unsaved_buffers_and_the_generators_of_a_loss_resume(tmp_path):
    def of_loss(loss_fn, *handlers):
        net = model()
        return Trainer(net, loss_fn, torch.optim.SGD(net.parameters(), lr=0.1), handlers)

    through, second = Loss(), Loss()
    of_loss(through).fit(batches(), epochs=2)
    of_loss(Loss(), Checkpoint(tmp_path)).fit(batches(), epochs=1)
    of_loss(second).fit(batches(), epochs=2, resume=tmp_path)
    assert second.calls.item() == through.calls.item() == 6
    assert torch.equal(second.own.get_state(), through.own.get_state())

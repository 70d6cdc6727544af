"""The summary of a model: layers, outputs, parameters, memory; nothing is changed by it."""

import random
import re

import numpy
import pytest
import torch
from helpers import batches, model, trainer_of
from torch import nn

from trackside import EMA, Trainer
from trackside.engine import BusyError


class Net(nn.Module):
    """Draws random numbers, has a buffer that each call changes, and uses a layer twice."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Dropout())
        self.head = nn.Linear(5, 3)
        self.head.weight.requires_grad_(False)
        self.head.bias.requires_grad_(False)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        noise = torch.rand(()) + random.random() + numpy.random.rand()
        return {"logits": self.head(self.body(self.body[0](x)) + noise), "n": 1}


def summed(net, **options):
    return trainer_of(net=net).summary(**options)


def test_the_summary_shows_layers_outputs_and_parameters():
    net = Net()
    found = summed(net, batch=batches(1)[0])
    shown = [(x.name, x.kind, x.depth, x.output, x.parameters, x.trained) for x in found.layers]
    assert shown == [
        ("", "Net", 0, "dict of logits: Tensor (4, 3), n: int", 58, 40),
        ("body", "Sequential", 1, "(4, 5)", 40, 40),
        ("body.0", "Linear", 2, "(4, 5)", 30, 30),
        ("body.1", "BatchNorm1d", 2, "(4, 5)", 10, 10),
        ("body.2", "Dropout", 2, "(4, 5)", 0, 0),
        ("head", "Linear", 1, "(4, 3)", 18, 0),
    ]
    assert (found.parameters, found.trained) == (58, 40)
    outputs = 4 * 4 * (2 * 5 + 5 + 5 + 3)  # the first layer is called twice
    buffers = sum(buffer.nbytes for buffer in net.buffers())
    sizes = {"weights": 232, "buffers": buffers, "gradients": 160, "optimizer": 0}
    assert found.memory == {**sizes, "outputs": outputs}


def test_the_text_is_a_table_with_totals():
    assert str(summed(model(), batch=batches(1)[0])) == (
        "layer        output  parameters\n"
        "Sequential   (4, 3)          75\n"
        "  0: Linear  (4, 8)          48\n"
        "  1: Tanh    (4, 8)\n"
        "  2: Linear  (4, 3)          27\n"
        "\n"
        "75 parameters: 75 trained, 0 frozen\n"
        "memory: weights 300 B, gradients 300 B, outputs 304 B"
    )


def test_in_a_notebook_it_is_a_table_in_which_names_are_text():
    class Odd(nn.Linear):
        pass

    Odd.__name__ = "<script>"
    html = summed(nn.Sequential(Odd(5, 3)))._repr_html_()
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert re.findall("<td>([0-9]+)</td>", html) == ["18", "18"]


def test_a_summary_changes_nothing():
    net = Net()
    net.body[1].eval()
    seen = []
    trainer = trainer_of(EMA(), net=net)
    trainer.on("after_pred")(lambda trainer, state: seen.append(state))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    generators = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[2]
    trainer.summary(batches(1)[0])
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (random.getstate(), numpy.random.get_state()[2]) == generators[1:]
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.grad is None for parameter in net.parameters())
    state = trainer.state
    assert (state.batch, state.xb, state.pred, state.batch_size, seen) == (None, None, None, 0, [])


def test_no_graph_is_kept_of_the_outputs():
    net = model()
    tracked = []
    net.register_forward_hook(lambda module, _, output: tracked.append(output.requires_grad))
    summed(net, batch=batches(1)[0])
    assert tracked == [False]


def test_everything_is_restored_after_a_batch_that_the_model_refuses():
    net = model()
    trainer = trainer_of(net=net)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        trainer.summary(torch.ones(2, 9))
    assert not any(module._forward_hooks for module in net.modules())
    assert all(module.training for module in net.modules())
    assert trainer.state.batch is None


class Counting(nn.Linear):
    """Assigns its buffers, instead of writing into them."""

    def __init__(self):
        super().__init__(5, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls = self.calls + 1
        return super().forward(x)


def test_a_buffer_that_the_model_assigns_is_the_same_tensor_as_before():
    net = Counting()
    calls = net.calls
    summed(net, batch=batches(1)[0])
    assert net.calls is calls
    assert calls == 0


def test_shared_parameters_count_once_and_deep_layers_are_left_out():
    layer = nn.Linear(5, 5)
    found = summed(nn.Sequential(layer, layer, nn.Sequential(nn.Sequential(layer))), depth=1)
    assert [(x.name, x.parameters) for x in found.layers] == [("", 30), ("0", 30), ("2", 30)]
    assert found.parameters == 30


def test_layers_are_shown_down_to_the_third_level():
    net = nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(nn.Linear(5, 3)))))
    assert [layer.name for layer in trainer_of(net=net).summary().layers] == [
        "",
        "0",
        "0.0",
        "0.0.0",
    ]


def test_memory_has_what_the_optimizer_holds():
    net = model()
    trainer = trainer_of(net=net, optimizer=torch.optim.SGD(net.parameters(), 0.1, momentum=0.9))
    assert trainer.summary().memory["optimizer"] == 0
    trainer.fit(batches(1))
    assert trainer.summary().memory["optimizer"] == 300


def test_of_several_models_the_named_one_is_called():
    nets = {"g": model(0), "d": model(1)}
    found = Trainer(models=nets).summary(batches(1)[0], of="d")
    assert [x.name for x in found.layers] == ["g", "g.0", "g.1", "g.2", "d", "d.0", "d.1", "d.2"]
    assert [x.output for x in found.layers][::4] == ["", "(4, 3)"]
    assert found.parameters == 150
    with pytest.raises(ValueError, match="no model 'x'; its models are g, d"):
        Trainer(models=nets).summary(of="x")


def test_lazy_parameters_are_not_initialized():
    trainer = trainer_of(net=nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3)))
    assert trainer.summary().parameters == 12
    with pytest.raises(ValueError, match="lazy parameters"):
        trainer.summary(batches(1)[0])


def test_a_compiled_model_is_shown_as_what_was_compiled():
    compiled = torch.compile(model(), backend="eager")
    found = Trainer(compiled).summary(batches(1)[0])
    assert [(x.name, x.depth, x.output) for x in found.layers][:2] == [
        ("", 0, "(4, 3)"),
        ("0", 1, "(4, 8)"),
    ]


def test_during_a_fit_there_is_a_summary_without_a_batch_only():
    trainer, found = trainer_of(), []

    @trainer.on("after_loss", once=True)
    def look(trainer, state):
        found.append(trainer.summary())
        with pytest.raises(BusyError, match="summary"):
            trainer.summary(state.batch)

    trainer.fit(batches(1))
    assert found[0].parameters == 75


def test_a_prompt_shows_the_table():
    summary = trainer_of().summary(batches(1)[0])
    assert repr(summary) == str(summary)
    assert repr(summary).splitlines()[0].split() == ["layer", "output", "parameters"]

import pytest
import torch
from helpers import batches, model, state_of, trainer_of
from torch import nn

from trackside.handlers import Recorder
from trackside.handlers.recording._model_facts import model_facts
from trackside.views.recordings.recording import Recording


def facts_of(net, optimizer=None):
    return model_facts(state_of(model=net, optimizer=optimizer))


def test_each_layer_with_parameters_has_its_class_and_shapes():
    facts = facts_of(model())["model"]
    assert facts["layers"] == {
        "0": "Linear: weight 8×5, bias 8",
        "2": "Linear: weight 3×8, bias 3",
    }
    assert (facts["class"], facts["parameters"]) == ("Sequential", 75)


def test_frozen_shared_and_lazy_parameters_are_told_apart():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.LazyLinear(3))
    net.append(net[0])
    net[0].weight.requires_grad_(False)
    facts = facts_of(net)["model"]
    assert (facts["parameters"], facts["trained"]) == (4, 0)
    assert facts["layers"]["1"] == "LazyLinear: weight lazy, bias lazy"


def test_of_many_layers_the_first_are_listed_and_the_others_counted():
    layers = facts_of(nn.Sequential(*(nn.Linear(1, 1) for _ in range(60))))["model"]["layers"]
    assert len(layers) == 49
    assert layers["and more"] == "12 layers"


def test_each_group_of_an_optimizer_has_its_options():
    net = model()
    groups = [{"params": net[0].parameters()}, {"params": net[2].parameters(), "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    found = facts_of(net, optimizer)["optimizer"]
    assert [text.split(", ")[:3] for text in found.values()] == [
        ["SGD: 2 tensors", "lr 0.1", "momentum 0.9"],
        ["SGD: 2 tensors", "lr 0.5", "momentum 0.9"],
    ]


def test_a_recording_has_them_beside_the_facts_of_the_run(tmp_path):
    trainer_of(Recorder(tmp_path / "run.loop")).fit(batches(2), epochs=1, seed=3)
    with Recording(tmp_path / "run.loop") as recording:
        facts = recording.table.facts
    assert facts["seed"] == 3
    assert facts["model"]["layers"]["0"] == "Linear: weight 8×5, bias 8"
    assert facts["optimizer"]["0"].startswith("SGD: 4 tensors, lr 0.1")


def test_the_memory_counts_shared_tensors_once_and_gradients_of_trained_ones_only():
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4), nn.LazyLinear(3))
    net.append(net[0])
    net[1].requires_grad_(False)
    assert facts_of(net)["memory"] == {
        "weights": "96 B",
        "buffers": "40 B",
        "gradients": "64 B",
        "optimizer": "0 B",
    }


@pytest.mark.parametrize("scalars", [2, None])
def test_the_optimizers_state_is_counted_after_the_first_update(tmp_path, scalars):
    path, seen = tmp_path / "run.loop", []

    class Looks:
        runs_after = ("Recorder",)

        def after_batch(self, trainer, state):
            with Recording(path) as recording:
                seen.append(recording.table.facts["memory"]["optimizer"])

        after_epoch = after_batch

    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    handlers = Recorder(path, scalars=scalars), Looks()
    trainer_of(*handlers, net=net, optimizer=optimizer).fit(batches(3))
    state = 2 * 300 + 4 * 4  # two moments of each of 75 weights, and a step of each of 4 tensors
    known = f"{state} B"
    assert seen == (["0 B", known, known, known] if scalars else ["0 B", "0 B", "0 B", known])


def test_the_facts_are_written_twice_at_most_in_a_fit(tmp_path):
    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    trainer = trainer_of(Recorder(tmp_path / "run.loop", scalars=1), net=net, optimizer=optimizer)
    trainer.fit(batches(5), epochs=3)
    lines = (tmp_path / "run.loop").read_bytes().count(b'["facts", ')
    assert lines == 2

import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import batches, trainer_of

from trackside.events import TrainState, after_loss, any_transition, begin_fit


def senders_named(name):
    senders = []

    def receive(trainer, state, **_):
        senders.append(trainer)

    return senders, begin_fit.connect(receive, sender=name)


def test_a_name_as_sender_means_every_trainer_of_that_name():
    senders, receiver = senders_named("detector")
    detectors = [trainer_of(name="detector"), trainer_of(name="detector")]
    for trainer in (*detectors, trainer_of(name="tracker"), trainer_of()):
        trainer.fit(batches(1))
    begin_fit.disconnect(receiver, sender="detector")
    detectors[0].fit(batches(1))
    assert senders == detectors


def test_a_module_subscribes_by_name_before_the_trainer_exists_without_torch():
    code = """
import sys
from trackside.events import begin_fit
@begin_fit.connect_via("detector")
def receive(trainer, state):
    print(trainer.name)
assert "torch" not in sys.modules
import torch
from trackside.engine import Trainer
model = torch.nn.Linear(2, 1)
sgd = torch.optim.SGD(model.parameters(), 0.1)
for name in ("detector", "tracker"):
    Trainer(model, torch.nn.MSELoss(), sgd, name=name).fit([(torch.ones(1, 2), torch.ones(1, 1))])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "detector\n"


def test_a_receiver_connected_by_name_during_a_fit_receives_the_rest():
    trainer = trainer_of(name="detector")
    triggers = []

    def receive(trainer, state, transition):
        triggers.append(transition.trigger)

    for transition in trainer.steps(batches(1)):
        if transition.trigger == "after_loss":
            any_transition.connect(receive, sender="detector")
        if transition.trigger == "after_batch":
            any_transition.disconnect(receive, sender="detector")
    expected = ["begin_backward", "after_backward", "begin_step", "after_step", "after_batch"]
    assert triggers == expected


def test_explain_includes_receivers_connected_by_name():
    _, receiver = senders_named("detector")
    assert "receive" in trainer_of(name="detector").explain("begin_fit")
    assert "receive" not in trainer_of().explain("begin_fit")
    begin_fit.disconnect(receiver, sender="detector")


def test_a_function_connected_by_name_is_held_strongly():
    trainer = trainer_of(name="detector")
    indices = []
    after_loss.connect(lambda trainer, state: indices.append(state.batch_index), sender="detector")
    trainer.fit(batches(2))
    for receiver in list(after_loss.receivers_for("detector")):
        after_loss.disconnect(receiver, sender="detector")
    assert indices == [0, 1]


def test_a_sender_whose_name_is_not_a_str_is_not_matched_by_name():
    sender = SimpleNamespace(name=["detector"])
    senders, receiver = senders_named("detector")
    begin_fit.send(sender, state=TrainState(model=None))
    begin_fit.disconnect(receiver, sender="detector")
    assert senders == []


def test_the_name_of_a_trainer_is_a_str_and_empty_by_default():
    assert trainer_of().name == ""
    with pytest.raises(TypeError, match=r"name=3 is a int; allowed: a str"):
        trainer_of(name=3)

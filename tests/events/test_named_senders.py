import subprocess
import sys
from types import SimpleNamespace

import pytest
from helpers import batches, trainer_of

from trackside.events import TrainState, after_loss, any_transition, begin_fit


def heard_by_name(name):
    heard = []

    def hear(trainer, state, **_):
        heard.append(trainer)

    return heard, begin_fit.connect(hear, sender=name)


def test_a_receiver_hears_every_trainer_of_the_name_it_asked_for_and_no_other():
    heard, receiver = heard_by_name("detector")
    detectors = [trainer_of(name="detector"), trainer_of(name="detector")]
    for trainer in (*detectors, trainer_of(name="tracker"), trainer_of()):
        trainer.fit(batches(1))
    begin_fit.disconnect(receiver, sender="detector")
    detectors[0].fit(batches(1))
    assert heard == detectors


def test_a_module_can_subscribe_by_name_before_the_trainer_is_made_and_without_torch():
    code = """
import sys
from trackside.events import begin_fit
@begin_fit.connect_via("detector")
def hear(trainer, state):
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


def test_a_receiver_connected_by_name_while_a_fit_runs_hears_the_rest_of_it():
    trainer = trainer_of(name="detector")
    heard = []

    def hear(trainer, state, transition):
        heard.append(transition.trigger)

    for transition in trainer.steps(batches(1)):
        if transition.trigger == "after_loss":
            any_transition.connect(hear, sender="detector")
        if transition.trigger == "after_batch":
            any_transition.disconnect(hear, sender="detector")
    assert heard == ["begin_backward", "after_backward", "begin_step", "after_step", "after_batch"]


def test_explain_names_who_hears_a_trainer_by_its_name():
    _, receiver = heard_by_name("detector")
    assert "hear" in trainer_of(name="detector").explain("begin_fit")
    assert "hear" not in trainer_of().explain("begin_fit")
    begin_fit.disconnect(receiver, sender="detector")


def test_a_function_connected_by_name_is_held():
    trainer = trainer_of(name="detector")
    heard = []
    after_loss.connect(lambda trainer, state: heard.append(state.batch_index), sender="detector")
    trainer.fit(batches(2))
    for receiver in list(after_loss.receivers_for("detector")):
        after_loss.disconnect(receiver, sender="detector")
    assert heard == [0, 1]


def test_a_sender_of_another_library_whose_name_is_no_str_is_heard_by_nobody_by_name():
    sender = SimpleNamespace(name=["detector"])
    heard, receiver = heard_by_name("detector")
    begin_fit.send(sender, state=TrainState(model=None))
    begin_fit.disconnect(receiver, sender="detector")
    assert heard == []


def test_a_trainer_without_a_name_has_an_empty_one_and_no_name_is_no_str():
    assert trainer_of().name == ""
    with pytest.raises(TypeError, match=r"name=3 is a int; allowed: a str"):
        trainer_of(name=3)

import inspect

import pytest
from helpers import trainer_of

from trackside.engine import Trainer
from trackside.events import TrainerProtocol
from trackside.events.trainer_protocol import CheckpointFolder

PROPERTIES = [name for name, member in vars(TrainerProtocol).items() if type(member) is property]


def methods(protocol):
    public = (name for name in vars(protocol) if not name.startswith("_"))
    return [name for name in public if inspect.isfunction(vars(protocol)[name])]


def parameters(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("name", PROPERTIES)
def test_a_trainer_has_each_property_of_the_protocol(name):
    assert hasattr(trainer_of(), name)


@pytest.mark.parametrize("name", methods(TrainerProtocol))
def test_a_trainer_has_each_method_of_the_protocol_with_its_parameters(name):
    assert parameters(getattr(Trainer, name)) == parameters(getattr(TrainerProtocol, name))


def test_the_folder_of_a_trainer_has_each_method_of_the_protocol(tmp_path):
    folder = trainer_of().checkpoints(tmp_path)
    for name in methods(CheckpointFolder):
        expected = parameters(getattr(CheckpointFolder, name))
        assert parameters(getattr(type(folder), name)) == expected, name

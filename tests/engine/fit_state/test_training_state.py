"""What a state dict has of models and handlers, and how it is loaded."""

import torch
from helpers import trainer_of
from torch import nn

from trackside.engine import Trainer
from trackside.handlers import History


class Scaled(nn.Module):
    """A linear layer with a scale that is one number for all of its outputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("scale", torch.ones(1).expand(2))

    def forward(self, x):
        return self.layer(x) * self.scale


def test_handlers_of_one_class_have_numbers_in_their_order():
    assert [*trainer_of(History(), History(), History()).state_dict()["handlers"]] == [
        "History",
        "History-2",
        "History-3",
    ]


def test_an_expanded_buffer_is_loaded_and_stays_one():
    saved, model = Scaled(), Scaled()
    saved.scale = torch.full((1,), 3.0).expand(2)
    before = model.scale
    Trainer(model).load_state_dict(Trainer(saved).state_dict())
    assert model.scale is before
    assert model.scale.stride() == (0,)
    assert model.scale.tolist() == [3.0, 3.0]

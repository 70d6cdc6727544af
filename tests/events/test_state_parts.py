import pytest
import torch
from helpers import state_of
from torch import nn

from trackside.events.state_parts import check_part, part_of


def state_with_a_model():
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    return state_of(model=model, optimizer=optimizer, metrics={"loss": 2.0}), model, optimizer


def test_a_part_is_the_field_or_what_is_in_it():
    state, model, optimizer = state_with_a_model()
    assert part_of(state, "model") is model
    assert part_of(state, "model.weights").keys() == model.state_dict().keys()
    assert part_of(state, "model.gradients") == {"weight": None, "bias": None}
    assert part_of(state, "model.training") is True
    assert part_of(state, "metrics.loss") == 2.0
    assert part_of(state, "optimizer.lr") == [0.1]
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert part_of(state, "optimizer.state").keys() == {0, 1}


def test_a_part_that_is_not_there_is_none():
    state, *_ = state_with_a_model()
    for name in ("pred.logits", "metrics.accuracy", "model.colour", "optimizer.colour"):
        assert part_of(state, name) in (None, [None])


def test_a_name_that_is_no_field_is_refused_with_the_most_similar_one():
    state, *_ = state_with_a_model()
    check_part("model.weights", state, "reads")
    with pytest.raises(ValueError, match=r"reads: a TrainState has no field 'modle'.*mean model"):
        check_part("modle.weights", state, "reads")
    with pytest.raises(TypeError, match=r"reads: 3 is a int; allowed: names, as str"):
        check_part(3, state, "reads")

"""Encodings and outputs of the `transformers` library, as batches and as predictions."""

import torch
from helpers import trainer_of
from torch import nn
from transformers import BatchEncoding
from transformers.modeling_outputs import BaseModelOutput

from trackside.events.utils.nested import map_nested
from trackside.handlers import Metrics


class Encoder(nn.Module):
    def __init__(self, device=None):
        super().__init__()
        self.embedding = nn.Embedding(9, 2, device=device)

    def forward(self, input_ids, labels):
        hidden = self.embedding(input_ids)
        return {"loss": hidden.sum(-1).mean(), "all": BaseModelOutput(last_hidden_state=hidden)}


def encodings():
    names = ("input_ids", "labels")
    return [BatchEncoding({name: torch.ones(n, 5).long() for name in names}) for n in (4, 2)]


def fit(device=None):
    net = Encoder(device)
    trainer = trainer_of(Metrics(), net=net, device=device)
    trainer.state.loss_fn = None
    trainer.fit(encodings())
    return trainer


def test_an_encoding_is_passed_as_keywords_and_counted_by_its_first_tensor():
    trainer = fit()
    assert (trainer.state.samples, trainer.state.step) == (6, 2)


def test_an_encoding_is_moved_by_its_own_method_and_stays_one():
    assert fit("meta").state.samples == 6


def test_the_predictions_are_joined_as_outputs_of_their_type():
    joined = fit().predict(encodings())
    assert type(joined["all"]) is BaseModelOutput
    assert joined["all"].last_hidden_state.shape == (6, 5, 2)


def test_an_output_stays_of_its_type_when_it_is_mapped():
    output = BaseModelOutput(last_hidden_state=torch.ones(2), hidden_states=(torch.ones(1),))
    mapped = map_nested(torch.neg, output, only=torch.Tensor)
    assert type(mapped) is BaseModelOutput
    assert (mapped.last_hidden_state.sum(), mapped.hidden_states[0]) == (-2, -1)

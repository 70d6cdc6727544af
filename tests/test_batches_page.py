"""docs/reference/batches.md: its table is what a trainer does."""

import re
from pathlib import Path

import pytest
import torch
from helpers import state_of, trainer_of
from torch import nn

from trackside.engine.batches.batch import set_batch

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "batches.md").read_text(encoding="utf-8")
x, y = torch.zeros(4, 3), torch.ones(4)


@pytest.mark.parametrize("source", re.findall(r"\| `(lambda b: .*?)` \|", PAGE))
def test_every_function_of_the_page_returns_inputs_and_targets(source):
    class Batch(dict):
        x, y = x, y

        def __getitem__(self, key):
            return (x, y, y)[key] if isinstance(key, int | slice) else super().__getitem__(key)

    state = state_of(split_batch=eval(source))
    assert set_batch(state, Batch(x=x, y=y)) == 4
    assert isinstance(state.xb, torch.Tensor | tuple)


def test_inputs_and_targets_in_time_major_form_agree_on_the_wrong_number():
    loss_fn = lambda pred, y: pred[0].mean()  # noqa: E731
    trainer = trainer_of(net=nn.LSTM(3, 2), loss_fn=loss_fn)
    assert trainer.fit([(torch.zeros(7, 4, 3), torch.zeros(7, 4))]).samples == 7

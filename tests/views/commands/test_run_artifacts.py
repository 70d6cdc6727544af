import pytest
import torch
from helpers import trainer_of
from torch import nn

from trackside.handlers import History
from trackside.views.commands.run_artifacts import save


def test_files_of_an_earlier_run_are_replaced(tmp_path):
    for model in (nn.Linear(2, 2), nn.Linear(3, 3)):
        save(tmp_path, History(), trainer_of(net=model))
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].shape == (3, 3)


class Unsaveable(nn.Linear):
    """Has a function among its weights, which cannot be pickled."""

    def get_extra_state(self):
        return lambda: None


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path):
    save(tmp_path, History(), trainer_of(net=nn.Linear(2, 2)))
    before = (tmp_path / "model.pt").read_bytes()
    with pytest.raises(AttributeError):
        save(tmp_path, History(), trainer_of(net=Unsaveable(3, 3)))
    assert (tmp_path / "model.pt").read_bytes() == before


def test_the_chart_is_drawn_beside_the_weights(tmp_path):
    trainer = trainer_of()
    save(tmp_path, History(), trainer)
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8") == trainer.diagram.svg

import pytest
import torch
from helpers import trainer_of
from torch import nn

from trackside.handlers import History
from trackside.views.fitting.run_artifacts import write_artifacts
from trackside.views.recordings.kept_facts import kept_facts


def test_files_of_an_earlier_run_are_replaced(tmp_path):
    for model in (nn.Linear(2, 2), nn.Linear(3, 3)):
        write_artifacts(tmp_path, History(), trainer_of(net=model))
    assert torch.load(tmp_path / "model.pt", weights_only=True)["weight"].shape == (3, 3)


class Unsaveable(nn.Linear):
    """Has a function among its weights, which cannot be pickled."""

    def get_extra_state(self):
        return lambda: None


def test_a_failed_write_keeps_the_earlier_file(tmp_path):
    write_artifacts(tmp_path, History(), trainer_of(net=nn.Linear(2, 2)))
    before = (tmp_path / "model.pt").read_bytes()
    with pytest.raises(AttributeError):
        write_artifacts(tmp_path, History(), trainer_of(net=Unsaveable(3, 3)))
    assert (tmp_path / "model.pt").read_bytes() == before


def test_the_chart_is_written_next_to_the_weights(tmp_path):
    trainer = trainer_of()
    write_artifacts(tmp_path, History(), trainer)
    assert (tmp_path / "loop.svg").read_text(encoding="utf-8") == trainer.diagram.svg


def test_the_facts_of_the_run_are_found_beside_the_history(tmp_path):
    trainer = trainer_of(net=nn.Linear(2, 2))
    trainer.state.facts["arguments"] = {"lr": 0.5}
    write_artifacts(tmp_path, History(), trainer)
    [facts] = kept_facts(tmp_path).values()
    assert facts["arguments"] == {"lr": 0.5}

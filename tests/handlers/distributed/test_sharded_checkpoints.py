"""Checkpoints of FSDP2, of which every rank writes and reads its own rows."""

import pytest
import sharded_scenarios
from distributed_scenarios import resumable, run_scenarios, weights

from trackside.engine import read_checkpoint

NAMES = ["saved_in_shards", "resumed_from_shards", "saved_in_the_background", "failed_writes"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def results(folder):
    return run_scenarios(NAMES, folder, module=sharded_scenarios.__file__)


def test_a_save_collects_no_tensor_that_is_sharded(results):
    assert [result["collected"] for result in results["saved_in_shards"]] == [0, 0]


def test_a_fit_resumes_from_shards_by_as_many_ranks_exactly(results):
    for whole, resumed in zip(
        results["saved_in_shards"], results["resumed_from_shards"], strict=True
    ):
        assert resumed["fsdp2"] == whole["whole"]
        assert resumed["ddp"] == pytest.approx(whole["whole"], abs=1e-6)


def test_a_fit_resumes_from_shards_in_one_process(results, folder, monkeypatch):
    monkeypatch.setenv("OUT", str(folder))
    trainer, *loaders = resumable(None, 16, "other", dropout=0.0)
    with pytest.warns(UserWarning, match="a fit of 2 processes is resumed by 1"):
        state = trainer.fit(*loaders, resume=folder / "sharded")
    for found in results["saved_in_shards"]:
        assert weights(state.model) == pytest.approx(found["whole"], abs=1e-6)


def test_weights_and_optimizer_state_are_whole_when_they_are_read(results, folder):
    saved = read_checkpoint(folder / "sharded")
    shapes = {name: tuple(value.shape) for name, value in saved["model"].items()}
    assert shapes == sharded_scenarios.WEIGHTS
    for name, kept in saved["optimizer"]["state"].items():
        assert kept["exp_avg"].shape == shapes[name]


def test_a_fit_that_saves_in_the_background_resumes_exactly(results):
    for result in results["saved_in_the_background"]:
        assert result["resumed"] == result["whole"]
        assert result["kept"] == [f"step-{step:012}" for step in (6, 7, 8)]


def test_all_ranks_raise_what_keeps_one_from_writing(results):
    for result in results["failed_writes"]:
        for name, found in result.items():
            assert "OSError: [Errno 28] No space left on device" in found["error"], name
            assert found["left"] == ["step-000000000003"], name


@pytest.mark.long
def test_a_fit_resumes_from_shards_by_four_ranks(results, folder):
    names = ["resumed_from_shards"]
    found = run_scenarios(names, folder, processes=4, module=sharded_scenarios.__file__)
    for resumed in found["resumed_from_shards"]:
        for strategy in ("ddp", "fsdp2"):
            whole = results["saved_in_shards"][0]["whole"]
            assert resumed[strategy] == pytest.approx(whole, abs=1e-6)


@pytest.mark.long
def test_a_rank_that_is_killed_in_a_save_leaves_the_older_checkpoint_whole(tmp_path):
    names = ["killed_in_a_save"]
    found = run_scenarios(names, tmp_path, restarts=2, module=sharded_scenarios.__file__)
    for result in found["killed_in_a_save"]:
        assert result["attempt"] == 2
        assert result["from"] == [6]
        assert result["resumed"] == result["whole"]

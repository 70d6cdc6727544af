"""Votes between processes: ranks with DDP that torchrun has started, over gloo."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from oracle import by_hand
from voting import plans

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "voting.py"
SECONDS = 240


def environment(**more):
    path = os.pathsep.join([str(ROOT), str(SCRIPT.parent)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def torchrun(ranks, folder, what):
    """What came of the scenarios, for each rank, by the name of the scenario."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*command, f"--nproc-per-node={ranks}", SCRIPT, folder, what],
        env=environment(),
        timeout=SECONDS * ranks,
        check=True,
        capture_output=True,
    )
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(ranks)]


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return torchrun(2, tmp_path_factory.mktemp("few"), "few")


def assert_as_one_process(found, plan):
    """All ranks have sent the signals of one process, and have its phase and weights."""
    expected = by_hand(plan)
    for one in found:
        assert one["signals"] == [list(moment) for moment in expected.moments]
        assert (one["ends"], one["steps"]) == (expected.ends, expected.steps)
        assert bool(one["escaped"]) == bool(expected.escaped)
        weights = [weight for weight in expected.tensors if weight is not None]
        for weight, other in zip(one["weights"], weights, strict=False):
            torch.testing.assert_close(torch.tensor(weight), other, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in plans(2, all_signals=False) if " at " in n])
def test_what_one_process_raises_has_the_same_effect_in_all(few, name):
    assert_as_one_process([one[name] for one in few], plans(2, all_signals=False)[name][-1])


def test_an_error_of_the_loader_of_one_process_is_a_peer_error_of_the_other(few):
    one, other = (each["the loader"] for each in few)
    assert other["escaped"] == ["ValueError", "ValueError at loader 2"]
    assert one["escaped"][0] == "PeerError"
    assert one["escaped"][1].startswith("rank 1: ValueError: ValueError at loader 2, raised by")
    assert one["signals"] == other["signals"]


def test_of_two_cancels_at_once_the_outer_scope_closes_in_all_processes(few):
    plan = plans(2, all_signals=False)["two at once"][1]
    assert_as_one_process([one["two at once"] for one in few], plan)


def test_an_error_in_the_forward_pass_of_one_process_ends_both_before_the_gradients(few):
    one, other = (each["the model"] for each in few)
    assert one["steps"] == other["steps"] == 1
    assert one["weights"] == other["weights"]
    assert one["ends"] == other["ends"] == "failed"
    assert "raised by activity fit.epoch.train.batch.forward" in one["escaped"][1]


def test_an_error_in_the_backward_pass_of_one_process_ends_both_at_once(few):
    one, other = (each["backward"] for each in few)
    assert one["ends"] == other["ends"] == "failed"
    assert other["escaped"] == ["ValueError", "ValueError at backward 2"]
    assert one["escaped"][1].startswith("rank 1: ValueError: ValueError at backward 2")


def test_the_shortest_loader_of_all_processes_ends_the_epoch(few):
    one, other = (each["uneven"] for each in few)
    assert one["signals"] == other["signals"]
    assert one["steps"] == other["steps"] == 2 * 2
    assert one["weights"] == other["weights"]


def test_a_cancel_names_the_rank_in_all_processes(few):
    for one in few:
        by, reason = one["CancelFitException at after_loss"]["cancel"]
        assert by.startswith("rank 1: handler ")
        assert reason == "CancelFitException at after_loss 1"


@pytest.mark.parametrize("what", ["kill", "stop"])
def test_a_process_that_is_lost_is_named_by_the_error_of_the_others(tmp_path, what):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}
    ranks = [
        subprocess.Popen(
            [sys.executable, SCRIPT, tmp_path, what], env=environment(RANK=str(rank), **address)
        )
        for rank in (0, 1)
    ]
    try:
        assert ranks[0].wait(SECONDS) == 0
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
    found = json.loads((tmp_path / "0.json").read_text())[what]
    assert found["ends"] == "failed"
    assert found["escaped"][0] == "PeerError"
    assert found["escaped"][1].startswith("rank 1 is lost: its process has ended, stands still")
    assert not (tmp_path / "1.json").exists()


@pytest.mark.long
@pytest.mark.parametrize("ranks", [2, 4])
def test_what_one_of_several_processes_raises_at_any_signal_has_the_same_effect(tmp_path, ranks):
    found = torchrun(ranks, tmp_path, "all")
    for name, plan in plans(ranks, all_signals=True).items():
        if " at " in name:
            assert_as_one_process([one[name] for one in found], plan[-1])

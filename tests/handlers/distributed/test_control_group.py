"""Votes between processes: ranks with DDP that torchrun has started, over gloo."""

import json
import multiprocessing
import os
import socket
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from forked import Forked, run_forked
from oracle import SIGNALS, by_hand
from voting import ALL_DEALT, FEW_DEALT, FEW_OPEN, OPEN_SIGNALS, SEED, dealt_plans, plans

from trackside import PeerError
from trackside.handlers.distributed import _vote_messages
from trackside.handlers.distributed._control_group import ControlGroup, control_group
from trackside.handlers.distributed._vote_messages import GlooMessages, LocalMessages

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "tests" / "voting.py"
SECONDS = 240


def environment(**more):
    path = os.pathsep.join([str(ROOT), str(SCRIPT.parent)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def torchrun(ranks, folder, what):
    """What came of the scenarios, for each rank, by the name of the scenario."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    run_forked(
        [*command, f"--nproc-per-node={ranks}", SCRIPT, folder, what],
        env=environment(),
        timeout=SECONDS * ranks,
        check=True,
    )
    return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(ranks)]


def vote(rank, ranks, folder, found):
    """In one of several processes: what comes of votes that different ranks win."""
    seconds = timedelta(seconds=60)
    store = dist.FileStore(str(folder / "store"), ranks)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks, timeout=seconds)
    with control_group("votes", (), lambda: None, seconds) as agreement:
        ballots = [[rank, -rank, 7 * (rank == each)] for each in range(ranks)]
        votes = [agreement.cast(ballot) or agreement.result() for ballot in ballots]
        found.put((type(agreement._messages), votes))
    dist.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*fork")
@pytest.mark.parametrize(("ranks", "machines"), [(2, 1), (3, 1), (5, 1), (2, 2), (3, 3)])
def test_a_vote_is_the_maximum_over_all_ranks(tmp_path, monkeypatch, ranks, machines):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    if machines > 1:
        monkeypatch.setattr(_vote_messages, "_machine", lambda: str(os.getpid()))
    fork = multiprocessing.get_context("fork")
    found = fork.Queue()
    processes = [
        fork.Process(target=vote, args=(rank, ranks, tmp_path, found), daemon=True)
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    votes = [found.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * ranks
    kind = LocalMessages if machines == 1 else GlooMessages
    assert votes == [(kind, [[ranks - 1, 0, 7]] * ranks)] * ranks


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return torchrun(2, tmp_path_factory.mktemp("few"), "few")


def assert_as_one_process(found, plan, signals=SIGNALS):
    """All ranks have sent the signals of one process, and have its phase and weights."""
    expected = by_hand(plan)
    moments = [list(moment) for moment in expected.moments if moment.signal in signals]
    for one in found:
        assert one["signals"] == moments
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


@pytest.mark.parametrize("name", [n for n in plans(2, all_signals=False) if " with " in n])
def test_of_two_things_raised_at_once_the_stronger_one_counts_in_all_processes(few, name):
    plan = plans(2, all_signals=False)[name][-1]
    assert_as_one_process([one[name] for one in few], plan)


@pytest.mark.parametrize("place", range(FEW_DEALT))
def test_a_random_plan_dealt_to_two_processes_has_the_effect_of_one(few, place):
    plan = dealt_plans(2, FEW_DEALT, SEED)[place].plan
    assert_as_one_process([one[str(place)] for one in few], plan)


@pytest.mark.parametrize("place", range(FEW_OPEN))
def test_a_random_plan_whose_votes_stay_open_has_the_effect_of_one_process(few, place):
    plan = dealt_plans(2, FEW_OPEN, SEED, OPEN_SIGNALS)[place].plan
    results = [one[f"open {place}"] for one in few]
    assert_as_one_process(results, plan, OPEN_SIGNALS)
    assert all(one["opened"] for one in results) or results[0]["ends"] != "completed"


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
        Forked([sys.executable, SCRIPT, tmp_path, what], env=environment(RANK=str(rank), **address))
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
    assert found["escaped"][1].startswith("rank 1 has not come: its process has ended, stands")
    assert not (tmp_path / "1.json").exists()


class Store:
    """The keys that it has; it fails for all others, or for everything if it is gone."""

    def __init__(self, *keys, is_gone=False):
        self.keys, self.is_gone, self.counts = keys, is_gone, {}

    def check(self, keys):
        self.fail_if(self.is_gone)
        return keys[0] in self.keys

    def wait(self, keys, timeout):
        self.fail_if(self.is_gone or keys[0] not in self.keys)

    def set(self, key, value):
        self.fail_if(self.is_gone)

    def add(self, key, amount):
        self.fail_if(self.is_gone)
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]

    def fail_if(self, fails):
        if fails:
            raise dist.DistNetworkError("the store does not answer")


def group_of_three(monkeypatch, store, released=None):
    """A control group whose votes fail."""
    monkeypatch.setattr(dist, "get_rank", lambda: 0)
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)
    monkeypatch.setattr(dist, "irecv", lambda *arguments, **names: store.fail_if(True))
    release = (lambda: None) if released is None else lambda: released.append(1)
    return ControlGroup(None, GlooMessages(None), store, (), release, timedelta(seconds=9))


@pytest.mark.parametrize(
    ("keys", "who", "rank"),
    [
        (("failed/0", "failed/2"), "rank 1 has not come: its process has ended", 1),
        (("failed/0",), "rank 1 or rank 2 has not come: its process has ended", -1),
        (("left/2",), "rank 2 has left the run by itself", 2),
        ((), "a rank has not come", -1),
        (
            ("failed/0", "failed/1", "failed/2"),
            "the ranks have not come to a vote in time: all",
            -1,
        ),
    ],
)
def test_a_failed_vote_names_only_the_rank_that_is_certain(monkeypatch, keys, who, rank):
    with pytest.raises(PeerError) as raised:
        group_of_three(monkeypatch, Store(*keys)).cast([0])
    assert str(raised.value).startswith(who)
    assert raised.value.rank == rank


def test_a_rank_that_has_left_the_votes_takes_part_in_none(monkeypatch):
    group = group_of_three(monkeypatch, Store("left/0"))
    group.end()
    for attempt in (lambda: group.cast([0]), lambda: group.share([{}])):
        with pytest.raises(PeerError, match="rank 0 has left the run") as raised:
            attempt()
        assert str(raised.value.__cause__) == "this rank has left the votes"


def test_what_fails_after_a_failed_vote_follows_from_that(monkeypatch):
    store = Store("failed/0")
    with pytest.raises(PeerError):
        group_of_three(monkeypatch, store).cast([0])
    assert not group_of_three(monkeypatch, store).abort()  # of the rank that was late
    assert group_of_three(monkeypatch, Store()).abort()


def test_a_rank_ends_its_groups_also_without_the_process_that_has_the_store(monkeypatch):
    released = []
    group = group_of_three(monkeypatch, Store(is_gone=True), released)
    with pytest.raises(PeerError, match="a rank has not come"):
        group.cast([0])
    assert group.abort()
    group.leave()
    assert released == [1, 1]


@pytest.mark.long
@pytest.mark.parametrize("ranks", [2, 4])
def test_what_one_of_several_processes_raises_at_any_signal_has_the_same_effect(tmp_path, ranks):
    found = torchrun(ranks, tmp_path, "all")
    for name, plan in plans(ranks, all_signals=True).items():
        if " at " in name or " with " in name:
            assert_as_one_process([one[name] for one in found], plan[-1])


@pytest.mark.long
@pytest.mark.parametrize("ranks", [2, 4])
def test_many_random_plans_dealt_to_processes_have_the_effect_of_one(tmp_path, ranks):
    found = torchrun(ranks, tmp_path, "storm")
    for place, dealt in enumerate(dealt_plans(ranks, ALL_DEALT, SEED)):
        assert_as_one_process([one[str(place)] for one in found], dealt.plan)


@pytest.mark.long
@pytest.mark.parametrize("ranks", [2, 4])
def test_many_random_plans_whose_votes_stay_open_have_the_effect_of_one(tmp_path, ranks):
    found = torchrun(ranks, tmp_path, "open")
    for place, dealt in enumerate(dealt_plans(ranks, ALL_DEALT, SEED, OPEN_SIGNALS)):
        results = [one[f"open {place}"] for one in found]
        assert_as_one_process(results, dealt.plan, OPEN_SIGNALS)

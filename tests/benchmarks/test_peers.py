"""The comparison is fair: the same batches, the same work, the same weights."""

import ast
import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PEERS = sorted(BENCHMARKS.glob("peers/[!_]*.py"))
BATCHES, STRETCH = 12, 4


@pytest.fixture(autouse=True)
def worker_path(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)


def fitted(contender, setting):
    """The weights after one fit, the paired batches, and the job."""
    job, work = importlib.import_module("job"), importlib.import_module("works").WORKS["mlp"]
    torch.manual_seed(1)
    pairs = job.Paired(work.batches(BATCHES), STRETCH, job.Bare(work))
    fit = job.Job(work, pairs)
    getattr(importlib.import_module(f"peers.{contender}"), setting)(fit)
    return [p.detach() for p in fit.model.parameters()], pairs, fit


@pytest.mark.parametrize("setting", ["bare", "equipped"])
def test_trackside_trains_the_weights_of_the_hand_written_loop(setting):
    ours, _, _ = fitted("trackside", setting)
    by_hand, _, _ = fitted("by_hand", setting)
    assert all(map(torch.equal, ours, by_hand))


@pytest.mark.parametrize("contender", ["by_hand", "trackside"])
def test_equipped_calls_the_user_before_and_after_each_batch(contender):
    _, _, fit = fitted(contender, "equipped")
    assert (fit.begun, fit.ended) == (BATCHES, BATCHES)


def test_the_bare_loop_trains_on_the_same_batches_in_each_stretch():
    weights, pairs, _ = fitted("by_hand", "bare")
    assert len(pairs.us_a_batch) == BATCHES / STRETCH
    assert all(map(torch.equal, weights, pairs.bare.model.parameters()))


def test_the_bare_loop_and_the_contender_take_turns_in_being_the_first():
    job, work = importlib.import_module("job"), importlib.import_module("works").WORKS["mlp"]
    ran = []

    class Logged(job.Bare):
        def run(self, data):
            ran.append("bare")
            super().run(data)

    pairs = job.Paired(work.batches(BATCHES), STRETCH, Logged(work))
    for _ in pairs:
        ran.append("contender")  # as the pairs go on
    theirs = ["contender"] * STRETCH
    assert ran == ["bare", *theirs, *theirs, "bare", "bare", *theirs]


@pytest.mark.parametrize("path", PEERS, ids=lambda path: path.stem)
def test_every_contender_declares_its_requirements_and_settings(path):
    body = ast.parse(path.read_text()).body
    functions = {node.name for node in body if isinstance(node, ast.FunctionDef)}
    assigned = [node for node in body if isinstance(node, ast.Assign)]
    names = {ast.unparse(target) for node in assigned for target in node.targets}
    assert {"bare", "equipped"} <= functions
    assert "REQUIRES" in names
    assert "torch==" not in path.read_text(), "the base environment has torch, pinned"

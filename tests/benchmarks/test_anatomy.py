"""All loops of the anatomy train the same weights; they differ in their share of the engine."""

import dataclasses
import importlib
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def anatomy(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("anatomy")


def test_all_loops_train_the_weights_of_the_hand_written_one(anatomy):
    torch.manual_seed(1)
    batches = anatomy.MLP.batches(5)
    trained = {name: anatomy.Bare(anatomy.MLP) for name in anatomy.LOOPS}
    for name, loop in anatomy.LOOPS.items():
        loop(trained[name], iter(batches))
    by_hand, *others = [list(own.model.parameters()) for own in trained.values()]
    assert not torch.equal(by_hand[0], next(anatomy.Bare(anatomy.MLP).model.parameters()))
    for parameters in others:
        assert all(map(torch.equal, by_hand, parameters))


def test_each_round_yields_a_ratio_for_each_loop(anatomy, monkeypatch):
    short = dataclasses.replace(anatomy.MLP, stretch=2, stretches=3)
    monkeypatch.setattr(anatomy, "MLP", short)
    found = anatomy.ratios(2)
    assert {name: len(ratios) for name, ratios in found.items()} == dict.fromkeys(anatomy.LOOPS, 2)
    assert all(ratio > 0 for ratios in found.values() for ratio in ratios)

"""fit(seed=…): everything random of a fit is seeded once, and the host's generators restored."""

import copy
import random
from contextlib import nullcontext

import numpy
import pytest
import torch
from helpers import equal, model, state_of, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trackside.engine import KeyedLoader, ResumeError, Trainer
from trackside.engine.fit_state.seeding import seed_generators, seed_rank
from trackside.engine.randomness.rng_state import preserve_host_generators

DATA = TensorDataset(torch.arange(160.0).reshape(32, 5) / 160, torch.arange(32) % 3)


def trainer(*handlers):
    """A trainer whose loss depends on the generators of torch, Python and NumPy, and on order."""
    net = nn.Sequential(model(), nn.Dropout(0.5))

    def loss_fn(pred, target):
        return nn.functional.cross_entropy(pred, target) * (random.random() + numpy.random.rand())

    return Trainer(net, loss_fn, torch.optim.SGD(net.parameters(), lr=0.1), handlers)


def loader(seed=0):
    return KeyedLoader(DATA, 8, shuffle=True, seed=seed)


def fitted(train, **options):
    ours = trainer()
    ours.fit(train, epochs=2, **options)
    return weights(ours)


def host():
    return (
        random.getstate()[1],
        numpy.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )


def test_two_fits_with_one_seed_are_equal_also_with_a_loader_that_was_read_before():
    train = loader()
    first = fitted(train, seed=5)
    assert equal(first, fitted(train, seed=5))
    assert equal(first, fitted(loader(seed=3), seed=5))
    assert not equal(first, fitted(train, seed=6))


def test_a_fit_with_a_seed_equals_one_after_the_usual_seeding_of_each_generator():
    train, ours, theirs = list(DataLoader(DATA, 8)), trainer(), trainer()
    ours.fit(train, epochs=2, seed=5)
    random.seed(5), numpy.random.seed(5), torch.manual_seed(5)
    theirs.fit(train, epochs=2)
    assert equal(weights(ours), weights(theirs))


@pytest.mark.parametrize("raises", [False, True])
def test_the_generators_of_the_host_are_as_before_a_fit_with_a_seed(raises):
    train = DataLoader(DATA, 8, shuffle=True, generator=torch.Generator().manual_seed(1))
    ours = trainer()

    @ours.on("after_loss")
    def fail(trainer, state):
        if raises and state.epoch:
            raise ZeroDivisionError

    before = host(), train.generator.get_state().tolist()
    with pytest.raises(ZeroDivisionError) if raises else nullcontext():
        ours.fit(train, epochs=2, seed=5)
    assert before == (host(), train.generator.get_state().tolist())


def test_the_generator_of_a_loader_is_seeded_too():
    orders = [fitted(DataLoader(DATA, 8, True, generator=own()), seed=5) for own in (one, another)]
    assert equal(*orders)


def one():
    return torch.Generator().manual_seed(1)


def another():
    return torch.Generator().manual_seed(2)


def stopped(train, seed):
    """The state of a fit between two batches of its second epoch."""
    ours = trainer()
    for _ in ours.steps(train, epochs=2, seed=seed):
        state = ours.state
        if state.at_boundary and state.epoch == 1 and state.batch_index == 1:
            return copy.deepcopy(ours.state_dict())
    raise AssertionError


@pytest.mark.parametrize("seed", [None, 5])
def test_a_resumed_fit_is_not_seeded_again_and_knows_its_seed(seed):
    saved = stopped(loader(), seed=5)
    random.seed(1), numpy.random.seed(1), torch.manual_seed(1)
    ours, before = trainer(), host()
    state = ours.fit(loader(), resume=saved, seed=seed)
    assert (state.seed, host()) == (5, before)
    assert equal(weights(ours), fitted(loader(), seed=5))


def test_a_fit_is_not_resumed_with_another_seed():
    with pytest.raises(ValueError, match=r"seed=6.*begun with seed 5.*allowed: seed=5, or none"):
        trainer().fit(loader(), resume=stopped(loader(), seed=5), seed=6)
    with pytest.raises(ValueError, match=r"seed=6.*begun without a seed.*allowed: no seed"):
        trainer().fit(loader(), resume=stopped(loader(), seed=None), seed=6)


def test_a_loader_that_was_made_with_another_seed_does_not_resume_the_fit():
    with pytest.raises(ResumeError, match="seed was 0, is 3"):
        trainer().fit(loader(seed=3), resume=stopped(loader(), seed=5))


@pytest.mark.parametrize("seed", [-1, 2**63, True, 1.0, "1"])
def test_what_is_no_seed_is_refused_before_the_fit(seed):
    with pytest.raises((TypeError, ValueError), match=r"fit\(seed=.*allowed: an int, from 0"):
        trainer().fit(loader(), seed=seed)


def test_the_seed_of_a_fit_is_in_its_state_until_the_next_fit():
    ours = trainer()
    assert ours.state.seed is None
    assert ours.fit(loader(), seed=2**62).seed == 2**62
    assert ours.fit(loader()).seed is None


def test_each_further_rank_draws_other_numbers_and_rank_0_those_of_the_seed():
    drawn = []
    with preserve_host_generators():
        for rank in range(3):
            state = state_of(seed=2**64 - 1, rank=rank)
            seed_generators(2**64 - 1)
            seed_rank(state)
            drawn.append((random.random(), numpy.random.rand(), torch.rand(()).item()))
        seed_generators(2**64 - 1)
        assert drawn[0] == (random.random(), numpy.random.rand(), torch.rand(()).item())
    assert all(len({*of_all}) == 3 for of_all in zip(*drawn, strict=True))

"""GradientAccumulation with the weight that the unit of the loss asks for: tokens."""

import copy

import pytest
import torch
from helpers import furthest, trainer_of, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from trackside.handlers import GradientAccumulation

IGNORED = -100
LENGTHS = st.lists(st.integers(1, 6), min_size=1, max_size=3)


def tokens(state):
    return (state.yb != IGNORED).sum()


def count(state):
    return int(tokens(state))


def language_model(device=None):
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5)).to(device)


def loss_fn(pred, targets):
    return F.cross_entropy(pred.flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def padded(rows):
    """Token ids with as many targets in each row as `rows` says; the others are padding."""
    generator = torch.Generator().manual_seed(sum(rows))
    ids = torch.randint(5, (len(rows), 6), generator=generator)
    targets = ids.clone()
    for row, length in enumerate(rows):
        targets[row, length:] = IGNORED
    return ids, targets


def fresh(*handlers, device=None):
    net = language_model(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    return trainer_of(*handlers, net=net, optimizer=optimizer, loss_fn=loss_fn, device=device)


def fit(data, *handlers, device=None):
    trainer = fresh(*handlers, device=device)
    trainer.fit(data)
    return trainer


@pytest.mark.parametrize("weight", [tokens, count])
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=3), min_size=1, max_size=4)
)
def test_a_window_weighted_by_tokens_is_one_batch(weight, lengths):
    batches = [padded(rows) for rows in lengths]
    whole = tuple(torch.cat(parts) for parts in zip(*batches, strict=True))
    accumulated = fit(batches, GradientAccumulation(4, weight=weight))
    assert accumulated.state.step == 1
    assert furthest(weights(accumulated), weights(fit([whole]))) < 1e-6


def test_without_a_weight_the_examples_count():
    batches = [padded([6, 6]), padded([1, 1])]
    own, tokenwise = (
        weights(fit(batches, GradientAccumulation(2, **options)))
        for options in ({}, {"weight": count})
    )
    assert furthest(own, tokenwise) > 1e-3


def test_every_window_begins_anew():
    batches = [padded([6]), padded([2]), padded([1]), padded([5])]
    joined = [tuple(map(torch.cat, zip(*batches[i : i + 2], strict=True))) for i in (0, 2)]
    assert (
        furthest(
            weights(fit(batches, GradientAccumulation(2, weight=tokens))), weights(fit(joined))
        )
        < 1e-6
    )


def test_a_weight_that_is_a_tensor_is_never_read():
    batches = [padded([6]), padded([2]), padded([1])]
    fit(batches, GradientAccumulation(2, weight=tokens), device="meta")


def test_a_window_without_any_weight_leaves_the_weights_as_they_are():
    zero = GradientAccumulation(2, weight=lambda state: tokens(state) * 0)
    assert furthest(weights(fit([padded([6]), padded([2])], zero)), weights(fresh())) == 0


def test_a_window_resumes_with_its_weights():
    batches = [padded([6]), padded([2]), padded([1]), padded([5])]
    whole = fit(batches, GradientAccumulation(4, weight=tokens))
    stopped, resumed = (fresh(GradientAccumulation(4, weight=tokens)) for _ in range(2))
    run = stopped.steps(batches)
    while (stopped.state.batch_index, next(run).trigger) != (1, "after_batch"):
        pass
    saved = copy.deepcopy(stopped.state_dict())
    run.close()
    resumed.fit(batches, resume=saved)
    assert furthest(weights(resumed), weights(whole)) == 0


@pytest.mark.parametrize(
    ("weight", "error", "said"),
    [
        (lambda state: -1, ValueError, "returned -1; allowed: a finite number from 0"),
        (lambda state: float("nan"), ValueError, "returned nan; allowed"),
        (lambda state: "4", TypeError, "returned a str; allowed: a finite number from 0, or a sc"),
        (lambda state: torch.ones(2), TypeError, "returned a Tensor; allowed"),
    ],
)
def test_a_weight_that_is_no_number_from_0_is_an_error(weight, error, said):
    with pytest.raises(error, match=rf"GradientAccumulation\(weight=<lambda>\) {said}"):
        fit([padded([6])], GradientAccumulation(2, weight=weight))


def test_a_weight_that_is_no_function_is_refused():
    with pytest.raises(TypeError, match=r"weight=3.: expected a function of the state"):
        GradientAccumulation(2, weight=3)

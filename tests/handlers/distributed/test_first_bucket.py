"""The question before gradients are sent; one process is group enough."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from trackside.handlers.distributed._first_bucket import FirstBucket

WIDTH = 600
"""Of layers with 1.4 MB of weights: DistributedDataParallel makes several buckets."""


class Asked:
    """A wrapped model, and how many gradients it had each time that it was asked."""

    def __init__(self, *layers, answer=True):
        torch.manual_seed(0)
        self.answer = answer
        self.model = nn.Sequential(*layers)
        self.wrapped = DistributedDataParallel(self.model, gradient_as_bucket_view=True)
        self.bucket = FirstBucket(self.wrapped, self.ask)
        self.had = []

    def ask(self):
        self.had.append(sum(p.grad is not None for p in self.model.parameters()))
        return self.answer

    def train(self, times=1, inputs=None):
        for _ in range(times):
            self.model.zero_grad()
            loss = self.wrapped(torch.ones(2, WIDTH) if inputs is None else inputs).sum()
            self.bucket.begin_pass()
            loss.backward()
            self.bucket.end_pass()
            self.bucket.resume()

    def buckets(self):
        return {p.grad.untyped_storage().data_ptr() for p in self.model.parameters()}

    def hooks(self):
        return sum(bool(p._backward_hooks) for p in self.model.parameters())


@pytest.fixture
def asked(group):
    return Asked(*(nn.Linear(WIDTH, WIDTH) for _ in range(6)))


def test_each_pass_but_the_first_asks_once(asked):
    asked.train()
    assert asked.had == []
    assert asked.bucket.is_known
    asked.train(times=3)
    assert len(asked.had) == 3


def test_it_is_asked_before_the_first_bucket_is_complete(asked):
    asked.train(times=2)
    assert len(asked.buckets()) > 1
    sizes = {}
    for parameter in asked.model.parameters():
        bucket = parameter.grad.untyped_storage().data_ptr()
        sizes[bucket] = sizes.get(bucket, 0) + 1
    assert asked.had[0] < min(sizes.values())


def test_one_parameter_of_each_bucket_has_a_hook_until_the_end(asked):
    asked.train()
    assert asked.hooks() == len(asked.buckets())
    asked.bucket.close()
    assert asked.hooks() == 0


def test_a_gradient_that_is_computed_outside_of_a_pass_answers_for_none(asked):
    asked.train()
    loss = asked.wrapped(torch.ones(2, WIDTH)).sum()
    torch.autograd.grad(loss, list(asked.model.parameters()), retain_graph=True)
    asked.model.zero_grad()
    asked.bucket.begin_pass()
    before = len(asked.had)
    loss.backward()
    assert len(asked.had) == before + 1


def test_after_a_pass_that_has_sent_nothing_the_next_one_sends(asked):
    asked.train()
    expected = [p.grad.clone() for p in asked.model.parameters()]
    asked.answer = False
    asked.train()
    asked.answer = True
    asked.train(times=2)
    assert all(map(torch.equal, expected, (p.grad for p in asked.model.parameters())))
    assert len(asked.had) == 3


def test_a_sparse_gradient_is_a_bucket_of_its_own(group):
    asked = Asked(nn.Embedding(5, 4, sparse=True), nn.Linear(4, 2))
    asked.train(times=2, inputs=torch.tensor([1, 2]))
    assert (asked.hooks(), len(asked.had)) == (2, 1)

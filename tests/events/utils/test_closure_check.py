import pytest
import torch

from trackside.events.utils.closure_check import needs_closure


class Optional(torch.optim.SGD):
    def step(self, closure=None, *more, **options):
        """One with further arguments that nobody has to give."""


class Several(torch.optim.SGD):
    def step(self, *closures, **options):
        """One that takes any number of closures, also none."""


class Required(torch.optim.SGD):
    def step(self, closure, *more):
        """One that cannot be called without a closure."""


@pytest.mark.parametrize(
    ("kind", "needed"), [(Optional, False), (Several, False), (Required, True)]
)
def test_a_closure_is_needed_where_step_cannot_be_called_without_an_argument(kind, needed):
    weights = [torch.zeros(1, requires_grad=True)]
    assert needs_closure(kind(weights, lr=0.1)) is needed


def test_lbfgs_needs_a_closure_and_no_optimizer_needs_none():
    assert needs_closure(torch.optim.LBFGS([torch.zeros(1, requires_grad=True)]))
    assert not needs_closure(None)

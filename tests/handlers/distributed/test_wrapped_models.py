"""The model as DistributedDataParallel trains it; one process is group enough."""

import gc
import weakref

import pytest
from torch import nn, ones
from torch.nn.parallel import DistributedDataParallel

from trackside.handlers.distributed._wrapped_model import let_go


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 1)

    def forward(self, x):
        seen = self.inner(x)
        raise ZeroDivisionError(seen.shape)


def failed():
    """What a wrapped model has raised, and a weak reference to the wrapper."""
    wrappers = [DistributedDataParallel(Failing())]
    held = weakref.ref(wrappers[0])
    with pytest.raises(ZeroDivisionError) as raised:
        wrappers.pop()(ones(3, 2))
    return raised.value, held


def test_an_error_of_the_model_lets_go_of_its_wrapper(group):
    error, held = failed()
    gc.collect()
    assert held() is not None
    let_go(error)
    gc.collect()
    assert held() is None


def test_an_error_that_was_raised_from_it_lets_go_of_its_wrapper(group):
    error, held = failed()
    other = ValueError("another one")
    other.__cause__ = error
    let_go(other)
    gc.collect()
    assert held() is None


def test_the_frames_of_the_users_model_keep_their_locals(group):
    error, _ = failed()
    let_go(error)
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    assert tuple(last.tb_frame.f_locals["seen"].shape) == (3, 1)

"""What tests leave behind is found, and who left it is named."""

import os
import signal

import pytest
import torch
from leftovers import Leftovers

from trackside import Trainer


def set_a_variable():
    os.environ["WORLD_SIZE"] = "2"


def set_an_attribute():
    Trainer.verbose = False


def set_a_handler():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def set_a_dtype():
    torch.set_default_dtype(torch.float64)


@pytest.fixture
def put_back(monkeypatch):
    """What the functions above change is as before at the end."""
    found = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setattr(Trainer, "verbose", Trainer.verbose)
    yield
    signal.signal(signal.SIGTERM, found)
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("put_back")
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (set_a_variable, "environment"),
        (set_an_attribute, "attributes of Trainer"),
        (set_a_handler, "signal handlers"),
        (set_a_dtype, "torch"),
    ],
)
def test_a_test_that_leaves_the_process_changed_is_named(change, kind):
    leftovers = Leftovers()
    leftovers.check("first", is_last=False)
    change()
    leftovers.check("second", is_last=False)
    with pytest.raises(AssertionError) as raised:
        leftovers.check("third", is_last=True)
    assert str(raised.value) == f"left changed: ['{kind}'], after: ['second']"
    leftovers.check("fourth", is_last=True)


def test_a_change_that_is_taken_back_within_the_module_is_allowed():
    leftovers, folder = Leftovers(), os.getcwd()
    os.chdir("/")
    leftovers.check("first", is_last=False)
    os.chdir(folder)
    leftovers.check("second", is_last=True)

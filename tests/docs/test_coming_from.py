"""The hooks of other libraries and ours, side by side on the pages of docs/coming-from.

ignite is installed with `.[dev]`; the others are skipped without `pip install lightning keras
accelerate`, fastai and Composer installed without their dependencies on torch and torchvision. Each
runs in a process of its own: some leave signal handlers, loggers and variables behind.
"""

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import coming_from
import pytest
import torch
from forked import WITH_TEST_HELPERS, run_forked
from torch import nn

from trackside import Trainer
from trackside.events import SIGNALS, any_transition

PAGES = Path(__file__).parents[2] / "docs" / "coming-from"
PEERS = {
    "fastai": "fastai",
    "ignite": "ignite",
    "lightning": "lightning",
    "keras": "keras",
    "transformers": "accelerate",
    "composer": "composer",
}
ROW = re.compile(r"^\| `(\w+)`( of the evaluator)? \| `(\w+)`(?: in `(train|validate)`)? \|$", re.M)


def pairs(name):
    """Their hook → our signal, with the pass that it is in, or an empty text for every pass."""
    text = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    return {hook + of: (signal, scope) for hook, of, signal, scope in ROW.findall(text)}


def our_order(wanted):
    """The wanted signals of a fit of two epochs, each of two batches and one of a validation."""
    model = nn.Linear(2, 1)
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.1))
    sent = []

    def note(_, state, transition):
        scope = "train" if state.training else "validate"
        sent.extend(
            (transition.trigger, s) for s in (scope, "") if (transition.trigger, s) in wanted
        )

    any_transition.connect(note, sender=trainer)
    trainer.fit(coming_from.batches(2), coming_from.batches(1), epochs=2)
    any_transition.disconnect(note, sender=trainer)
    return sent


def their_order(name, folder):
    """The hooks that the library calls in such a fit."""
    code = f"import coming_from, json; print(json.dumps(coming_from.{name}()))"
    environment = {**WITH_TEST_HELPERS, "KERAS_BACKEND": "torch"}
    done = run_forked([sys.executable, "-c", code], cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", PEERS)
def test_their_hooks_are_called_in_the_order_of_our_signals(name, tmp_path):
    if importlib.util.find_spec(PEERS[name]) is None:
        pytest.skip(f"{PEERS[name]} is not installed")
    table = pairs(name)
    called = [table[hook] for hook in their_order(name, tmp_path) if hook in table]
    assert {signal for signal, _ in table.values()} == {signal for signal, _ in called}
    assert called == our_order(set(table.values()))


@pytest.mark.parametrize("name", PEERS)
def test_every_page_names_signals_that_there_are(name):
    assert len(pairs(name)) >= 10
    assert {signal for signal, _ in pairs(name).values()} <= set(SIGNALS)


def test_no_page_is_left_out():
    assert {path.stem for path in PAGES.glob("*.md")} == {"index", *PEERS}
    peers = {n for n, f in inspect.getmembers(coming_from, inspect.isfunction) if n in PEERS}
    assert peers == {*PEERS}

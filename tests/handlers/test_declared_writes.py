"""What our handlers declare to read and write, beside what they do, and in which order."""

import inspect
import re
import warnings
from dataclasses import fields

import pytest
import resumable
import torch
from journals import lines_of
from states import same

from trackside import Journal, TrainState
from trackside import handlers as h

FIELDS = {field.name for field in fields(TrainState)}
NAMES = sorted({*resumable.MAKERS} - {"MLflow", "WandB", "Journal", "Distributed"})
OBSERVED = (
    *("xb", "yb", "weight", "pred", "loss", "batch_size", "samples", "tokens", "step"),
    *("batch_index", "epoch", "n_epochs", "n_batches", "batches_per_epoch", "batches_per_step"),
    *("batches_per_validation", "batches_per_step_of", "validation_due", "validate_next"),
    *("model.gradients", "model.weights", "optimizer.lr", "optimizer.momentum"),
    *("optimizer.betas", "optimizer.weight_decay", "limits.steps"),
    *("limits.tokens", "limits.seconds", "elapsed", "metrics.train_loss", "metrics.valid_loss"),
    *("metrics.grad_norm", "metrics.peak_memory", "train_loader", "batches", "loss_fn"),
)
POSITION = {"train_loader", "batches"}
"""Reading from a loader changes its digest."""

pytestmark = pytest.mark.usefixtures("folder")


def said(name, title):
    """The text of a docstring under a label."""
    doc = inspect.getdoc(getattr(h, name))
    found = re.search(rf"^{title}: (.*?)(?=^\w+:|\Z|^$)", doc, re.DOTALL | re.MULTILINE)
    return found[1] if found else ""


@pytest.mark.parametrize("name", h.__all__)
def test_what_it_declares_to_read_is_what_the_docstring_says(name):
    reads = getattr(getattr(h, name), "reads", None)
    if reads is not None:
        text = re.sub(r"`take`.*", "", said(name, "Reads"))
        assert {*re.findall(r"\b[a-z_]+\b", text)} & FIELDS <= {*reads} <= FIELDS


@pytest.mark.parametrize("name", ["Checkpoint", "Distributed", "Metrics"])
def test_one_with_a_long_list_of_fields_declares_it_too(name):
    text = re.sub(r"`take`.*", "", said(name, "Reads"))
    assert {*re.findall(r"\b[a-z_]+\b", text)} & FIELDS == {*getattr(h, name).reads}


@pytest.mark.parametrize("name", NAMES)
def test_a_handler_writes_nothing_that_it_does_not_declare(name, folder):
    torch.manual_seed(5)
    job = resumable.MAKERS[name]()
    job.trainer.attach(Journal(folder / "blame.jsonl", fields=OBSERVED, blame=True))
    with warnings.catch_warnings(action="ignore"):
        job.trainer.fit(job.train_loader, job.valid_loader, epochs=2)
    declared = {type(one).__name__: getattr(one, "writes", {}) for one in job.trainer.handlers}
    for line in lines_of(folder / "blame.jsonl"):
        owner = line.get("by", "").partition(".")[0]
        parts = declared.get(owner, {}).get(line.get("at"), ())
        for part in {*line.get("wrote", {})} - POSITION if owner in declared else ():
            assert any(part == one or part.startswith(f"{one}.") for one in parts), (line, part)


ORDER_MATTERS = {
    ("EMA", "SWA"): "each leaves its weights at the end of the fit",
}


def handler_of(name):
    handlers = resumable.MAKERS[name]().trainer.handlers
    return next(handler for handler in handlers if type(handler).__name__ == name)


def conflicts_of_pairs():
    """The conflicts of every two of our handlers that write, unless they refuse each other."""
    made = {name: handler_of(name) for name in NAMES}
    writing = [name for name, handler in made.items() if getattr(handler, "writes", {})]
    for one in writing:
        trainer = resumable.MAKERS[one]().trainer
        beside = {type(handler).__name__ for handler in trainer.handlers}
        for other in writing[writing.index(one) + 1 :]:
            if other in beside:
                continue
            try:
                with warnings.catch_warnings(action="ignore"), trainer.attach(made[other]):
                    yield (one, other), trainer.conflicts
            except (TypeError, ValueError, RuntimeError):  # refused: rivals
                continue


def test_only_pairs_of_our_handlers_whose_order_matters_are_in_conflict():
    found = dict(conflicts_of_pairs())
    assert len(found) > 150
    assert {pair for pair, conflicts in found.items() if conflicts} == {*ORDER_MATTERS}


@pytest.mark.parametrize("pair", ORDER_MATTERS)
def test_the_order_of_a_pair_in_conflict_decides_on_the_result(pair):
    ends = []
    for first, last in (pair, pair[::-1]):
        torch.manual_seed(5)
        job = resumable.MAKERS[first]()
        job.trainer.attach(handler_of(last))
        with pytest.warns(UserWarning, match=f"{first} and {last} both write"):
            job.trainer.fit(job.train_loader, job.valid_loader, epochs=2)
        ends.append(job.trainer.state_dict()["model"])
    assert not same(*ends)

"""Runs that cannot begin on one of several ranks; see distributed_scenarios.

A rank that waited for another one would wait for an hour, and be ended before.
"""

import os
import shutil
import warnings
from functools import partial
from pathlib import Path

import torch
import torch.distributed as dist
from distributed_scenarios import (
    STRATEGIES,
    cancel_at,
    error_of,
    examples,
    rank,
    run_named,
    weights,
)
from torch import nn
from torch.utils.data import DataLoader

from trackside import EMA, Checkpoint, Distributed, EarlyStopping, KeyedLoader, Metrics, Trainer
from trackside.engine import SUPERVISED
from trackside.handlers.distributed import distributed
from trackside.handlers.distributed._strategies import wrapped_model

HOUR = 3600.0


class Refuses:
    """Fails on rank 1, in one of the methods with which a run begins."""

    def __init__(self, where, kind=ZeroDivisionError):
        self.where, self.kind = where, kind

    def fail_in(self, where):
        if where == self.where and rank() == 1:
            raise self.kind(f"in {where}")

    def around_run(self, trainer, state):
        self.fail_in("around_run")
        yield

    def resumed(self, trainer, state):
        self.fail_in("resumed")

    def begin_epoch(self, trainer, state):
        """Listen to something."""

    def state_dict(self):
        return {"kept": 1}

    def load_state_dict(self, saved):
        self.fail_in("load_state_dict")


def begun(strategy, *, before=(), after=(), width=7, seed=3, chart=SUPERVISED):
    """A trainer of ranks, and its loader."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    handlers = [Metrics(), *before, Distributed(strategy, timeout=HOUR), *after]
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers, chart=chart)
    return trainer, KeyedLoader(examples(48), 4)


def saved(strategy, folder, width=7, seed=3):
    """Save a fit in the folder, and a copy for each rank."""
    after = Checkpoint(folder, steps=2), Refuses("")
    trainer, loader = begun(strategy, after=after, width=width, seed=seed)
    trainer.on("after_step")(partial(cancel_at, 4))
    trainer.fit(loader)
    own = folder.with_name(f"{folder.name} of rank {rank()}")
    shutil.copytree(folder, own)
    return own


def damage(folder):
    """Cut off the end of the files with states and weights, in every checkpoint."""
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "manifest.json":
            file.write_bytes(file.read_bytes()[:-5])


def resumes(strategy):
    """What keeps rank 1 from resuming: by name what it resumes, and its handler."""
    here = Path(os.environ["OUT"])
    whole, damaged = (saved(strategy, here / f"{strategy} {name}") for name in ("whole", "damaged"))
    other = saved(strategy, here / f"{strategy} other", width=5)
    run = saved(strategy, here / f"{strategy} run", seed=4)
    if rank() == 1:
        damage(damaged)
    return {
        "missing": (here / "nowhere" if rank() == 1 else whole, ""),
        "damaged": (damaged, ""),
        "another fit": (other if rank() == 1 else whole, ""),
        "a new fit": (None if rank() == 1 else whole, ""),
        "another run": (run if rank() == 1 else whole, ""),
        "another step": (min(whole.glob("step-*")) if rank() == 1 else whole, ""),
        "a handler": (whole, "resumed"),
        "a state": (whole, "load_state_dict"),
    }


def refused_resumes():
    """The errors of fits that rank 1 cannot resume; afterwards a fit begins on both ranks."""
    found = {}
    for strategy in STRATEGIES:
        for name, (source, where) in resumes(strategy).items():
            trainer, loader = begun(strategy, after=(Refuses(where),))
            found[f"{strategy}: {name}"] = told(
                trainer, partial(trainer.fit, loader, resume=source)
            )
    return found


def refused_auto():
    """The error of a fit whose folder is empty on rank 1 alone."""
    own = saved("ddp", Path(os.environ["OUT"], "auto"))
    if rank() == 1:
        shutil.rmtree(own)
    trainer, loader = begun("ddp", after=(Refuses(""), Checkpoint(own)))
    return told(trainer, partial(trainer.fit, loader, resume="auto"))


def refused_runs():
    """The errors of other runs that rank 1 cannot begin."""
    found = {}
    for strategy in STRATEGIES:
        for name, make in REFUSED.items():
            trainer, run = make(strategy)
            found[f"{strategy}: {name}"] = told(trainer, run)
    return found


def no_loader(strategy):
    trainer, loader = begun(strategy)
    return trainer, partial(trainer.fit, None if rank() == 1 else loader)


def no_evaluation(strategy):
    trainer, loader = begun(strategy)
    return trainer, partial(trainer.validate, torch.ones(3) if rank() == 1 else loader)


def handler_before(strategy):
    trainer, loader = begun(strategy, before=(Refuses("around_run"),))
    return trainer, partial(trainer.fit, loader)


def interrupt_after(strategy):
    trainer, loader = begun(strategy, after=(Refuses("around_run", KeyboardInterrupt),))
    return trainer, partial(interrupted, trainer, loader)


def interrupt_while_resuming(strategy):
    folder = Path(os.environ["OUT"], f"{strategy} whole")
    own = folder.with_name(f"{folder.name} of rank {rank()}")
    trainer, loader = begun(strategy, after=(Refuses("load_state_dict", KeyboardInterrupt),))
    return trainer, partial(interrupted, trainer, loader, resume=own)


def interrupted(trainer, loader, **options):
    try:
        trainer.fit(loader, **options)
    except KeyboardInterrupt:
        raise RuntimeError("interrupted") from None


class Silent(Exception):
    def __str__(self):
        raise ValueError("no message")


def silent_error(strategy):
    trainer, loader = begun(strategy, before=(Refuses("around_run", Silent),))
    return trainer, partial(trainer.fit, loader)


def handler_after(strategy):
    trainer, loader = begun(strategy, after=(Refuses("around_run"),))
    return trainer, partial(trainer.fit, loader)


def within_a_fit(strategy):
    trainer, loader = begun(strategy)

    @trainer.on("after_epoch")
    def evaluate(trainer, state):
        if rank() == 1:
            trainer.validate(None)

    return trainer, partial(trainer.fit, loader)


def failing_wrap(strategy):
    trainer, loader = begun(strategy)

    def fail_once(*arguments):
        distributed.wrapped_model = wrapped_model
        if rank() == 1:
            raise ZeroDivisionError("in the wrap")
        return wrapped_model(*arguments)

    def run():
        distributed.wrapped_model = fail_once
        trainer.fit(loader)

    return trainer, run


REFUSED = {
    "no loader": no_loader,
    "no evaluation": no_evaluation,
    "a handler before": handler_before,
    "a handler after": handler_after,
    "a silent error": silent_error,
    "an interrupt": interrupt_after,
    "an interrupt while resuming": interrupt_while_resuming,
    "the wrap": failing_wrap,
    "within a fit": within_a_fit,
}


def differing():
    """The errors of runs whose options differ, by what differs."""
    other = rank() == 1
    rates, betas, rounds, dropout, smooth, twice, texts = (begun("ddp") for _ in range(7))
    rates[0].state.optimizer.param_groups[0]["lr"] = torch.tensor(0.2 if other else 0.1)
    adam = torch.optim.Adam(betas[0].state.model.parameters(), betas=(0.8 + 0.1 * other, 0.99))
    betas[0].state.optimizer = adam
    chart = SUPERVISED.renamed({"epoch": "iteration"})
    rounds = begun("ddp", chart=chart)
    dropout[0].state.model.append(nn.Dropout(0.1 + 0.1 * other))
    smooth[0].state.loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1 * other)
    for decay in (0.9, 0.5 + 0.1 * other, 0.7):
        twice[0].attach(EMA(decay))
    texts[0].attach(EarlyStopping("train_loss" if other else "valid_loss"))
    fits = {
        name: partial(one[0].fit, one[1])
        for name, one in {
            "rate": rates,
            "betas": betas,
            "dropout": dropout,
            "loss": smooth,
            "second": twice,
            "text": texts,
        }.items()
    }
    shuffled = DataLoader(examples(48), 4, shuffle=other)
    fits["order"] = partial(begun("ddp")[0].fit, shuffled)
    fits["examples"] = partial(begun("ddp")[0].fit, KeyedLoader(examples(48 - other), 4))
    fits["place"] = partial(begun("ddp")[0].fit, moved(KeyedLoader(examples(48), 4), 2 * other))
    fits["rounds"] = partial(rounds[0].fit, rounds[1], epochs=2 + other)
    fits["batches"] = partial(begun("ddp")[0].fit, rates[1], batches_per_epoch=2 + other)
    fits["evaluation"] = partial(begun("ddp")[0].validate, rates[1], f"test{rank()}")
    return {name: error_of(fit) for name, fit in fits.items()}


def moved(loader, batches):
    """A loader whose next pass begins later."""
    for _ in zip(range(batches), loader, strict=False):
        pass
    return loader


def told(trainer, run):
    """The error of a run, and whether everything is as before: a fit then begins."""
    model = trainer.state.model
    before = weights(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged checkpoints are skipped
        error = error_of(run)
        kept = weights(model) == before
        joined = dist.is_initialized()
        for handler in trainer.handlers:
            if isinstance(handler, Refuses):
                handler.where = ""
        again = error_of(partial(trainer.fit, KeyedLoader(examples(16), 4)))
    return {"error": error, "kept": kept, "joined": joined, "again": again}


if __name__ == "__main__":
    run_named(globals())

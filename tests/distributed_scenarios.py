"""Fits in several processes, started by torchrun; `run_scenarios` collects what each rank saw.

Every scenario is a function of this module without arguments, which returns plain data.
"""

import faulthandler
import gc
import io
import json
import os
import pickle
import signal
import sys
import threading
import time
import warnings
from contextlib import nullcontext, redirect_stderr, redirect_stdout, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset
from watched import wait_until

import trackside.handlers as h
from trackside import (
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    Checkpoint,
    CSVLogger,
    Distributed,
    GradientAccumulation,
    GradientClip,
    History,
    Interpretation,
    Journal,
    KeyedLoader,
    Metrics,
    ProgressBar,
    Recorder,
    RetryBatchException,
    RollbackException,
    RollbackOnSpike,
    Snapshots,
    SplitOnOutOfMemory,
    Trainer,
)
from trackside.engine import SUPERVISED
from trackside.engine.checkpoint import joint_writer
from trackside.handlers.distributed._compared_ranks import failed_text
from trackside.handlers.distributed._process_group import _rendezvous_store
from trackside.views import Recording, compare_ranks, status, totals

TIMEOUT = 60.0
STRATEGIES = "ddp", "fsdp2"


class Accuracy:
    def reset(self):
        self.right = self.count = 0

    def update(self, pred, target):
        self.right += int((pred.argmax(1) == target).sum())
        self.count += len(target)

    def compute(self):
        return self.right / self.count


class Merged(Accuracy):
    """A metric that can be merged with those of other ranks, as torcheval's."""

    def merge_state(self, others):
        self.right += sum(other.right for other in others)
        self.count += sum(other.count for other in others)
        return self


class AsTensor(Accuracy):
    """A metric whose result is a tensor."""

    def compute(self):
        return torch.tensor(super().compute(), dtype=torch.float64)


def examples(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 5, generator=generator)
    return TensorDataset(x, (x.sum(1) > 0).long())


def network(norm=False):
    torch.manual_seed(3)
    middle = [nn.BatchNorm1d(7)] if norm else []
    return nn.Sequential(nn.Linear(5, 7), *middle, nn.Tanh(), nn.Linear(7, 2))


def trainer_of(model, *handlers):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)


def rank():
    return int(os.environ["RANK"])


def ranks():
    return int(os.environ["WORLD_SIZE"])


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).tolist()


def fitted(batch_size, *handlers, accumulate=1, norm=False, count=53):
    """Weights, metrics and counts of a fit of 53 examples, whose last batch is not full."""
    interpretation = Interpretation(keep=5)
    metrics = Metrics(accuracy=Accuracy(), merged=Merged(), tensor=AsTensor())
    handlers = (*handlers, metrics, interpretation)
    if accumulate > 1:
        handlers += (GradientAccumulation(accumulate),)
    trainer = trainer_of(network(norm), *handlers)
    train = KeyedLoader(examples(count), batch_size, shuffle=True, seed=5)
    valid = DataLoader(examples(23, seed=1), batch_size)
    state = trainer.fit(train, valid, epochs=2)
    return {
        "weights": weights(state.model),
        "metrics": {name: float(value) for name, value in state.metrics.items()},
        "samples": state.samples,
        "step": state.step,
        "position": train.position,
        "confusion": interpretation.confusion.tolist(),
        "worst": [[one.loss, *one.input.tolist()] for one in interpretation.worst],
    }


def equal_to_one_process():
    alone = fitted(8 * ranks())
    return {"alone": alone, "together": fitted(8, Distributed(timeout=TIMEOUT))}


def fewer_examples_than_ranks():
    """The last batch has one example."""
    count = 2 * 8 * ranks() + 1
    alone = fitted(8 * ranks(), count=count)
    return {"alone": alone, "together": fitted(8, Distributed(timeout=TIMEOUT), count=count)}


def accumulating():
    alone = fitted(4 * ranks(), accumulate=3)
    together = fitted(4, Distributed(timeout=TIMEOUT), accumulate=3)
    return {"alone": alone, "together": together}


def sharded_equals_replicated():
    """Three fits of FSDP2 and of DDP: plain, accumulating, and with clipped gradients."""
    found = {}
    for strategy in ("ddp", "fsdp2"):
        found[strategy] = [
            fitted(8, Distributed(strategy, timeout=TIMEOUT)),
            fitted(4, Distributed(strategy, timeout=TIMEOUT), accumulate=2, norm=True),
            fitted(8, Distributed(strategy, timeout=TIMEOUT), GradientClip(0.1)),
        ]
    return found


def sharded_while_fitting():
    """What is a shard during a fit, after it, and in a second one."""
    model = network(norm=True)
    distributed = Distributed("fsdp2", timeout=TIMEOUT)
    trainer = trainer_of(model, Metrics(), distributed)
    kinds, modules, parameters = (
        [],
        [type(m).__name__ for m in model.modules()],
        list(model.parameters()),
    )
    trainer.on("after_step", once=True)(
        lambda trainer, state: kinds.append([type(p).__name__ for p in model.parameters()])
    )
    for _ in range(2):
        trainer.fit(KeyedLoader(examples(32), 4), DataLoader(examples(9), 4))
    found = model.parameters()
    return {
        "kinds": kinds,
        "same parameters": all(a is b for a, b in zip(found, parameters, strict=True)),
        "same modules": [type(m).__name__ for m in model.modules()] == modules,
        "attributes": [name for m in model.modules() for name in vars(m) if "fsdp" in name],
        "state": type(trainer.state.optimizer.state[parameters[0]]["momentum_buffer"]).__name__,
        "validated": trainer.validate(DataLoader(examples(9), 4)),
    }


def gradients_while_accumulating():
    """The first gradient after each backward pass."""
    model, seen = network(), []
    handlers = Distributed(timeout=TIMEOUT), GradientAccumulation(3)
    trainer = trainer_of(model, *handlers)
    trainer.on("after_backward")(
        lambda trainer, state: seen.append(model[0].weight.grad[0, 0].item())
    )
    trainer.fit(KeyedLoader(examples(48), 8 // ranks()))
    return seen


def shuffled_order():
    """The first feature of each example that a rank reads, by epoch."""
    epochs = []
    trainer = trainer_of(network(), Distributed(timeout=TIMEOUT, seed=4))
    trainer.on("begin_epoch")(lambda trainer, state: epochs.append([]))
    trainer.on("begin_batch")(lambda trainer, state: epochs[-1].extend(state.xb[:, 0].tolist()))
    loader = DataLoader(examples(37), 4, shuffle=True)
    state = trainer.fit(loader, epochs=2)
    return {"epochs": epochs, "samples": state.samples, "restored": state.train_loader is loader}


def writers():
    path, stream = Path(os.environ["OUT"], "log.csv"), io.StringIO()
    log = CSVLogger(path)
    trainer = trainer_of(
        network(), Metrics(), ProgressBar(stream), log, Distributed(timeout=TIMEOUT)
    )
    trainer.fit(KeyedLoader(examples(16), 4), epochs=2)
    lines = path.read_text().splitlines() if rank() == 0 else []
    return {"bar": stream.getvalue(), "lines": len(lines), "attached": log in trainer.handlers}


def journals():
    """Each rank writes its own; one rank of the second fit has another batch at step 2."""
    for name, other in (("equal", False), ("other", rank() == 1)):
        journal = Journal(Path(os.environ["OUT"], f"{name}.jsonl"), blame=True)
        trainer = trainer_of(network(), journal, Metrics(), Distributed(timeout=TIMEOUT))

        @trainer.on("after_batch", when=lambda _, state, other=other: other and state.step == 2)
        def report_more(trainer, state):
            state.report(only_here=1)

        with warnings.catch_warnings(action="ignore"):  # that it was not called
            trainer.fit(KeyedLoader(examples(32), 4))
    return journal.path.name


def left_as_found():
    model = network(norm=True)
    trainer = trainer_of(model, Metrics(), Distributed(timeout=TIMEOUT))
    state = trainer.fit(KeyedLoader(examples(32), 4))
    joined = dist.is_initialized()
    model(torch.randn(4, 5, generator=torch.Generator().manual_seed(rank()))).sum().backward()
    return {
        "model": state.model is model,
        "joined": joined,
        "buffers": model[1].running_mean.tolist(),
        "agreement": trainer.agreement is None,
        "gradient": model[3].weight.grad.tolist(),
        "validated": trainer.validate(DataLoader(examples(23, seed=1), 4)),
        "predicted": len(trainer.predict(DataLoader(examples(23, seed=1), 4))),
    }


def disagreeing():
    """The errors of fits for which the ranks are not equal."""
    other = rank() == 1
    model = nn.Linear(5, 3 if other else 2)
    lengths = trainer_of(network(), Distributed(timeout=TIMEOUT))
    handlers = [Distributed(timeout=TIMEOUT), *([Metrics()] if other else [])]
    windows = trainer_of(network(), Distributed(timeout=TIMEOUT), GradientAccumulation(1 + rank()))
    frozen = trainer_of(network(), Distributed(timeout=TIMEOUT))
    frozen.state.model[0].bias.requires_grad_(not other)
    rates = trainer_of(network(), Distributed(timeout=TIMEOUT))
    rates.state.optimizer.param_groups[0]["lr"] = 0.1 * (1 + rank())
    lists = trainer_of(network(), Distributed(timeout=TIMEOUT))
    unlike = [examples(4).tensors] if other else KeyedLoader(examples(16), 4)
    single = trainer_of(network(), Distributed(timeout=TIMEOUT))
    if other:
        single.attach(SplitOnOutOfMemory())
    seeds = trainer_of(network(), Distributed(timeout=TIMEOUT))
    charts = Trainer(
        network(),
        nn.CrossEntropyLoss(),
        handlers=[Distributed(timeout=TIMEOUT)],
        chart=SUPERVISED.cut("validate") if other else SUPERVISED,
    )
    charts.state.optimizer = torch.optim.SGD(charts.state.model.parameters(), lr=0.2)
    epochs = trainer_of(network(), Distributed(timeout=TIMEOUT))
    strategies = trainer_of(network(), Distributed(STRATEGIES[rank()], timeout=TIMEOUT))
    fits = {
        "chart": lambda: charts.fit(KeyedLoader(examples(16), 4)),
        "epochs": lambda: epochs.fit(KeyedLoader(examples(16), 4), epochs=1 + rank()),
        "strategy": lambda: strategies.fit(KeyedLoader(examples(16), 4)),
        "model": lambda: trainer_of(model, Distributed(timeout=TIMEOUT)).fit(
            KeyedLoader(examples(16), 4)
        ),
        "length": lambda: lengths.fit(KeyedLoader(examples(60 if other else 16), 4)),
        "handlers": lambda: trainer_of(network(), *handlers).fit(KeyedLoader(examples(16), 4)),
        "seed": lambda: seeds.fit(KeyedLoader(examples(16), 4, seed=rank())),
        "batch size": lambda: seeds.fit(KeyedLoader(examples(16 * (1 + rank())), 4 * (1 + rank()))),
        "window": lambda: windows.fit(KeyedLoader(examples(16), 4)),
        "frozen": lambda: frozen.fit(KeyedLoader(examples(16), 4)),
        "rate": lambda: rates.fit(KeyedLoader(examples(16), 4)),
        "list": lambda: lists.fit(unlike),
        "single": lambda: single.fit(KeyedLoader(examples(16), 4)),
    }
    return {name: error_of(fit) for name, fit in fits.items()}


def averaged_norms():
    """SWA of a model with batch norm: its statistics, and the mean of what the layer was given."""
    model = network(norm=True)
    trainer = trainer_of(model, h.SWA(1), Distributed(timeout=TIMEOUT))
    state = trainer.fit(KeyedLoader(examples(32), 4, shuffle=True), epochs=2)
    with torch.no_grad():
        given = model[0](examples(32).tensors[0]).mean(0).tolist()
    buffers = [buffer.flatten().tolist() for buffer in state.model.buffers()]
    return {"given": given, "buffers": buffers}


def failing_averages():
    """What is left in SWA's model if rank 1 fails in the pass for the batch-norm statistics."""
    model = network(norm=True)
    swa = h.SWA(1)
    trainer = trainer_of(model, swa, Distributed(timeout=TIMEOUT))

    def fail(module, *_):
        if rank() == 1 and trainer.state.phase == "completed":
            raise ZeroDivisionError("in the averaging pass")

    model[0].register_forward_hook(fail)
    error = error_of(partial(trainer.fit, KeyedLoader(examples(32), 4), epochs=2))
    buffers = [buffer.flatten().tolist() for buffer in swa.averaged.module.buffers()]
    return {"error": error, "buffers": buffers, "weights": weights(model)}


def forwarded_within_training():
    """Weights of fits with a pass over the training data in between, of ranks of any lengths."""
    found = {}
    for name, count in {"none": 0, "once": 1, "uneven": 1 + rank()}.items():
        trainer = trainer_of(network(norm=True), Distributed(timeout=TIMEOUT))
        samples = []
        trainer.on("after_batch")(partial(forward_data, count, samples))
        state = trainer.fit(KeyedLoader(examples(32), 4))
        found[name] = {"weights": weights(state.model), "samples": samples}
    return found


def forward_data(count, samples, trainer, state):
    for _ in range(count if state.batch_index == 1 else 0):
        samples.append(trainer.forward_training_data(lambda state: nullcontext()))


def error_of(function):
    try:
        function()
    except Exception as error:
        return failed_text(error)
    return ""


def make_group(name):
    """A group as a host makes it; two that share the keys of the store would wait for ever."""
    store = dist.PrefixStore(name, _rendezvous_store(timedelta(seconds=TIMEOUT)))
    dist.init_process_group("gloo", store=store, rank=rank(), world_size=ranks())


def refused():
    from torch.nn.parallel import DistributedDataParallel
    from torch.utils.data import DistributedSampler

    data = examples(16)
    others = DistributedSampler(data, num_replicas=5, rank=3)
    own = DistributedSampler(data, num_replicas=ranks(), rank=rank(), shuffle=False)
    trainer = trainer_of(network(), Distributed(timeout=TIMEOUT))
    loader = DataLoader(data, 4, sampler=own)
    kept = []
    trainer.on("begin_fit")(lambda trainer, state: kept.append(state.train_loader is loader))
    trainer.fit(loader)
    make_group("refused")
    wrapped = nn.Sequential(DistributedDataParallel(network()))
    twice = trainer_of(wrapped)
    errors = {"wrapped": error_of(partial(twice.attach, Distributed(timeout=TIMEOUT)))}
    sharding = partial(trainer_of, wrapped[0], Distributed("fsdp2", timeout=TIMEOUT))
    errors["given"] = error_of(sharding)
    group = dist.group.WORLD
    state = trainer_of(network(), Distributed(timeout=TIMEOUT)).fit(KeyedLoader(data, 4))
    errors["group is kept"] = dist.group.WORLD is group and state.outcome
    del wrapped, twice, sharding
    dist.destroy_process_group()
    sharded = DataLoader(data, 4, sampler=others)
    errors["sampler"] = error_of(lambda: trainer.fit(sharded))
    errors["list"] = error_of(lambda: trainer.fit([(torch.zeros(2, 5), torch.zeros(2).long())]))
    for name, handler in (
        ("split", SplitOnOutOfMemory()),
        ("weight", GradientAccumulation(2, weight=lambda state: 1)),
    ):
        with trainer.attach(handler):
            errors[name] = error_of(lambda: trainer.fit(KeyedLoader(data, 4)))
    return {**errors, "kept": kept}


def raised_on_one_rank():
    """How each rank ends what rank 1 has raised: handlers, the model, its backward pass."""
    found = {}
    for strategy in ("ddp", "fsdp2"):
        for name, (moment, raised) in RAISED.items():
            model = network(norm=True)
            trainer = trainer_of(model, Metrics(), Distributed(strategy, timeout=TIMEOUT))
            if moment == "backward":
                model[0].register_full_backward_hook(partial(raise_once, raised))
            elif moment == "forward":
                model[0].register_forward_hook(partial(raise_once, raised))
            else:
                trainer.on(moment)(partial(raise_on_rank_1, raised))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the shards are not collected
                loader = KeyedLoader(examples(32), 4)
                error = error_of(partial(trainer.fit, loader, epochs=2))
            state = trainer.state
            found[f"{strategy}: {name}"] = {
                "error": error,
                "outcome": state.outcome,
                "counts": [state.epoch, state.batch_index, state.step],
                "weights": weights(state.model),
                "parameters": type(next(model.parameters())).__name__,
                "joined": dist.is_initialized(),
            }
    return found


RAISED = {
    "cancel of a batch": ("after_loss", CancelBatchException),
    "cancel of the epoch": ("after_step", CancelEpochException),
    "cancel of the fit": ("after_batch", CancelFitException),
    "error of a handler": ("after_loss", ZeroDivisionError),
    "error of the model": ("forward", ZeroDivisionError),
    "error in backward": ("backward", ZeroDivisionError),
}


def recovered():
    """Fits in which the last rank alone goes back, beside one process that does, or need not."""
    found = {}
    for name, (recovers, never_trains, make) in RECOVERIES.items():
        distributed = {one: Distributed(one, timeout=TIMEOUT) for one in STRATEGIES}
        found[name] = {
            "alone": recovered_fit(16, recovers, *make()),
            "without": recovered_fit(16, never_trains, *make()),
            **{one: recovered_fit(8, recovers, *make(), it) for one, it in distributed.items()},
        }
    return found


def recovered_fit(batch_size, called, *handlers):
    """What a fit of two epochs of ten batches ends with; `called` receives `after_pred`."""
    trainer = trainer_of(network(), Snapshots(every=3), Metrics(), *handlers)
    signals = []
    for name in ("begin_batch", "begin_retry", "begin_rollback", "after_rollback", "after_step"):
        trainer.on(name)(partial(note_signal, signals, name))
    trainer.on("after_pred")(called)
    loader = KeyedLoader(examples(160), batch_size, shuffle=True, seed=5)
    state = trainer.fit(loader, epochs=2)
    return {
        "weights": weights(state.model),
        "counts": [state.epoch, state.batch_index, state.step],
        "rollbacks": [list(made) for made in state.rollbacks],
        "signals": signals,
    }


def note_signal(signals, name, trainer, state):
    signals.append([name, state.epoch, state.batch_index, state.step, state.attempt])


def is_last_rank(state):
    return state.rank == state.world_size - 1


def run_again(split, trainer, state):
    if is_last_rank(state) and state.batch_index in (0, 3) and not state.attempt:
        raise RetryBatchException("only here", split=split)


def roll_back(trainer, state):
    if is_last_rank(state) and (state.epoch, state.batch_index) == (1, 3):
        raise RollbackException("only here")


def spike(trainer, state):
    if is_last_rank(state) and (state.epoch, state.batch_index) == (1, 3):
        state.pred = state.pred * -1e6


def train_on_all(trainer, state):
    pass


def leave_out(trainer, state):
    """Never train on the batches from the snapshot of step 12 to the rollback."""
    if (1, 2) <= (state.epoch, state.batch_index) <= (1, 3):
        raise CancelBatchException


RECOVERIES = {
    "retry": (partial(run_again, 1), train_on_all, list),
    "retry in parts": (partial(run_again, 2), train_on_all, list),
    "retry in a window": (partial(run_again, 2), train_on_all, lambda: [GradientAccumulation(2)]),
    "rollback": (roll_back, leave_out, list),
    "spike": (spike, leave_out, lambda: [RollbackOnSpike(1e3, window=5)]),
}


def rare_votes():
    """Fits whose ranks vote in every fifth batch: what is raised between two votes."""
    found = {}
    for strategy in STRATEGIES:
        for name, norm in RARE_VOTES:
            moment, raised = RAISED.get(name, ("after_step", None))
            handler = Distributed(strategy, timeout=TIMEOUT, vote_every=5)
            model = network(norm)
            trainer = trainer_of(model, handler)
            votes = {"open": 0, "all": 0}
            trainer.on("begin_fit")(partial(count_votes, votes))
            if moment == "forward":
                model[0].register_forward_hook(partial(raise_once, raised))
            elif raised is not None:
                trainer.on(moment)(partial(raise_on_rank_1, raised))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the shards are not collected
                error = error_of(partial(trainer.fit, KeyedLoader(examples(160), 4)))
            state = trainer.state
            notes = getattr(state.error, "__notes__", [])
            found[f"{strategy}: {name}, {norm}"] = [
                *(error, state.outcome, state.step, votes["all"]),
                any("Timed out" in note for note in notes),
            ]
    return found


RARE_VOTES = (
    ("nothing", True),
    ("cancel of the fit", True),
    ("error of the model", True),  # in a collective forward pass: buffers are sent there
    ("error of the model", False),
)
"""What is raised, and whether the model has buffers."""


def given_wrapper():
    """A model that a user has wrapped: its fit beside a plain one, and a batch cancelled alone."""
    from torch.nn.parallel import DistributedDataParallel

    make_group("given")
    models = network(), DistributedDataParallel(network())
    found = []
    for model in models:
        trainer = trainer_of(model, Distributed(timeout=TIMEOUT), GradientAccumulation(2))
        trainer.on("after_loss")(partial(raise_on_rank_1, CancelBatchException))
        state = trainer.fit(KeyedLoader(examples(64), 4, shuffle=True, seed=5), epochs=2)
        kept = state.model is model
        found.append([weights(model), state.step, state.samples, state.outcome, kept])
    dist.destroy_process_group()
    return found


def prepared_by_accelerate():
    """A model and an optimizer that accelerate has prepared, trained here, beside plain ones."""
    from accelerate import Accelerator

    plain = trainer_of(network(), Distributed(timeout=TIMEOUT))
    make_group("accelerate")
    accelerator = Accelerator(cpu=True)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    model, optimizer = accelerator.prepare(model, optimizer)
    handlers = [Distributed(timeout=TIMEOUT), Metrics(accuracy=Accuracy())]
    prepared = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)
    found = {"kind": type(model).__name__, "fits": []}
    for trainer in (plain, prepared):
        trainer.on("after_loss")(partial(raise_on_rank_1, CancelBatchException))
        state = trainer.fit(KeyedLoader(examples(64), 4, shuffle=True, seed=5), epochs=2)
        found["fits"].append([weights(state.model), state.step, state.samples])
    accelerator.end_training()
    return {**found, "metrics": sorted(state.metrics), "joined": dist.is_initialized()}


def overlapped_votes():
    """A batch that rank 1 cancels while the other is in its backward pass; a bad dataset."""
    alone, _ = cancelled_once(8 * ranks(), lambda: True)
    together, votes = cancelled_once(8, lambda: rank() == 1, Distributed(timeout=TIMEOUT))
    failing = trainer_of(network(), Distributed(timeout=TIMEOUT))
    error = error_of(partial(failing.fit, KeyedLoader(FailsAt(60, 40), 8, seed=5)))
    counts = [failing.state.outcome, failing.state.step, failing.state.batch_index]
    early = trainer_of(network(), Distributed(timeout=TIMEOUT), FailingFetch(OSError, steps=1))
    return {
        "early": error_of(partial(early.fit, KeyedLoader(examples(40), 4))),
        "alone": alone,
        "together": together,
        "votes": votes,
        "error": error,
        "counts": counts,
    }


def missed_exchanges():
    """How ranks end whose handlers wait in an exchange for what rank 1 does not reach."""
    found = {}
    for name, make in MISSED.items():
        handlers, dataset, uneven = make(Path(os.environ["OUT"], name))
        distributed = Distributed(timeout=TIMEOUT, uneven=uneven)
        trainer = trainer_of(network(), distributed, *handlers)
        error = error_of(partial(trainer.fit, KeyedLoader(dataset, 4), epochs=2))
        state = trainer.state
        found[name] = {
            "error": error,
            "counts": [state.outcome, state.epoch, state.batch_index, state.step],
            "weights": weights(state.model),
        }
    return found


class FailingFetch:
    """Raises in the fetch after some steps, outside of the wraps of handlers before it."""

    def __init__(self, raised, where=1, steps=2):
        self.raised, self.where, self.steps = raised, where, steps

    def wrap_fetch(self, fetch):
        def run(state):
            if rank() == self.where and (state.epoch, state.step) == (0, self.steps):
                raise self.raised("only here")
            return fetch(state)

        return run


class FailingState:
    """A handler whose state dict cannot be made on rank 1."""

    def begin_fit(self, trainer, state):
        """Listen to something."""

    def state_dict(self):
        if rank() == 1:
            raise ZeroDivisionError("only here")
        return {}

    def load_state_dict(self, state):
        """Load nothing."""


class FailingMetric(Accuracy):
    """Cannot be computed on rank 1."""

    def compute(self):
        if rank() == 1:
            raise ZeroDivisionError("only here")
        return super().compute()


class UnsendableMetric(Accuracy):
    """Is sent to the other ranks, which cannot be done from rank 1."""

    def __init__(self):
        self.kept = (lambda: None) if rank() == 1 else None

    def merge_state(self, others):
        """Called only if all could be sent."""


class CancelsAt:
    """Examples of which reading one cancels the epoch."""

    def __init__(self, count, cancelling):
        self.examples, self.cancelling = examples(count), cancelling

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        if index == self.cancelling:
            raise CancelEpochException("only here")
        return self.examples[index]


MISSED = {
    "an error before a save": lambda folder: (
        (Checkpoint(folder, steps=2), FailingFetch(ZeroDivisionError)),
        examples(40),
        "shortest",
    ),
    "a cancel before a save": lambda folder: (
        (Checkpoint(folder, steps=2), FailingFetch(CancelEpochException)),
        examples(40),
        "shortest",
    ),
    "a state dict": lambda folder: (
        (Checkpoint(folder, steps=2), FailingState()),
        examples(40),
        "shortest",
    ),
    "a metric": lambda folder: ((Metrics(accuracy=FailingMetric()),), examples(40), "shortest"),
    "an unsendable metric": lambda folder: (
        (Metrics(accuracy=UnsendableMetric()),),
        examples(40),
        "shortest",
    ),
    "a joined fetch": lambda folder: ((FailingFetch(ZeroDivisionError),), examples(40), "join"),
    "a joined cancel": lambda folder: ((FailingFetch(CancelEpochException),), examples(40), "join"),
    "a cancel of the loader": lambda folder: ((), CancelsAt(40, 20), "shortest"),
    "a save on one rank": lambda folder: (
        (Checkpoint(folder, steps=2 + rank()),),
        examples(40),
        "shortest",
    ),
}
"""Handlers, examples, and what is done with loaders of different lengths."""


def recorded_waits():
    """What each rank has waited in, by strategy; rank 0 also in the backward pass for rank 1."""
    from torch.nn.parallel import DistributedDataParallel

    found = {}
    for strategy in STRATEGIES:
        found[strategy] = waits_of(strategy, network(norm=True), Distributed(strategy))
        accumulation = GradientAccumulation(2)
        accumulating = waits_of(f"{strategy}-2", network(), Distributed(strategy), accumulation)
        found[f"{strategy} accumulating"] = accumulating["counts"]
    make_group("waits")
    given = DistributedDataParallel(network(norm=True))
    hooks = [len(m._forward_pre_hooks) for m in given.modules()]
    found["given"] = waits_of("given", given, Distributed())
    found["hooks"] = [len(m._forward_pre_hooks) for m in given.modules()] == hooks
    dist.destroy_process_group()
    return found


def waits_of(name, model, *handlers):
    """How often a rank has waited in what, and where rank 1 has seen rank 0 wait."""
    path, seen = Path(os.environ["OUT"], f"{name}.loop"), []
    trainer = trainer_of(model, Recorder(path), *handlers)

    def wait_first(backward):
        def run(state):
            if rank() == 1 and state.step == 3:
                with Recording(path.with_name(f"{name}.rank0.loop")) as other:
                    wait_until(lambda: status(other).waits and "backward" in status(other).phase)
                    seen.append(status(other).phase)
            return backward(state)

        return run

    trainer.wrap("backward", wait_first)
    if not any(isinstance(h, Distributed) and h.strategy == "fsdp2" for h in handlers):
        trainer.on("after_loss", once=True)(lambda trainer, state: pickle.dumps(state.model))
        trainer.on("after_step", once=True)(lambda trainer, state: pickle.dumps(state.model))
    trainer.fit(KeyedLoader(examples(40), 4))
    with Recording(path.with_name(f"{name}.rank{rank()}.loop")) as own:
        counts = {}
        for entry, total in totals(own).receivers.items():
            if entry.is_wait:
                counts[entry.name] = counts.get(entry.name, 0) + total.count
        (times,) = compare_ranks([own]).ranks
        return {"seen": seen, "counts": counts, "waits": [*times.waits]}


def failed_buffers():
    """What rank 0 has waited in, for buffers that rank 1 does not send, and the errors of both."""
    seen = []
    trainer = trainer_of(network(norm=True), Distributed(timeout=TIMEOUT))

    @trainer.on("begin_fit")
    def watch(trainer, state):
        trainer.agreement.collective_watchers.append(lambda *wait: seen.append(wait))

    def fail(forward):
        def run(state):
            if rank() == 1 and state.step == 3:
                raise ZeroDivisionError("before the buffers")
            return forward(state)

        return run

    trainer.wrap("forward", fail)
    error = error_of(partial(trainer.fit, KeyedLoader(examples(40), 4)))
    return {"seen": seen, "error": error}


def left_threads():
    """The threads of gloo, in a fit and after each of three, by strategy."""
    found = {}
    for strategy in STRATEGIES:
        trainer = trainer_of(network(), Distributed(strategy, timeout=TIMEOUT))
        during, after = [], []
        trainer.on("after_fit", once=True)(lambda *ignored, to=during: to.extend(gloo_threads()))
        for _ in range(3):
            trainer.fit(KeyedLoader(examples(32), 4))
            gc.collect()
            for _ in range(100):  # one that was joined is listed a moment longer
                if gloo_threads():
                    time.sleep(0.01)
            after.append(gloo_threads())
        found[strategy] = {"during": during, "after": after}
    return found


def gloo_threads():
    names = []
    for task in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has ended meanwhile
            names.append(task.read_text().strip())
    return [name for name in names if "gloo" in name]


class ExchangingNorm(nn.SyncBatchNorm):
    """Exchanges over the group of a SyncBatchNorm, which itself does so on GPUs alone."""

    def forward(self, x):
        mean = x.detach().mean(0)
        dist.all_reduce(mean, group=self.process_group)
        return (x - mean / ranks()) * self.weight + self.bias


def exchanging_norms():
    """The errors of ranks of which one fails while the other one waits in a norm."""
    found = {}
    for strategy in STRATEGIES:
        model = nn.Sequential(nn.Linear(5, 7), ExchangingNorm(7), nn.Linear(7, 2))
        trainer = trainer_of(model, Distributed(strategy, timeout=3600.0))
        model[0].register_forward_hook(partial(raise_once, ZeroDivisionError))
        with (
            patch.object(nn.parallel.DistributedDataParallel, "_passing_sync_batchnorm_handle"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # the shards are not collected
            error = error_of(partial(trainer.fit, KeyedLoader(examples(32), 4)))
        kept = model[1].process_group is None
        found[strategy] = {"error": error, "step": trainer.state.step, "kept": kept}
    return found


class FailsAt:
    """Examples of which one cannot be read."""

    def __init__(self, count, failing):
        self.examples, self.failing = examples(count), failing

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, index):
        if index == self.failing:
            raise OSError(f"example {index} is damaged")
        return self.examples[index]


def cancelled_once(batch_size, cancels, *handlers):
    """A fit in which batch 4 is cancelled after its loss; how often a vote was open, or taken."""
    trainer = trainer_of(network(), *handlers)
    votes = {"open": 0, "all": 0}

    def cancel(trainer, state):
        if (state.epoch, state.batch_index) == (0, 4) and cancels():
            raise CancelBatchException("only here")

    trainer.on("begin_fit")(partial(count_votes, votes))
    if cancels():
        trainer.on("after_loss")(cancel)
    train = KeyedLoader(examples(80 * ranks()), batch_size, shuffle=True, seed=5)
    state = trainer.fit(train, epochs=2)
    found = {"weights": weights(state.model), "step": state.step, "samples": state.samples}
    return found, votes


def count_votes(votes, trainer, state):
    """Count the votes of this run, and those that are open in a backward pass."""
    if (agreement := trainer.agreement) is None:
        return
    overlaps, cast = agreement.overlaps, agreement.cast

    def counted(name, happens):
        votes[name] += happens
        return happens

    agreement.overlaps = lambda state: counted("open", overlaps(state))
    agreement.cast = lambda ballot: cast(ballot) or counted("all", True)


def raise_on_rank_1(kind, trainer, state):
    if (rank(), state.epoch, state.batch_index) == (1, 0, 1):
        raise kind("on rank 1")


def raise_once(kind, module, *_):
    module.calls = getattr(module, "calls", 0) + 1
    if rank() == 1 and module.calls == 2:
        raise kind("on rank 1")


def resumable(strategy, batch_size=8, folder="checkpoints", *, dropout=0.3, every=3):
    """A trainer that saves, and its loaders."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(dropout), nn.Linear(7, 2))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    path = Path(os.environ["OUT"], folder)
    handlers = [Metrics(accuracy=Accuracy()), History(), Checkpoint(path, steps=every)]
    if strategy is not None:
        handlers.append(Distributed(strategy, timeout=TIMEOUT))
        torch.manual_seed(100 + rank())  # each rank has other dropout masks
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)
    loader = KeyedLoader(examples(53), batch_size, shuffle=True, seed=5)
    return trainer, loader, DataLoader(examples(23, seed=1), 8)


def resumed_fits():
    """Fits of three epochs, whole, and cancelled on rank 1 and resumed; files after each."""
    found = {}
    for strategy in ("ddp", "fsdp2"):
        trainer, *loaders = resumable(strategy, folder=f"{strategy}-whole", every=100)
        whole = weights(trainer.fit(*loaders, epochs=3).model)
        trainer, *loaders = resumable(strategy, folder=strategy)
        trainer.on("after_step")(partial(cancel_at, 6))
        cancelled = trainer.fit(*loaders, epochs=3).outcome
        trainer, *loaders = resumable(strategy, folder=strategy)
        state = trainer.fit(*loaders, resume="auto")
        found[strategy] = {
            "whole": whole,
            "cancelled": cancelled,
            "resumed": weights(state.model),
            "step": state.step,
            "rows": len(trainer.handlers[1].rows),
        }
    trainer, *loaders = resumable("ddp", folder="apart", every=2)
    trainer.on("after_step")(partial(cancel_at, 3))
    trainer.fit(*loaders)
    saved = sorted(Path(os.environ["OUT"], "apart").glob("step-*"))
    trainer, *loaders = resumable("ddp", folder="apart")
    found["apart"] = error_of(partial(trainer.fit, *loaders, resume=saved[rank()]))
    return found


def saved_for_others():
    """A fit that is cancelled, and what a whole one ends with; without dropout."""
    trainer, *loaders = resumable("ddp", folder="whole", dropout=0.0, every=100)
    whole = weights(trainer.fit(*loaders, epochs=2).model)
    trainer, *loaders = resumable("ddp", folder="shared", dropout=0.0)
    trainer.on("after_step")(partial(cancel_at, 6))
    trainer.fit(*loaders, epochs=2)
    return whole


def resumed_from_others():
    """The weights of the same fit, resumed by another number of ranks."""
    batch_size = 16 // ranks()
    trainer, *loaders = resumable("ddp", batch_size, "shared", dropout=0.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the random number generators are those of rank 0
        return weights(trainer.fit(*loaders, resume="auto").model)


def killed_and_restarted():
    """The weights of a fit in which rank 1 is killed, once, and those of a whole one."""
    trainer, *loaders = resumable("fsdp2", folder="killed")
    trainer.on("after_step")(partial(kill_at, 7))
    resumed = weights(trainer.fit(*loaders, epochs=3, resume="auto").model)
    trainer, *loaders = resumable("fsdp2", folder="unharmed", every=100)
    whole = weights(trainer.fit(*loaders, epochs=3).model)
    restarts = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    return {"resumed": resumed, "whole": whole, "restarts": restarts}


def kill_at(step, trainer, state):
    if (rank(), state.step, os.environ["TORCHELASTIC_RESTART_COUNT"]) == (1, step, "0"):
        os.kill(os.getpid(), signal.SIGKILL)


def joined_loaders():
    """Fits of two ranks with 5 and 3 batches, and what one process computes with all of them."""
    train, valid = examples(40), examples(24, seed=1)
    parts = [range(25), range(25, 40)], [range(8), range(8, 24)]
    mine, judged = Subset(train, parts[0][rank()]), Subset(valid, parts[1][rank()])
    found = {"alone": joined_by_hand(train, valid, parts[0])}
    for strategy in ("ddp", "fsdp2"):
        distributed = Distributed(strategy, shard=False, uneven="join", timeout=TIMEOUT)
        trainer = trainer_of(network(), Metrics(accuracy=Accuracy()), distributed)
        trainer.on("after_batch")(validate_after_batch_3)
        batches = []
        trainer.on("begin_batch")(partial(keep_size, batches))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            state = trainer.fit(DataLoader(mine, 5), DataLoader(judged, 4), epochs=2)
        found[strategy] = {
            "weights": weights(state.model),
            "metrics": {name: float(value) for name, value in state.metrics.items()},
            "counts": [state.step, state.samples, state.epoch],
            "batches": batches,
        }
    return found


def validate_after_batch_3(trainer, state):
    state.validate_next |= state.training and state.batch_index == 3


def keep_size(sizes, trainer, state):
    sizes.append(state.batch_size)


def joined_by_hand(train, valid, parts):
    """The plain loop over the batches of both ranks together."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    loss_fn = nn.CrossEntropyLoss()
    for _ in range(2):
        for start in range(0, 25, 5):
            places = [place for part in parts for place in part[start : start + 5]]
            x, y = train[places]
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    with torch.no_grad():
        pred, y = model(valid.tensors[0]), valid.tensors[1]
        accuracy = float((pred.argmax(1) == y).float().mean())
        return {"weights": weights(model), "loss": float(loss_fn(pred, y)), "accuracy": accuracy}


def a_rank_without_a_batch():
    """The error of a fit in which one rank has nothing to repeat, or a loader that fails."""
    found = {}
    for name, loader in {"empty": [], "fails": Broken()}.items():
        distributed = Distributed(shard=False, uneven="join", timeout=TIMEOUT)
        trainer = trainer_of(network(), distributed)
        own = loader if rank() == 1 else [examples(4).tensors] * 3
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the loader gave no batch
            found[name] = error_of(partial(trainer.fit, own))
    return found


class Broken:
    def __iter__(self):
        yield examples(4).tensors
        raise ZeroDivisionError("no more data")


def failing_writes():
    """The errors of fits in which something of a save fails on one rank only."""
    found = {}
    for name, (main, fail) in FAILING.items():
        trainer, *loaders = resumable("ddp", folder=name, every=2)
        checkpoint = next(one for one in trainer.handlers if isinstance(one, Checkpoint))
        checkpoint.async_save = checkpoint.restore_best = True
        if main == (rank() == 0):
            fail(checkpoint)
        found[name] = error_of(partial(trainer.fit, *loaders, epochs=2))
    return found


def fail_to_write(checkpoint):
    """All writes, which the next save hears of."""
    checkpoint._trainer.on("begin_fit")(lambda trainer, state: break_save(checkpoint))


def is_last(trainer, state):
    return (state.epoch, state.step) == (1, 8)


def fail_at_the_end(checkpoint):
    """The last write, which the end of the fit hears of; the others then load the best."""
    trainer, ended = checkpoint._trainer, threading.Event()
    trainer.on("after_step", when=is_last)(lambda trainer, state: break_save(checkpoint, ended))
    trainer.on("after_epoch", when=is_last)(lambda trainer, state: ended.set())


def break_save(checkpoint, ended=None):
    """Once nothing is written, put a file in place of the folder; writes then wait for `ended`."""
    write = checkpoint._store.save
    checkpoint._writer.wait()
    checkpoint.folder.rename(f"{checkpoint.folder} before")
    checkpoint.folder.write_text("")

    def save(*arguments):
        if ended is not None:
            ended.wait(TIMEOUT)
        write(*arguments)

    checkpoint._store.save = save


def fail_to_write_rows(checkpoint):
    """What each rank writes itself, which the other one may hear of first."""

    save = checkpoint._store.save

    def fail(*arguments):
        with patch.object(joint_writer, "_write_shard", side_effect=OSError("no rows")):
            save(*arguments)

    checkpoint._store.save = fail


def fail_to_capture(checkpoint):
    def state_dict():
        raise ZeroDivisionError("no state")

    checkpoint.state_dict = state_dict


def fail_to_prune(checkpoint):
    """To delete the older ones."""

    def keep(wanted):
        raise OSError("busy")

    checkpoint._store._store.keep = keep


FAILING = {
    "write": (True, fail_to_write),
    "prune": (True, fail_to_prune),
    "last write": (True, fail_at_the_end),
    "rows": (False, fail_to_write_rows),
    "capture": (False, fail_to_capture),
}


def preempted():
    """A fit of which rank 1 receives a signal, in training or in a validation, and the rest."""
    trainer, *loaders = resumable("ddp", folder="unbroken", every=100)
    whole = weights(trainer.fit(*loaders, epochs=3).model)
    found = {"whole": whole}
    for name, moment in {"train": "after_loss", "validate": "begin_validate"}.items():
        trainer, *loaders = resumable("ddp", folder=f"preempted {name}", every=100)
        trainer.attach(h.Preemption())
        trainer.on(moment)(preempt)
        code = exit_code(partial(trainer.fit, *loaders, epochs=3))
        stopped = [trainer.state.outcome, trainer.state.epoch, trainer.state.step]
        trainer, *loaders = resumable("ddp", folder=f"preempted {name}", every=100)
        state = trainer.fit(*loaders, resume="auto")
        found[name] = {"code": code, "stopped": stopped, "weights": weights(state.model)}
    return found


def preempt(trainer, state):
    if rank() == 1 and state.step >= 6:
        signal.raise_signal(signal.SIGTERM)


def exit_code(function):
    try:
        function()
    except SystemExit as left:
        return left.code
    return None


def cancel_at(step, trainer, state):
    if rank() == 1 and state.step == step:
        raise CancelFitException("on rank 1")


def other_handlers():
    """For each strategy and handler the weights of a fit, and its error."""
    made = {
        "ActivationStats": lambda: h.ActivationStats(every=2),
        "Compile": lambda: h.Compile(backend="eager"),
        "EMA": lambda: h.EMA(0.7),
        "EarlyStopping": lambda: h.EarlyStopping("train_loss", patience=1),
        "Fuse": lambda: h.Fuse("eager", trial=1),
        "GradientStats": lambda: h.GradientStats(every=2),
        "MixUp": h.MixUp,
        "MixedPrecision": h.MixedPrecision,
        "OneCycle": lambda: h.OneCycle(0.1),
        "ReduceOnPlateau": lambda: h.ReduceOnPlateau("train_loss"),
        "SWA": lambda: h.SWA(0.5),
        "SkipBadBatch": h.SkipBadBatch,
        "StepLimit": lambda: h.StepLimit(5),
        "StopOnNaN": h.StopOnNaN,
        "ValidateEvery": lambda: h.ValidateEvery(2),
        "WeightDecayGroups": h.WeightDecayGroups,
    }
    found = {}
    for strategy in ("ddp", "fsdp2"):
        for name, make in made.items():
            trainer = trainer_of(
                network(), make(), Metrics(), Distributed(strategy, timeout=TIMEOUT)
            )
            loaders = KeyedLoader(examples(40), 4, shuffle=True), DataLoader(examples(23), 4)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                error = error_of(partial(trainer.fit, *loaders, epochs=2))
            found[f"{strategy} {name}"] = [weights(trainer.state.model), error]
    return found


def command_line():
    """What `trackside fit … --strategy ddp` prints."""
    from trackside.views.commands.main import main

    target = Path(__file__).parents[1] / "examples" / "digits.py"
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as bars:
        code = main(["fit", f"{target}:digits", "--epochs", "1", "--strategy", "ddp"])
    return {"code": code, "out": printed.getvalue(), "err": bars.getvalue()}


def run_scenarios(names, folder, processes=2, restarts=0, module=__file__):
    """What each rank returned, by the name of the scenario: a list with one entry a rank."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
        "OUT": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    launcher.append(f"--max-restarts={restarts}")
    from forked import run_forked  # which the ranks do not need

    done = run_forked(
        [sys.executable, *launcher, module, *names],
        env=environment,
        timeout=300 * (1 + restarts) + 60 * len(names),
    )
    assert done.returncode == 0, done.stderr[-4000:]
    results = [json.loads(Path(folder, f"rank{r}.json").read_text()) for r in range(processes)]
    return {name: [result[name] for result in results] for name in names}


def run_named(scenarios):
    """In one rank: run those of the command line, and write what they return."""
    found = {}
    for name in sys.argv[1:]:
        faulthandler.dump_traceback_later(240, exit=True)
        print(f"rank {rank()}: {name}", file=sys.stderr, flush=True)
        found[name] = scenarios[name]()
    Path(os.environ["OUT"], f"rank{rank()}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    run_named(globals())

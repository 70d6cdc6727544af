"""Fits of FSDP2 in several processes; see distributed_scenarios."""

import itertools
import os
import signal
import warnings
from functools import partial
from pathlib import Path

import torch
from distributed_scenarios import (
    TIMEOUT,
    cancel_at,
    error_of,
    examples,
    network,
    rank,
    ranks,
    resumable,
    run_named,
    trainer_of,
    weights,
)
from torch import nn
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy
from torch.distributed.tensor import DTensor

from trackside import Checkpoint, Distributed, GradientClip, KeyedLoader, Metrics
from trackside.handlers import EMA, SWA, ActivationCheckpointing, SkipBadBatch, StopOnNaN

WEIGHTS = {"0.weight": (7, 5), "0.bias": (7,), "3.weight": (2, 7), "3.bias": (2,)}


def saved_in_shards():
    """A fit of FSDP2 that is cancelled, what a whole one ends with, and what a save collects."""
    trainer, *loaders = resumable("fsdp2", folder="sharded-whole", dropout=0.0, every=100)
    whole = weights(trainer.fit(*loaders, epochs=2).model)
    trainer, *loaders = resumable("fsdp2", folder="sharded", dropout=0.0)
    trainer.on("after_step")(partial(cancel_at, 6))
    collected, full_tensor = [], DTensor.full_tensor

    def counted(tensor, **options):
        collected.append(trainer.state.phase)
        return full_tensor(tensor, **options)

    DTensor.full_tensor = counted
    try:
        trainer.fit(*loaders, epochs=2)
    finally:
        DTensor.full_tensor = full_tensor
    return {"whole": whole, "collected": sum("train" in phase for phase in collected)}


def resumed_from_shards():
    """The weights of the same fit, resumed by any number of ranks, sharded and replicated."""
    found = {}
    for strategy in ("ddp", "fsdp2"):
        trainer, *loaders = resumable(strategy, 16 // ranks(), "sharded", dropout=0.0)
        trainer.detach(next(h for h in trainer.handlers if isinstance(h, Checkpoint)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the random number generators are those of rank 0
            state = trainer.fit(*loaders, resume=Path(os.environ["OUT"], "sharded"))
        found[strategy] = weights(state.model)
    return found


def saved_in_the_background():
    """Whole, and cancelled and resumed with `async_save`; saves every step."""
    made = partial(resumable, "fsdp2", every=1)
    trainer, *loaders = made(folder="background-whole")
    whole = weights(trainer.fit(*loaders, epochs=2).model)
    for cancelled in (True, False):
        trainer, *loaders = made(folder="background")
        checkpoint = next(h for h in trainer.handlers if isinstance(h, Checkpoint))
        checkpoint.async_save = True
        if cancelled:
            trainer.on("after_step")(partial(cancel_at, 5))
        state = trainer.fit(*loaders, epochs=2, resume="auto")
    kept = sorted(path.name for path in Path(os.environ["OUT"], "background").glob("step-*"))
    return {"whole": whole, "resumed": weights(state.model), "kept": kept}


def failed_writes():
    """The error of each rank if one cannot write, at once and in the background; what is left."""
    from trackside.engine.checkpoint import joint_writer

    found = {}
    write = joint_writer._write_shard
    for culprit in (0, 1):
        for background in (False, True):
            name = f"rank {culprit} {'in the background' if background else 'at once'}"
            trainer, *loaders = resumable("fsdp2", folder=f"failing {name}")
            checkpoint = next(h for h in trainer.handlers if isinstance(h, Checkpoint))
            checkpoint.async_save = background
            saves = itertools.count(1)  # in the background the fit is ahead of its save

            def fail(folder, own, shards, culprit=culprit, saves=saves):
                if own == culprit and next(saves) > 1:
                    raise OSError(28, "No space left on device")
                return write(folder, own, shards)

            joint_writer._write_shard = fail
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the shards are not collected
                error = error_of(partial(trainer.fit, *loaders, epochs=3))
            folder = Path(os.environ["OUT"], f"failing {name}")
            left = sorted(path.name for path in folder.iterdir() if path.is_dir())
            found[name] = {"error": error, "left": left}
    joint_writer._write_shard = write
    return found


def killed_in_a_save():
    """Weights of a fit of which a rank is killed while it saves, twice, and of a whole one."""
    from trackside.engine.checkpoint import joint_writer

    attempt, written = int(os.environ["TORCHELASTIC_RESTART_COUNT"]), []
    write, layout = joint_writer._write_shard, joint_writer._write_layout

    def kill_shard(*arguments):
        written.append(write(*arguments))
        if (rank(), attempt, len(written)) == (1, 0, 2):
            os.kill(os.getpid(), signal.SIGKILL)
        return written[-1]

    def kill_layout(*arguments):
        if (attempt, len(written)) == (1, 2):  # of rank 0, when all shards are written
            os.kill(os.getpid(), signal.SIGKILL)
        return layout(*arguments)

    joint_writer._write_shard, joint_writer._write_layout = kill_shard, kill_layout
    trainer, *loaders = resumable("fsdp2", folder="killed")
    begun = []
    trainer.on("resumed")(lambda trainer, state: begun.append(state.step))
    resumed = weights(trainer.fit(*loaders, epochs=3, resume="auto").model)
    trainer, *loaders = resumable("fsdp2", folder="unharmed", every=100)
    whole = weights(trainer.fit(*loaders, epochs=3).model)
    return {"resumed": resumed, "whole": whole, "attempt": attempt, "from": begun}


class Block(nn.Module):
    """A small block of a transformer."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        attended, _ = self.attention(x, x, x, need_weights=False)
        return x + torch.tanh(self.linear(self.norm(attended)))


class Transformer(nn.Module):
    """Predicts whether the sum of five numbers is positive; the last layer has two rows."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 8)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x.unsqueeze(-1))
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


def is_block(module):
    return isinstance(module, Block)


def fit_of(model, *handlers, epochs=1, loader=None, every_epoch=None):
    trainer = trainer_of(model, *handlers)
    if every_epoch is not None:
        trainer.on("after_step")(every_epoch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = trainer.fit(
            loader or KeyedLoader(examples(40), 4), KeyedLoader(examples(9), 4), epochs=epochs
        )
    return trainer, state


def transformer():
    torch.manual_seed(3)
    return Transformer()


def by_block():
    """The weights of a transformer: replicated, sharded, by block, recomputed, and compiled."""
    sharded, by_block = (
        partial(Distributed, "fsdp2", timeout=TIMEOUT),
        partial(Distributed, "fsdp2", timeout=TIMEOUT, blocks=is_block),
    )
    compiled = transformer()
    for block in compiled.blocks:
        block.compile(backend="eager")
    seen = []

    def look(trainer, state):
        model = state.model
        memory = [parameter.untyped_storage().nbytes() for parameter in found]
        seen.append([sum(isinstance(m, FSDPModule) for m in model.modules()), sum(memory)])

    model = transformer()
    found = list(model.parameters())
    fits = {
        "ddp": fit_of(transformer(), Distributed(timeout=TIMEOUT)),
        "fsdp2": fit_of(transformer(), sharded()),
        "blocks": fit_of(model, by_block(), every_epoch=look),
        "recomputed": fit_of(transformer(), ActivationCheckpointing(Block), by_block()),
        "compiled": fit_of(compiled, by_block()),
    }
    found_types = [type(module).__name__ for module in model.modules()]
    return {
        "weights": {name: weights(state.model) for name, (_, state) in fits.items()},
        "seen": seen,
        "types": found_types,
        "parameters": all(a is b for a, b in zip(found, model.parameters(), strict=True)),
    }


def mixed_precision():
    """Dtypes inside a forward pass and of the weights, and the weights beside those of float32."""
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    dtypes = set()
    model = transformer()
    model.blocks[0].linear.register_forward_hook(
        lambda module, inputs, output: dtypes.update([str(output.dtype), str(module.weight.dtype)])
    )
    handler = Distributed("fsdp2", timeout=TIMEOUT, blocks=is_block, mixed_precision=policy)
    _, state = fit_of(model, handler)
    _, exact = fit_of(transformer(), Distributed("fsdp2", timeout=TIMEOUT, blocks=is_block))
    return {
        "dtypes": sorted(dtypes),
        "kept": str(next(state.model.parameters()).dtype),
        "weights": weights(state.model),
        "exact": weights(exact.model),
    }


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(5, 5)
        self.second = nn.Linear(5, 5)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        return self.head(self.norm(torch.tanh(self.second(torch.tanh(self.first(x))))))


def made_on_meta():
    """Weights of fits of models with values, and of those that get them in their shards."""
    found = {}
    for name, make in (("network", network), ("tied", Tied), ("transformer", Transformer)):
        torch.manual_seed(3)
        model = make()
        fit_of(model, Distributed(timeout=TIMEOUT))
        with torch.device("meta"):
            meta = make()
        torch.manual_seed(3 + rank())  # rank 0 decides
        trainer, state = fit_of(meta, Distributed("fsdp2", timeout=TIMEOUT))
        found[name] = {
            "weights": weights(state.model),
            "replicated": weights(model),
            "optimized": [
                id(p) for group in trainer.state.optimizer.param_groups for p in group["params"]
            ]
            == [id(p) for p in meta.parameters()],
            "buffers": [buffer.tolist() for buffer in meta.buffers()],
            "tied": name != "tied" or meta.first.weight is meta.second.weight,
        }
    return found


def never_whole():
    """A fit after which no rank has the model, a new one, and one that resumes it."""
    folder = Path(os.environ["OUT"], "never-whole")
    handler = Distributed("fsdp2", timeout=TIMEOUT, whole=False)
    with torch.device("meta"):
        model = Transformer()
    torch.manual_seed(3)
    trainer = trainer_of(model, Checkpoint(folder), EMA(0.5, final="trained"), handler)
    loader = KeyedLoader(examples(40), 4)
    trainer.fit(loader)
    devices = {parameter.device.type for parameter in model.parameters()}

    state = trainer.fit(loader, epochs=2, resume="auto")
    unsaved = trainer_of(transformer(), Distributed("fsdp2", timeout=TIMEOUT, whole=False))
    _, whole = fit_of(transformer(), Distributed("fsdp2", timeout=TIMEOUT), epochs=2)
    return {
        "devices": sorted(devices),
        "steps": state.step,
        "unsaved": error_of(partial(unsaved.fit, loader)),
        "whole": weights(whole.model),
    }


def averaged():
    """Weights and averages of two fits in a row with EMA and SWA."""
    found = {}
    for strategy in ("ddp", "fsdp2"):
        for name, make in (("EMA", partial(EMA, 0.7)), ("SWA", partial(SWA, 0.4))):
            handler = make()
            trainer, state = fit_of(
                network(norm=True), handler, Distributed(strategy, timeout=TIMEOUT), epochs=3
            )
            first = weights(state.model)
            trainer.fit(KeyedLoader(examples(40), 4), epochs=2)
            found[f"{strategy} {name}"] = {
                "first": first,
                "second": weights(state.model),
                "averaged": weights(handler.averaged),
                "types": sorted({type(p).__name__ for p in handler.averaged.parameters()}),
                "called": handler.averaged(torch.ones(1, 5)).tolist(),
            }
    return found


def resumed_averages():
    """Weights of fits with EMA and SWA: whole, and cancelled and resumed."""
    found = {}
    for name, make in (("EMA", partial(EMA, 0.7)), ("SWA", partial(SWA, 0))):
        found[name] = []
        for folder, cancelled in (("one", False), ("two", True), ("two", False)):
            trainer, *loaders = resumable("fsdp2", folder=f"{name} {folder}")
            trainer.attach(make())
            if cancelled:
                trainer.on("after_step")(partial(cancel_at, 6))
            state = trainer.fit(*loaders, epochs=3, resume="auto")
            found[name].append(weights(state.model))
    return found


def guarded():
    """What guards and clipping do with a gradient that is NaN in a row of rank 1 alone."""

    def spoil(trainer, state):
        if state.step == 2 and state.epoch == 0:
            gradient = state.model[0].weight.grad
            local = gradient.to_local() if hasattr(gradient, "to_local") else gradient
            if rank() == 1 or local is gradient:
                local[-1, 0] = torch.nan

    found = {}
    for strategy in ("ddp", "fsdp2"):
        for name, make in (
            ("StopOnNaN", StopOnNaN),
            ("SkipBadBatch", SkipBadBatch),
            ("norm 2", partial(GradientClip, 0.05)),
            ("norm inf", partial(GradientClip, 0.05, norm_type=torch.inf)),
            ("value", partial(GradientClip, value=0.01)),
        ):
            torch.manual_seed(3)
            model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1), nn.Linear(1, 2))
            trainer = trainer_of(model, make(), Metrics(), Distributed(strategy, timeout=TIMEOUT))
            if name.startswith("S"):
                trainer.on("after_backward")(spoil)
            state = trainer.fit(KeyedLoader(examples(40), 4))
            found[f"{strategy} {name}"] = {
                "weights": weights(state.model),
                "step": state.step,
                "outcome": state.outcome,
                "norm": float(state.metrics.get("grad_norm", 0.0)),
            }
    return found


if __name__ == "__main__":
    run_named(globals())

"""Fits of FSDP2 in several processes; see distributed_scenarios."""

import os
import signal
import warnings
from functools import partial
from pathlib import Path

from distributed_scenarios import (
    cancel_at,
    error_of,
    rank,
    ranks,
    resumable,
    run_named,
    weights,
)
from torch.distributed.tensor import DTensor

from trackside import Checkpoint

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

            def fail(folder, own, shards, culprit=culprit, trainer=trainer):
                if own == culprit and trainer.state.step >= 6:
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


if __name__ == "__main__":
    run_named(globals())

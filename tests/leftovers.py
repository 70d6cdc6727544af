"""What a test may leave behind in the process, so that a later one fails or cannot."""

import os
import signal
import sys

WATCHED = (
    *("CUDA_VISIBLE_DEVICES", "LOCAL_", "MASTER_", "OMP_", "PYTHONPATH", "RANK", "SLURM_"),
    *("TORCHELASTIC_", "TRACKSIDE_", "WORLD_SIZE"),
)
"""How variables begin that this project or torch reads; libraries set others when imported."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def left():
    """What is there now, by kind; None of what is not imported yet."""
    trainer, torch = map(sys.modules.get, ("trackside.engine.trainer", "torch"))
    return {
        "environment": {k: v for k, v in os.environ.items() if k.startswith(WATCHED)},
        "folder": os.getcwd(),
        "signal handlers": [signal.getsignal(number) for number in SIGNALS],
        "attributes of Trainer": trainer
        and {k: v for k, v in vars(trainer.Trainer).items() if not k.startswith("__")},
        "torch": torch
        and (
            *(torch.get_default_dtype(), torch.get_default_device(), torch.is_grad_enabled()),
            *(torch.are_deterministic_algorithms_enabled(), torch.is_inference_mode_enabled()),
        ),
    }


class Leftovers:
    """Compares after each test; fails after the last one of a module, whose fixtures have ended."""

    def __init__(self):
        self.before = self.last = left()
        self.changes = []

    def check(self, name, is_last):
        """Raise an error that names the tests after which something was changed."""
        now = left()
        if now != self.last:
            self.changes.append(name)
            self.last = now
        if not is_last:
            return
        kinds = [kind for kind in now if self.before[kind] not in (None, now[kind])]
        changes, self.before, self.changes = self.changes, now, []
        if kinds:
            raise AssertionError(f"left changed: {kinds}, after: {changes}")

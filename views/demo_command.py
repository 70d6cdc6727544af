"""`trackside demo`."""

from __future__ import annotations

import argparse

from .options import Commands, add_out, count
from .output import writable
from .record_option import attach_recorder


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "train a small convolutional net on scikit-learn's digits"
    demo = commands.add_parser("demo", help=about, description=about)
    demo.add_argument("--epochs", type=count, metavar="N", help="default: 8")
    demo.add_argument("--seed", type=count, default=0, metavar="N", help="default: 0")
    add_out(demo, default="runs/demo")
    demo.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    out = writable(arguments.out)

    import torch

    from .demo import digits
    from .training import train

    torch.set_num_threads(1)  # more gain nothing for so small a net, and lose on a busy machine
    job = digits(arguments.seed)
    attach_recorder(job.trainer, out / "run.loop")
    train(job, arguments.epochs, out)

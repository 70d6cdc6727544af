"""`trackside demo`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..output.output_files import writable
from .parser import Commands, add_out, count
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

    from ..jobs.demo_job import digits
    from ..page.report import write_report
    from .run_fit import train

    torch.set_num_threads(1)  # more gain nothing for so small a net, and lose on a busy machine
    job = digits(arguments.seed)
    attach_recorder(job.trainer, out / "run.loop")
    train(job, arguments.epochs, out)
    write_report([out / "run.loop"], out / "report.html")
    print(_how_to_look(out))


def _how_to_look(out: Path) -> str:
    named = Path(sys.argv[0]).name == "trackside"
    command = os.path.relpath(sys.argv[0]) if named else "trackside"
    return (
        f"\nTo see this fit again: open {out / 'report.html'} in a browser; it needs no server.\n"
        f"To see one that runs: `{command} watch {out}`, and in another terminal "
        f"`{command} demo --epochs 200`."
    )

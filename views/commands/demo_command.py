"""`trackside demo`: train a small network on digits."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..options.parser import Commands, add_out_option, whole_number
from ..options.record_option import attach_recorder
from ..output.output_files import create_output_folder


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "train a small convolutional network on scikit-learn's digits"
    demo = commands.add_parser("demo", help=about, description=about)
    demo.add_argument("--epochs", type=whole_number, metavar="N", help="default: 8")
    demo.add_argument("--seed", type=whole_number, default=0, metavar="N", help="default: 0")
    add_out_option(demo, "report.html", default="runs/demo")
    demo.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    out = create_output_folder(arguments.out)

    import torch

    from ..fitting.run_fit import fit_job
    from ..jobs.demo_job import digits
    from ..page.report import write_report

    torch.set_num_threads(
        1
    )  # more threads do not help a network this small, and are slow on a busy machine
    job = digits(arguments.seed)
    attach_recorder(job.trainer, out / "run.loop")
    fit_job(job, arguments.epochs, out)
    write_report([out / "run.loop"], out / "report.html")
    print(_next_steps(out))


def _next_steps(out: Path) -> str:
    is_script = Path(sys.argv[0]).name == "trackside"
    command = os.path.relpath(sys.argv[0]) if is_script else "trackside"
    return (
        f"\nTo look at this fit: open {out / 'report.html'} in a browser; it needs no server.\n"
        f"To watch a fit while it runs: `{command} watch {out}`, and in another terminal "
        f"`{command} demo --epochs 200`."
    )

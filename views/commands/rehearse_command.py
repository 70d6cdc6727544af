"""`trackside rehearse module:factory`: go through the fit of a job without a model call."""

from __future__ import annotations

import argparse

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands, whole_number


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = (
        "go through the fit of the trackside.Job that your function returns without a model "
        "call, and print what it would do; the exit code is 1 if a problem was found"
    )
    rehearse = commands.add_parser("rehearse", help=about, description=about, add_help=False)
    add_factory(rehearse)
    rehearse.add_argument("--epochs", type=whole_number, help="default: those of the job")
    rehearse.add_argument(
        "--seed", type=whole_number, metavar="N", help="for the factory, as that of trackside fit"
    )
    rehearse.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    factory = import_named(arguments)

    from ..jobs.named_job import create_named_job

    job = create_named_job(factory, arguments)
    epochs = job.epochs if arguments.epochs is None else arguments.epochs
    plan = job.trainer.rehearse(job.train_loader, job.valid_loader, epochs)
    print(plan)
    return 0 if plan.ok else 1

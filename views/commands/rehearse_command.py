"""`trackside rehearse module:factory`: go through the fit of a job without a model call."""

from __future__ import annotations

import argparse

from ..jobs.import_target import import_factory
from ..options.parser import FACTORY, Commands, whole_number


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = (
        "go through the fit of the trackside.views.Job that your function returns without a model "
        "call, and print what it would do; the exit code is 1 if a problem was found"
    )
    rehearse = commands.add_parser("rehearse", help=about, description=about)
    rehearse.add_argument("factory", help=FACTORY)
    rehearse.add_argument("--epochs", type=whole_number, help="default: those of the job")
    rehearse.add_argument(
        "--seed", type=whole_number, metavar="N", help="for the factory, as that of trackside fit"
    )
    rehearse.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> int:
    factory = import_factory(arguments.factory)

    from ..jobs.job_factory import create_job

    job = create_job(factory, arguments.factory, seed=arguments.seed)
    epochs = job.epochs if arguments.epochs is None else arguments.epochs
    plan = job.trainer.rehearse(job.train_loader, job.valid_loader, epochs)
    print(plan)
    return 0 if plan.ok else 1

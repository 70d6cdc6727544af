"""`trackside fit module:factory`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..jobs.import_target import find_factory
from ..output.output_files import writable
from .handler_option import attach_published, check_published
from .parser import FACTORY, Commands, add_out, count
from .record_option import add_record, attach_recorder


def add(commands: Commands) -> None:
    """Add it to the command line."""
    about = "train the trackside.views.Job that a function of yours returns"
    fit = commands.add_parser("fit", help=about, description=about)
    fit.add_argument("factory", help=FACTORY)
    fit.add_argument("--epochs", type=count, metavar="N", help="default: the job's own")
    fit.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the job's own")
    fit.add_argument(
        "--handler",
        action="append",
        default=[],
        metavar="NAME",
        help="attach a handler that `trackside handlers` lists; as often as you like",
    )
    add_record(fit)
    fit.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="save there each epoch, every ten minutes, and before the process ends, on SIGTERM, "
        "SIGUSR1 or Ctrl-C too",
    )
    fit.add_argument(
        "--resume",
        metavar="PATH",
        help="go on from a checkpoint; auto: from the latest, if there is one",
    )
    add_out(fit)
    fit.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    out = None if arguments.out is None else writable(arguments.out)
    check_published(arguments.handler)
    factory = find_factory(arguments.factory)

    from ..jobs.device import usable_device
    from ..jobs.job_factory import make_job
    from .run_fit import train

    device = None if arguments.device is None else usable_device(arguments.device)
    job = make_job(factory, arguments.factory, device)
    attach_published(job.trainer, arguments.handler)
    if arguments.record is not None:
        attach_recorder(job.trainer, arguments.record)
    train(job, arguments.epochs, out, arguments.checkpoint, arguments.resume)

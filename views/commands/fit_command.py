"""`trackside fit module:factory`: train a job."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..jobs.import_target import import_factory
from ..options.handler_option import attach_handlers, check_handler_names
from ..options.parser import FACTORY, Commands, add_out_option, whole_number
from ..options.record_option import add_record_option, attach_recorder
from ..options.strategy_option import add_strategy_option, attach_strategy, device_of_rank
from ..output.output_files import create_output_folder


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "train the trackside.views.Job that your function returns"
    fit = commands.add_parser("fit", help=about, description=about)
    fit.add_argument("factory", help=FACTORY)
    fit.add_argument(
        "--epochs", type=whole_number, metavar="N", help="default: the epochs of the job"
    )
    fit.add_argument(
        "--seed",
        type=whole_number,
        metavar="N",
        help="seed the generators before the factory runs, and again for the fit and its loaders; "
        "a factory with a parameter seed gets it",
    )
    fit.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: the device of the job")
    fit.add_argument(
        "--handler",
        action="append",
        default=[],
        metavar="NAME",
        help="attach a handler that `trackside handlers` lists; may be given several times",
    )
    add_record_option(fit)
    add_strategy_option(fit)
    fit.add_argument(
        "--checkpoint",
        type=Path,
        metavar="DIR",
        help="save checkpoints to this folder: each epoch, every ten minutes, and before the "
        "process ends, also on SIGTERM, SIGUSR1 or Ctrl-C",
    )
    fit.add_argument(
        "--resume",
        metavar="PATH",
        help="resume from this checkpoint; auto: from the latest one, if any",
    )
    add_out_option(fit)
    fit.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    out = None if arguments.out is None else create_output_folder(arguments.out)
    check_handler_names(arguments.handler)
    factory = import_factory(arguments.factory)

    from ..fitting.run_fit import fit_job
    from ..jobs.device import usable_device
    from ..jobs.job_factory import create_job

    name = device_of_rank(arguments.device, arguments.strategy)
    device = None if name is None else usable_device(name)
    job = create_job(factory, arguments.factory, device, arguments.seed)
    if arguments.strategy is not None:
        attach_strategy(job.trainer, arguments.strategy)
    attach_handlers(job.trainer, arguments.handler)
    if arguments.record is not None:
        attach_recorder(job.trainer, arguments.record)
    fit_job(job, arguments.epochs, out, arguments.checkpoint, arguments.resume, arguments.seed)

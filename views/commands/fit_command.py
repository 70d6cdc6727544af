"""`trackside fit module:factory`: train a job."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands, Parser, add_out_option, whole_number
from ..options.record_option import add_record_option, attach_recorder
from ..options.strategy_option import (
    add_strategy_option,
    attach_strategy,
    device_of_rank,
    is_first_rank,
)
from ..output.output_files import create_output_folder, write_atomically

if TYPE_CHECKING:
    from ..jobs.factory_arguments import FactoryArguments
    from ..jobs.job import Job


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "train the trackside.Job that your function returns"
    fit = commands.add_parser("fit", help=about, description=about, add_help=False)
    add_factory(fit)
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
    add_strategy_option(fit)
    _add_outputs(fit)
    fit.add_argument(
        "--lr-find",
        action="store_true",
        help="test learning rates instead of the fit, and print the ones that are suggested",
    )
    fit.set_defaults(command=_run)


def _add_outputs(fit: Parser) -> None:
    add_record_option(fit)
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
    add_out_option(fit, "config.yaml")


def _run(arguments: argparse.Namespace) -> None:
    out = None if arguments.out is None else create_output_folder(arguments.out)
    factory = import_named(arguments)

    from ..fitting.find_rate import find_rate
    from ..fitting.run_fit import fit_job
    from ..jobs.factory_arguments import read_arguments

    read = read_arguments(factory, arguments)
    job = _create(factory, arguments, read)
    if is_first_rank(arguments.strategy):
        _show(read, {} if arguments.resume else {"epochs": job.epochs}, out)
    if arguments.lr_find:
        find_rate(job, out)
        return
    fit_job(job, arguments.epochs, out, arguments.checkpoint, arguments.resume, arguments.seed)


def _show(read: FactoryArguments, epochs: dict[str, int], out: Path | None) -> None:
    """Print the arguments if the factory has any, and keep them beside the run."""
    text = read.text(**epochs)
    if read.effective:
        print(text)
    if out is not None:
        write_atomically(out / "config.yaml", lambda path: path.write_text(text, encoding="utf-8"))


def _create(factory: Any, arguments: argparse.Namespace, read: FactoryArguments) -> Job:
    from ..jobs.named_job import attach_options, call_factory

    arguments.device = device_of_rank(arguments.device, arguments.strategy)
    job = call_factory(factory, arguments, read)
    if arguments.strategy is not None:
        attach_strategy(job.trainer, arguments.strategy)
    attach_options(job, arguments)
    if arguments.record is not None and not arguments.lr_find:
        attach_recorder(job.trainer, arguments.record)
    return job

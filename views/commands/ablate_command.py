"""`trackside ablate module:factory`: what each handler, or a parameter, changes in a metric."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ...events.utils.exception_text import first_message_line
from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands, Parser, whole_number
from ..output.output_files import print_written
from ..output.usage_error import UsageError

if TYPE_CHECKING:
    from ..studies.ablation import Asked, StudyRun
    from ..studies.study import Study


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "fit with all handlers and without each one, over seeds, and compare a metric"
    ablate = commands.add_parser("ablate", help=about, description=about, add_help=False)
    add_factory(ablate)
    ablate.add_argument(
        "--metric", default="valid_loss", metavar="NAME", help="to compare; default: valid_loss"
    )
    ablate.add_argument(
        "--seeds",
        type=_seeds,
        default=(0, 1, 2),
        metavar="N,…",
        help="a fit of each variation for each one; default: 0,1,2",
    )
    ablate.add_argument(
        "--handlers",
        type=_names,
        metavar="NAME,…",
        help="those to remove; default: all that act on the training",
    )
    ablate.add_argument("--alone", action="store_true", help="also with each handler alone")
    ablate.add_argument("--pairs", action="store_true", help="also without each two handlers")
    ablate.add_argument(
        "--vary",
        type=_values,
        action="append",
        default=[],
        metavar="NAME=V,…",
        help="compare these values of a parameter of the factory, in place of handlers; several "
        "give all combinations",
    )
    ablate.add_argument(
        "--epochs", type=whole_number, metavar="N", help="default: the epochs of the job"
    )
    ablate.add_argument(
        "--jobs",
        type=whole_number,
        default=1,
        metavar="N",
        help="fits at the same time; default: 1",
    )
    ablate.add_argument(
        "--file",
        default="runs/study.db",
        metavar="FILE",
        help="keep the fits here, and go on with those that are; default: runs/study.db",
    )
    _add_outputs(ablate)
    ablate.set_defaults(command=_run)


def _add_outputs(ablate: Parser) -> None:
    ablate.add_argument("--csv", type=Path, metavar="FILE", help="also write the table as CSV")
    ablate.add_argument(
        "--html", type=Path, metavar="FILE", help="also write the table and a plot as a page"
    )
    ablate.add_argument(
        "--optuna", metavar="URL", help="also export to this storage of Optuna, sqlite:///optuna.db"
    )
    ablate.add_argument(
        "--maximize", action="store_true", help="tell Optuna that a larger metric is better"
    )


def _run(arguments: argparse.Namespace) -> None:
    try:
        import rich  # noqa: F401  # the table needs it; it is an extra
    except ModuleNotFoundError:
        raise UsageError("trackside ablate needs rich: pip install 'trackside[study]'") from None
    from ..jobs.named_job import request_of
    from ..studies.ablation import Asked, StudyRun
    from ..studies.varied_arguments import name_with_arguments, typed_values
    from ..studies.worker_pool import WorkerPool

    vary = _vary(arguments.vary)
    asked = Asked(
        arguments.handlers,
        arguments.metric,
        arguments.seeds,
        arguments.alone,
        arguments.pairs,
        vary,
        arguments.epochs,
        arguments.jobs,
    )
    _check(asked)
    factory = import_named(arguments)
    name = name_with_arguments(factory, arguments, vary)
    _check(asked := asked._replace(vary=typed_values(factory, arguments, vary)))
    pool = WorkerPool(name, asked.jobs, request_of(arguments))
    with pool, StudyRun(pool, asked, arguments.file) as run:
        _make_fits(run)
        study = run.study()
    _show(study, arguments)


def _check(asked: Asked) -> None:
    from ..studies.ablation import check

    try:
        check(asked)
    except (TypeError, ValueError) as error:
        raise UsageError(first_message_line(error)) from None


def _make_fits(run: StudyRun) -> None:
    """A line for each fit that is made now."""
    for variation, seed, result in run.fits():
        reason = f": {result['reason']}" if result["reason"] else ""
        print(f"{variation.label}, seed {seed}: {result['outcome']}{reason}", flush=True)


def _show(study: Study, arguments: argparse.Namespace) -> None:
    from rich.console import Console

    console = Console()
    if console.is_terminal:
        console.print(study)
    else:
        print(study)
    writers = ((arguments.csv, study.to_csv), (arguments.html, study.to_html))
    for path, write in writers:
        if path is not None:
            try:
                write(path)
            except OSError as error:
                raise UsageError(f"cannot write {path}: {error.strerror}") from None
            print_written(path)
    if arguments.optuna is not None:
        study.to_optuna(arguments.optuna, arguments.maximize)
        print(f"exported to {arguments.optuna}")


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(map(whole_number, text.split(",")))


def _values(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise argparse.ArgumentTypeError(f"found {text!r}; allowed: a parameter and values, lr=1,2")
    return name.removeprefix("--").replace("-", "_"), values.split(",")


def _vary(given: list[tuple[str, list[str]]]) -> dict[str, list[str]]:
    if len(dict(given)) < len(given):
        raise UsageError("--vary has one parameter twice; give all its values at once: lr=1,2")
    return dict(given)

"""`trackside rewind FOLDER module:factory --step N`: have a batch of a run again."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

from ..jobs.factory_option import add_factory, import_named
from ..options.parser import Commands, whole_number
from ..output.output_files import print_written
from ..output.usage_error import UsageError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "train from the nearest checkpoint up to a batch, and stop there in a prompt"
    rewind = commands.add_parser("rewind", help=about, description=about, add_help=False)
    rewind.add_argument("folder", help="the folder with the checkpoints of the run")
    add_factory(rewind)
    rewind.add_argument(
        "--step",
        type=whole_number,
        metavar="N",
        help="the first batch that begins when N optimizer steps have been made",
    )
    rewind.add_argument(
        "--until",
        metavar="CONDITION",
        help='the first batch for which it is true: nan, or NAME OP NUMBER, such as "loss > 5"',
    )
    rewind.add_argument(
        "--at",
        metavar="SIGNAL",
        help="stop after the receivers of this signal; default: begin_batch, after_loss with "
        "--until, after_backward with --dump",
    )
    rewind.add_argument(
        "--before",
        metavar="SIGNAL",
        help="stop before this signal is sent, in place of --at: what the activity has computed, "
        "before a receiver changes it",
    )
    rewind.add_argument(
        "--dump",
        type=Path,
        metavar="FILE",
        help="write batch, inputs, prediction, loss and gradients to FILE, and open no prompt",
    )
    rewind.add_argument("--device", help="cpu, cuda, cuda:1, ...; default: that of the job")
    rewind.add_argument(
        "--seed", type=whole_number, metavar="N", help="that of the run, if its fit had --seed"
    )
    rewind.add_argument(
        "--twice",
        action="store_true",
        help="run the stretch twice first, and name what differs if it is not deterministic",
    )
    rewind.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ...engine import CheckpointError, ResumeError
    from ...events.utils.exception_text import first_message_line
    from ..jobs.named_job import create_named_job
    from ..output.counted_place import counted_place
    from ..rewinding.batch_dump import check_file, dump_batch
    from ..rewinding.rewind import rewind_job
    from ..rewinding.rewind_target import Target

    factory = import_named(arguments)
    at = arguments.at
    if arguments.dump is not None:
        check_file(arguments.dump)
        at = at or (None if arguments.before else "after_backward")
    try:
        target = Target(arguments.step, arguments.until, at, arguments.before)
        new_job = partial(create_named_job, factory, arguments)
        trainer = rewind_job(new_job, arguments.folder, target, arguments.twice)
    except (CheckpointError, ResumeError) as error:
        raise UsageError(first_message_line(error)) from None
    state = trainer.state
    position = counted_place(state.epoch, state.batch_index)
    print(f"step {state.step}, {position}, in {state.phase}")
    try:
        if arguments.dump is None:
            names = {"state": state, "batch": state.batch, "step": trainer.step}
            _prompt({"trainer": trainer, **names})
        else:
            dump_batch(trainer, arguments.dump)
            print_written(arguments.dump)
    finally:
        vars(trainer)["rewound"].close()  # at the exit of Python its scopes could not be closed


def _prompt(names: dict[str, Any]) -> None:
    """Open IPython where it is installed, else the prompt of Python."""
    about = "trainer, state, batch; step() makes the next transition"
    try:
        from IPython import start_ipython
    except ImportError:
        import code

        code.interact(about, local=names, exitmsg="")
    else:
        print(about)
        start_ipython(argv=[], user_ns=names)

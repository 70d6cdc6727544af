"""`trackside facts RUN`: show where, when and from what a run was made."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..options.parser import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "show the facts of a run: its seed, arguments, versions, git commit, command, machine"
    facts = commands.add_parser("facts", help=about, description=about)
    facts.add_argument(
        "run",
        type=Path,
        metavar="RUN",
        help="a recording, a checkpoint, a log of a CSVLogger or JSONLines, or a folder of them; "
        "or a study: those of its newest fit",
    )
    facts.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ...events.utils.flat_names import flat_names
    from ..output.text_columns import align_columns
    from ..recordings.kept_facts import kept_facts
    from ..studies.study_database import is_study
    from ..studies.study_file import study_facts

    run: Path = arguments.run
    found = {run: study_facts(run)} if is_study(run) else kept_facts(run)
    parts = []
    for path, facts in found.items():
        rows = [(name, str(value)) for name, value in flat_names(facts).items()]
        parts.append(f"{path}\n{align_columns(rows, left=2)}")
    print("\n\n".join(parts))

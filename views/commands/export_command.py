"""`trackside export RECORDING… -o FILE`: convert recordings to another format."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..options.parser import Commands
from ..output.output_files import is_stream, print_written, write_atomically
from ..output.usage_error import UsageError

_SUFFIXES = ".pftrace for Perfetto, .json for Chrome's trace format, .csv for a table"
_OUT_HELP = f"{_SUFFIXES}; /dev/stdout, or another stream, gets a table"
_TABLES = ("records", "metrics", "times")
_TABLE_HELP = "what a .csv has: all records, metrics of the whole run, times of phases and handlers"


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    about = "convert recordings to a format of other tools"
    export = commands.add_parser("export", help=about, description=about)
    export.add_argument("recordings", nargs="+", metavar="RECORDING", help="a file, or a folder")
    export.add_argument("-o", "--out", required=True, metavar="FILE", help=_OUT_HELP)
    export.add_argument("--table", choices=_TABLES, default=_TABLES[0], help=_TABLE_HELP)
    export.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from ..exports.chrome_trace import write_chrome
    from ..exports.csv_export import write_csv
    from ..exports.perfetto_trace import write_perfetto
    from ..recordings.recording_set import open_recordings

    out = Path(arguments.out)
    csv_writer = partial(write_csv, table=arguments.table)
    writers: dict[str, Callable[..., None]] = {
        ".pftrace": write_perfetto,
        ".json": write_chrome,
        ".csv": csv_writer,
    }
    suffix = out.suffix or (".csv" if is_stream(out) else "")
    if suffix not in writers:
        raise UsageError(f"cannot export to {out}: its suffix is {suffix!r}; allowed: {_SUFFIXES}")
    if arguments.table != _TABLES[0] and suffix != ".csv":
        raise UsageError(f"--table {arguments.table} is for a .csv file, and {out} is none")

    def write(path: Path) -> None:
        with path.open("wb") as file:
            writers[suffix](recordings, file)

    with open_recordings(*arguments.recordings) as recordings:
        try:
            write_atomically(out, write)
        except OSError as error:
            raise UsageError(f"cannot write {out}: {error.strerror}") from None
    print_written(out)

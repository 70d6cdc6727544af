"""`trackside` and `python -m trackside`: the command line."""

from __future__ import annotations

import signal
import sys


def run() -> int:
    """Run the command of `sys.argv`; its exit code.

    Ctrl-C ends the process without a traceback also while the command line is still imported, and
    when the command has ended.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .views.commands.main import main  # noqa: PLC0415  # what is imported before can be interrupted only loudly

    return main()


if __name__ == "__main__":
    sys.exit(run())

"""The logger of the project, `trackside`: silent until the host application configures logging."""

from __future__ import annotations

import logging
import traceback

log = logging.getLogger("trackside")
log.addHandler(logging.NullHandler())


def log_exception(message: str, *values: object) -> None:
    """Log the exception that is being handled, and raise none.

    If a log handler of the host raises one, both go to stderr, as `logging` itself does with an
    error of a handler.
    """
    try:
        log.exception(message, *values)
    except Exception:
        if logging.raiseExceptions:
            traceback.print_exc()

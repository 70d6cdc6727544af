"""Show the progress of a fit to the person who has called it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

from ...events import AttachError
from ...events.bus.publisher import Publisher
from ...events.utils.exact_context import exact_context

_BAR = "progress_bar"


@exact_context
def shown_progress(trainer: Publisher, verbose: bool | None) -> Iterator[None]:
    """Attach a ProgressBar for the block, unless the trainer has one.

    Args:
        verbose: None: if a person sees it, see `is_watched`.

    Raises:
        AttachError: with True, no installed distribution publishes a ProgressBar.
    """
    if not (is_watched() if verbose is None else verbose) or _has_bar(trainer):
        yield
        return
    try:
        attachment = trainer.attach(_BAR)  # by its name: the engine imports no handler
    except AttachError:
        if verbose:
            raise
        yield  # a checkout that is not installed publishes none
        return
    with attachment:
        yield


def is_watched() -> bool:
    """Whether a person sees what this process writes: in a terminal, or in a notebook.

    Not in a thread, an event loop, a test of pytest, or one of several processes.
    """
    is_one_of_several = os.environ.get("WORLD_SIZE", "1") != "1"
    if is_one_of_several or threading.current_thread() is not threading.main_thread():
        return False
    if "PYTEST_CURRENT_TEST" in os.environ:
        return False
    if _in_notebook():
        return True
    return sys.stderr is not None and sys.stderr.isatty() and not _in_event_loop()


def _has_bar(trainer: Publisher) -> bool:
    kinds = {kind.__name__ for handler in trainer.handlers for kind in type(handler).__mro__}
    return "ProgressBar" in kinds


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


def _in_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # not imported: no loop runs
    try:
        return asyncio is not None and asyncio.get_running_loop() is not None
    except RuntimeError:
        return False

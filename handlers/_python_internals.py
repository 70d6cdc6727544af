"""The private part of Python that handlers use.

`tests/handlers/test_python_internals.py` tells when a new version of Python has changed it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


def call_before_exit(function: Callable[[], None]) -> None:
    """Call `function` when the interpreter begins to exit, before it waits for threads.

    `atexit` calls only after that: a thread that waits for work would never end. The pools of
    `concurrent.futures` use the same part.

    Raises:
        RuntimeError: the interpreter exits now.
    """
    threading._register_atexit(function)  # type: ignore[attr-defined]

"""Complete what an interrupt may break off.

Python raises an interrupt at a call or a jump back: also in a `finally`, whose rest is then lost.
"""

from __future__ import annotations

from collections.abc import Callable

_ATTEMPTS = 10


def complete(work: Callable[[], object]) -> BaseException | None:
    """Call `work` until no interrupt breaks it off; it must be safe to repeat.

    Returns:
        The first exception raised meanwhile; an error is not repeated.
    """
    first: BaseException | None = None
    for _ in range(_ATTEMPTS):
        try:
            work()
        except Exception as error:
            return error if first is None else first
        except BaseException as interrupt:
            first = first if first is not None else interrupt
        else:
            return first
    return first

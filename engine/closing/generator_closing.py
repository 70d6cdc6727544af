"""Close a generator that runs code of a user, and lose nothing that it raises."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


def close_generator(generator: Generator[Any, Any, Any]) -> None:
    """Close it, if it has not ended; raise also a `GeneratorExit` of user code, unlike `close`."""
    closing = GeneratorExit()
    try:
        generator.throw(closing)
    except StopIteration:
        return
    except GeneratorExit as raised:
        if raised is not closing:
            raise
    finally:
        del closing  # its traceback has this frame

"""A progress bar that reads its values only when it is drawn.

The only file that uses tqdm, and parts of it that are private or not documented.
`tests/handlers/logging/test_tqdm_bar.py` names the part that a new version of tqdm has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any, TextIO

import torch
import tqdm.asyncio
import tqdm.auto

Values = Callable[[], Mapping[str, Any]]

_IN_NOTEBOOK = tqdm.auto.tqdm is not tqdm.asyncio.tqdm


class LazyBar(tqdm.auto.tqdm):  # type: ignore[type-arg]  # generic for type checkers only
    """A bar that calls `values()` when it is drawn, and only then."""

    monitor_interval = 0  # no monitor thread: it would read tensors while training runs

    def __init__(self, values: Values, **options: Any) -> None:
        self.values = values
        try:
            # miniters=1 checks the time at each update: a bar stays current if batches become slow
            super().__init__(miniters=1, dynamic_ncols=True, **options)
        except BaseException:
            self.disable = True
            self._instances.discard(self)  # type: ignore[attr-defined]
            raise

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        if not self.disable:
            self.postfix = ", ".join(number_texts(self.values()))
            # tqdm's own refresh does not release its lock if the stream fails
            with self.get_lock():  # type: ignore[no-untyped-call]
                super().refresh(nolock=True)

    def close(self) -> None:
        with suppress(OSError):  # a broken stream shows no bar to close
            super().close()


def can_draw(stream: TextIO) -> bool:
    """Whether a stream shows bars; a terminal without a size, as in a container, does not."""
    if _IN_NOTEBOOK or not stream.isatty():
        return _IN_NOTEBOOK
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:  # no file descriptor: trust isatty
        return True


def number_texts(values: Mapping[str, Any]) -> list[str]:
    """Texts like `loss=0.123`; values that are not numbers, and meta tensors, are left out."""
    numbers = {name: _number(value) for name, value in values.items()}
    return [f"{name}={number:.4g}" for name, number in numbers.items() if number is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return float(value.item())
    return float(value) if isinstance(value, Real) else None

"""A bar that reads what it shows only when it is drawn."""

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


class Bar(tqdm.auto.tqdm):  # type: ignore[type-arg]  # generic for type checkers only
    """A bar that asks for its values when it is drawn, and only then."""

    monitor_interval = 0  # no thread of its own: it would read tensors while the training runs

    def __init__(self, values: Values, **options: Any) -> None:
        self.values = values
        try:
            # miniters=1 looks at the clock each time, so that batches may become slow unwatched
            super().__init__(miniters=1, dynamic_ncols=True, **options)
        except BaseException:
            self.disable = True
            self._instances.discard(self)  # type: ignore[attr-defined]
            raise

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        if not self.disable:
            self.postfix = ", ".join(texts(self.values()))
            # tqdm's own refresh keeps its lock when the stream fails
            with self.get_lock():  # type: ignore[no-untyped-call]
                super().refresh(nolock=True)

    def close(self) -> None:
        with suppress(OSError):  # a stream that has failed shows no bar that could be left open
            super().close()


def can_draw(stream: TextIO) -> bool:
    """Whether bars can be seen there; a terminal without a size, as of a container, shows none."""
    if _IN_NOTEBOOK or not stream.isatty():
        return _IN_NOTEBOOK
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:  # it has no file descriptor: take its word
        return True


def texts(values: Mapping[str, Any]) -> list[str]:
    """`loss=0.123`; what is no number, or has no value to be read, is left out."""
    numbers = {name: _number(value) for name, value in values.items()}
    return [f"{name}={number:.4g}" for name, number in numbers.items() if number is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return float(value.item())
    return float(value) if isinstance(value, Real) else None

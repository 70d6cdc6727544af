"""A progress bar that reads its values only when it is drawn.

The only file that uses tqdm, and parts of it that are private or not documented.
`tests/handlers/logging/test_tqdm_bar.py` names the part that a new version of tqdm has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any, TextIO

import torch
import tqdm.asyncio
import tqdm.auto

Values = Callable[[], Mapping[str, Any]]

_IN_NOTEBOOK = tqdm.auto.tqdm is not tqdm.asyncio.tqdm
_LEAST_CELLS = 10
_FULL = "{l_bar}{bar}{r_bar}"
_SHORT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{remaining}{postfix}]"
_BARE = "{l_bar}{bar}| {n_fmt}/{total_fmt}"


class LazyBar(tqdm.auto.tqdm):  # type: ignore[type-arg]  # generic for type checkers only
    """A bar that calls `values()` when it is drawn, and only then.

    In a narrow terminal it keeps ten cells: values are left out from the right, then the rate.

    Attributes:
        kept: name of the value that is left out last.
    """

    monitor_interval = 0  # no monitor thread: it would read tensors while training runs

    def __init__(self, values: Values, kept: str = "", **options: Any) -> None:
        self.values = values
        self.kept = kept
        try:
            # miniters=1 checks the time at each update: a bar stays current if batches become slow
            super().__init__(miniters=1, dynamic_ncols=True, **options)
        except BaseException:
            with suppress(OSError, AttributeError):  # interrupted while it was drawn
                self.leave = False
                super().close()
            self.disable = True
            self._instances.discard(self)  # type: ignore[attr-defined]
            raise

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        if not self.disable:
            shape, texts = self._fitting(number_texts(self.values()))
            self.postfix = ", ".join(texts)
            self.bar_format = shape if self.total else None
            # tqdm's own refresh does not release its lock if the stream fails
            with self.get_lock():  # type: ignore[no-untyped-call]
                super().refresh(nolock=True)

    def _fitting(self, texts: list[str]) -> tuple[str, list[str]]:
        """The format, and as many of the texts as leave ten cells for the bar."""
        options = self.format_dict
        columns = None if _IN_NOTEBOOK else options["ncols"]
        if columns is None:
            return _FULL, texts
        for shape, least in ((_FULL, min(1, len(texts))), (_SHORT, 0)):
            for fewer in _ever_fewer(texts, self.kept, least):
                drawn = {"bar_format": shape.replace("{bar}", ""), "postfix": ", ".join(fewer)}
                beside = self.format_meter(**{**options, **drawn, "ncols": None})
                if len(beside) + _LEAST_CELLS <= columns:
                    return shape, fewer
        return _BARE, []

    def close(self) -> None:
        with suppress(OSError):  # a broken stream shows no bar to close
            super().close()


def can_draw(stream: TextIO) -> bool:
    """Whether a stream shows bars; a terminal without a size, as in a container, does not, and
    neither does one that cannot move its cursor."""
    if _IN_NOTEBOOK or not stream.isatty():
        return _IN_NOTEBOOK
    if os.environ.get("TERM") == "dumb":
        return False
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except OSError:  # no file descriptor: trust isatty
        return True


def write_above(text: str, stream: TextIO) -> None:
    """Write a line above all bars."""
    LazyBar.write(text, file=stream)


def _ever_fewer(texts: list[str], kept: str, least: int) -> Iterator[list[str]]:
    """The texts, then without the one at the right, and so on; that of `kept` goes last."""
    texts = list(texts)
    yield list(texts)
    while len(texts) > least:
        others = [i for i, text in enumerate(texts) if text.partition("=")[0] != kept]
        del texts[others[-1] if others else 0]
        yield list(texts)


def number_texts(values: Mapping[str, Any]) -> list[str]:
    """Texts like `loss=0.123`; values that are not numbers, and meta tensors, are left out."""
    numbers = {name: _number(value) for name, value in values.items()}
    return [f"{name}={number:.4g}" for name, number in numbers.items() if number is not None]


def _number(value: Any) -> float | None:
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        return float(value.item())
    return float(value) if isinstance(value, Real) else None

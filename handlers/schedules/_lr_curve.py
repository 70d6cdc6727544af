"""The loss over a growing learning rate, and what it suggests."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MIN_LOSSES = 5


@dataclass(frozen=True, repr=False)
class LRCurve:
    """The result of a learning-rate range test.

    Attributes:
        rates: the learning rate of each step.
        losses: the smoothed loss of each step.
    """

    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def __repr__(self) -> str:
        suggested = [f", {name} {rate:.2g}" for name, rate in self._suggestions()]
        return f"LRCurve({len(self.rates)} steps{''.join(suggested)})"

    @property
    def valley(self) -> float:
        """The rate in the middle of the longest descent of the loss, with bumps ignored.

        Raises:
            ValueError: the loss never fell, or there are too few losses.
        """
        rates, losses = self._trimmed()
        length = [1] * len(losses)
        for i, loss in enumerate(losses):
            longest = max((length[j] for j in range(i) if losses[j] > loss), default=0)
            length[i] = longest + 1
        last = max(range(len(losses)), key=length.__getitem__)
        return rates[last - length[last] // 2]

    @property
    def steepest(self) -> float:
        """The rate in the middle of the tenth of the test where the loss falls fastest.

        Raises:
            ValueError: the loss never fell, or there are too few losses.
        """
        rates, losses = self._trimmed()
        width = max(1, len(losses) // 10)  # between two single steps noise is larger than the fall
        falls = [losses[i] - losses[i + width] for i in range(len(losses) - width)]
        return rates[max(range(len(falls)), key=falls.__getitem__) + width // 2]

    def plot(self, path: str | Path | None = None) -> Figure:
        """Draw the loss over the rates, with the suggested rates.

        Args:
            path: where to save the figure; its suffix selects the format. None: do not save.

        Raises:
            ImportError: matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure  # noqa: PLC0415  # an extra
        except ImportError as error:
            raise ImportError(
                "LRCurve.plot needs matplotlib: pip install 'trackside[plot]'"
            ) from error
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(self.rates, self.losses)
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
        for name, rate in self._suggestions():
            loss = self.losses[self.rates.index(rate)]
            axes.plot([rate], [loss], marker="o", linestyle="", label=f"{name}: {rate:.2g}")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def _trimmed(self) -> tuple[list[float], list[float]]:
        """Rates and losses without the start (mean of few values) and the end (it explodes)."""
        count = len(self.losses)
        kept = slice(count // 10, count - max(1, count // 20))
        rates, losses = self.rates[kept], self.losses[kept]
        if len(losses) < _MIN_LOSSES:
            raise ValueError(
                f"no rate to suggest from {count} losses: the test ended too soon; start it "
                "with a smaller rate"
            )
        if all(a <= b for a, b in pairwise(losses)):
            raise ValueError(
                f"no rate to suggest: the loss never fell, from {rates[0]:.2g} to {rates[-1]:.2g}"
            )
        return rates, losses

    def _suggestions(self) -> list[tuple[str, float]]:
        try:
            return [("valley", self.valley), ("steepest", self.steepest)]
        except ValueError:
            return []

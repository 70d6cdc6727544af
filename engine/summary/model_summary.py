"""The layers of a model with their sizes, as text and as a table for notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from ...events.utils.byte_size import format_bytes

_HEADS = ("layer", "output", "parameters")


@dataclass(frozen=True)
class Layer:
    """A module of a model."""

    name: str
    """Its path in the model; that of the model itself is its name among several, or empty."""
    kind: str
    """Its class."""
    depth: int
    """0 for the model itself."""
    output: str
    """The shape of its output, or what it consists of; empty if it was not called."""
    parameters: int
    """Numbers in its parameters and those of the modules inside it; shared ones count once."""
    trained: int
    """Those of them that require a gradient."""


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """Layers, parameters and memory of a model, shown as a table."""

    layers: tuple[Layer, ...]
    """The model and the modules inside it, in the order of `named_modules`."""
    parameters: int
    trained: int
    memory: dict[str, int]
    """Bytes of `weights`, `buffers`, `gradients` (of trained parameters), `optimizer` (what it
    holds now), and `outputs` (of all layers without layers inside, where a batch was given)."""

    def __str__(self) -> str:
        rows = [_HEADS, *(_cells(layer) for layer in self.layers)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
        lines = [
            f"{name:<{widths[0]}}  {output:<{widths[1]}}  {count:>{widths[2]}}".rstrip()
            for name, output, count in rows
        ]
        return "\n".join([*lines, "", *self._totals()])

    __repr__ = __str__  # what a prompt shows of `trainer.summary()`

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(text)}</th>" for text in _HEADS)
        rows = "".join(
            f'<tr><td style="text-align: left; white-space: pre">{escape(name)}</td>'
            f"<td>{escape(output)}</td><td>{escape(count)}</td></tr>"
            for name, output, count in map(_cells, self.layers)
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        totals = "<br>".join(map(escape, self._totals()))
        return f'<div style="overflow-x: auto">{table}<p>{totals}</p></div>'

    def _totals(self) -> Iterator[str]:
        frozen = self.parameters - self.trained
        yield f"{self.parameters:,} parameters: {self.trained:,} trained, {frozen:,} frozen"
        sizes = [f"{name} {format_bytes(size)}" for name, size in self.memory.items() if size]
        yield f"memory: {', '.join(sizes) or 'none'}"


def _cells(layer: Layer) -> tuple[str, str, str]:
    own = layer.name.rpartition(".")[2]
    label = f"{'  ' * layer.depth}{f'{own}: ' if own else ''}{layer.kind}"
    frozen = " frozen" if layer.parameters and not layer.trained else ""
    return label, layer.output, f"{layer.parameters:,}{frozen}" if layer.parameters else ""

"""Join the outputs that a model has returned for the batches of a prediction."""

from __future__ import annotations

import contextlib
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...events.utils.exception_text import add_note
from ...events.utils.nested import (
    SEQUENCES,
    children,
    is_named_tuple,
    leaves,
    map_nested,
    with_children,
)
from .device_transfer import Movable

Join = Literal["auto", "concatenate", "batches", "examples"]
"""How `predict` joins outputs; see `join_outputs`."""

_CHOICES = get_args(Join)
_ADVICE = (
    '; returned is the list of the outputs of each batch. Say what is meant: join="batches" for '
    'that list, "examples" for a list with one output per example, "concatenate" to concatenate '
    "along the first dimension in any case"
)

Column = Sequence[Any]
"""The same part of the outputs of all batches."""


class _NotJoined(Exception):
    """Says which part of the outputs cannot be joined, and why."""


def check_join(join: str) -> None:
    """Refuse any other value of `predict(join=…)`.

    Raises:
        ValueError: names those that are allowed.
    """
    if join not in _CHOICES:
        allowed = ", ".join(map(repr, _CHOICES))
        raise ValueError(f"predict(join={join!r}): allowed: {allowed}")


def keep_outputs(error: Exception, outputs: list[Any]) -> None:
    """Give the error of a prediction the outputs that were computed before it, and say so."""
    if not outputs:
        return
    with contextlib.suppress(Exception):  # some exceptions take no attribute
        error.outputs = outputs  # type: ignore[attr-defined]
        text = f"trackside: the outputs of the {len(outputs)} batches before it are in `outputs`"
        add_note(error, f"{text} of this error")


def on_host(output: Any) -> Any:
    """Copy every tensor in `output` to the CPU, and wait for it; bfloat16 becomes float32.

    NumPy has no bfloat16; float32 has all of its values. A meta tensor has no value to copy. What
    has a method `to` of its own is copied by it.
    """
    return map_nested(_part_on_host, output, only=(Tensor, Movable))


def join_outputs(outputs: Sequence[Any], sizes: Sequence[int], join: Join) -> Any:
    """Join the outputs of several batches, containers kept.

    - "auto": tensors whose first dimension is that of the examples are concatenated. A list with
      one entry per example, such as the detections of each image, becomes one list of all examples;
      a tuple does, too, unless its entries may be several outputs of the model. What is one value
      per batch becomes a tensor, or a list, with one value per batch.
    - "concatenate": the same, and tensors of any first dimension.
    - "batches": the list of the outputs of each batch.
    - "examples": a list with the output of each example; what is one value per batch is repeated.

    Where a part cannot be joined, or "auto" cannot know how, the result is that of "batches", with
    a warning that names the part: nothing of what was computed is lost.

    Args:
        sizes: the number of examples of each batch.
    """
    if join == "batches":
        return list(outputs)
    steps = _PerExample(sizes) if join == "examples" else _Concatenated(sizes, join == "auto")
    try:
        return steps.joined("pred", outputs)
    except Exception as error:  # torch refuses some layouts, and sizes that the memory has not
        why = error if isinstance(error, _NotJoined) else f"{type(error).__name__}: {error}"
        warnings.warn(f"predict(join={join!r}): {why}{_ADVICE}", stacklevel=3)
        return list(outputs)


class _Joining(ABC):
    """Joins outputs part by part; base of the ways to do it.

    Args:
        sizes: the number of examples of each batch.
        careful: refuse what could be meant in two ways.
    """

    def __init__(self, sizes: Sequence[int], careful: bool) -> None:
        self.sizes = sizes
        self._careful = careful

    def joined(self, where: str, column: Column) -> Any:
        """Join one part of the outputs; `where` is what a message calls it."""
        if self._is_per_example(where, column):
            return [entry for part in column for entry in part]
        if children(column[0]) is None:
            return self._leaves(where, column)
        names = _names(column[0])
        if any(type(part) is not type(column[0]) or _names(part) != names for part in column):
            raise _NotJoined(f"{where} has not the same parts in every batch")
        columns = zip(*map(_children, column), strict=True)
        parts = [self.joined(where + name, part) for name, part in zip(names, columns, strict=True)]
        return self._container(column[0], parts)

    @abstractmethod
    def _leaves(self, where: str, column: Column) -> Any:
        """Join parts that are no containers."""

    @abstractmethod
    def _container(self, like: Any, parts: list[Any]) -> Any:
        """What holds the joined parts."""

    def _is_per_example(self, where: str, column: Column) -> bool:
        """Whether each part is a list or tuple with one entry per example."""
        if not all(map(_is_plain_sequence, column)) or [*map(len, column)] != [*self.sizes]:
            return False
        if not self._may_be_outputs(column):
            return True
        if isinstance(column[0], tuple):
            return False
        if all(_has_names(entry) for part in column for entry in part):
            return True
        if self._careful:
            raise _NotJoined(
                f"{where} is a list of {len(column[0])}, as many as the batch has examples: it may "
                "have one entry per example, or be several outputs"
            )
        return self._in_doubt

    _in_doubt = False

    def _may_be_outputs(self, column: Column) -> bool:
        """Whether each entry of the lists may be an output for all examples."""
        if len({*map(len, column)}) > 1:
            return False
        tensors = [[*leaves(part, Tensor)] for part in column]
        return any(tensors) and all(
            tensor.dim() > 0 and len(tensor) == size
            for found, size in zip(tensors, self.sizes, strict=True)
            for tensor in found
        )


class _Concatenated(_Joining):
    """Concatenates along the first dimension."""

    def _container(self, like: Any, parts: list[Any]) -> Any:
        return with_children(like, parts)

    def _leaves(self, where: str, column: Column) -> Any:
        arrays = _arrays(column)
        if arrays is None:
            return None if all(part is None for part in column) else list(column)
        if all(array.dim() == 0 for array in arrays):
            return _like(torch.stack(arrays), column)
        self._check(where, arrays)
        return _like(torch.cat(arrays), column)

    def _check(self, where: str, arrays: list[Tensor]) -> None:
        shapes = ", ".join(str(tuple(shape)) for shape in dict.fromkeys(a.shape for a in arrays))
        if len({array.shape[1:] for array in arrays}) > 1:
            raise _NotJoined(f"{where} has different shapes in different batches: {shapes}")
        if self._careful and [len(array) for array in arrays] != [*self.sizes]:
            sizes = ", ".join(map(str, dict.fromkeys(self.sizes)))
            raise _NotJoined(
                f"the first dimension of {where} {shapes} is not that of the examples ({sizes})"
            )


class _PerExample(_Joining):
    """Makes a list with one entry per example, of every part."""

    _in_doubt = True

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__(sizes, careful=False)

    def _container(self, like: Any, parts: list[Any]) -> Any:
        return [with_children(like, [part[n] for part in parts]) for n in range(sum(self.sizes))]

    def _leaves(self, where: str, column: Column) -> Any:
        entries: list[Any] = []
        for part, size in zip(column, self.sizes, strict=True):
            if len(getattr(part, "shape", ())) == 0:
                entries += [part] * size
            elif len(part) == size:
                entries += list(part)
            else:
                raise _NotJoined(
                    f"the first dimension of {where} {tuple(part.shape)} is not that of the "
                    f"examples ({size})"
                )
        return entries


def _arrays(column: Column) -> list[Tensor] | None:
    """The tensors, or NumPy's arrays as tensors; None if there are others."""
    numpy = sys.modules.get("numpy")
    kinds = Tensor if numpy is None else (Tensor, numpy.ndarray)
    if not all(isinstance(part, kinds) for part in column):
        return None
    return [part if isinstance(part, Tensor) else torch.as_tensor(part) for part in column]


def _like(joined: Tensor, column: Column) -> Any:
    return joined if any(isinstance(part, Tensor) for part in column) else joined.numpy()


def _part_on_host(part: Any) -> Any:
    if isinstance(part, Tensor):
        return _tensor_on_host(part)
    moved = part.to(torch.device("cpu"))
    return part if moved is None else moved


def _tensor_on_host(tensor: Tensor) -> Tensor:
    if tensor.is_meta:
        return tensor
    copied = tensor.detach().to("cpu")  # not non_blocking: its values would be read too early
    return copied.float() if copied.dtype is torch.bfloat16 else copied


def _names(container: Any) -> list[str]:
    """What the parts of a container are called in a message."""
    if isinstance(container, Mapping):
        return [f"[{key!r}]" for key in container]
    return [f"[{number}]" for number in range(len(_children(container)))]


def _children(container: Any) -> list[Any]:
    return children(container) or []


def _is_plain_sequence(value: Any) -> bool:
    return isinstance(value, SEQUENCES) and not is_named_tuple(value)


def _has_names(value: Any) -> bool:
    """Whether the parts of a value have names: as an entry of a list it describes one example."""
    return not isinstance(value, SEQUENCES) and children(value) is not None

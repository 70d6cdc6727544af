"""Read the tensors of which every rank has written some rows; each file is checked before.

The names of the files are made from the numbers of the ranks, never read. Nothing is unpickled.

    shards.json              for each tensor its place in the state dict, dtype, shape, rows by rank
    shard-00000.safetensors  the rows of rank 0
"""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..fit_state.sharded_tensors import StoredTensor, put
from .manifest import DamagedError
from .safetensors_writer import DTYPES

LAYOUT_FILE = "shards.json"
LAYOUT_FORMAT = 1
_MAX_BYTES = 1 << 28
_MAX_NUMBER = 1 << 53
_DTYPES = {name: dtype for dtype, name in DTYPES.items()}


class _Piece(NamedTuple):
    """Rows of a tensor in a file, from `first` to before `last`, beginning at byte `offset`."""

    file: Path
    offset: int
    first: int
    last: int


def shard_file(rank: int) -> str:
    """The name of the file with the rows of a rank."""
    return f"shard-{rank:05}.safetensors"


def with_stored_tensors(
    state: dict[str, Any], folder: Path, listed: Collection[str]
) -> dict[str, Any]:
    """The state dict of a checkpoint with a `StoredTensor` in each place that was left for one.

    Args:
        listed: the names of the files that were checked; others are not read.

    Raises:
        Exception: the files are not those of a checkpoint of several ranks.
    """
    if LAYOUT_FILE not in listed:
        return state
    layout = json.loads(_read_bounded(folder / LAYOUT_FILE))
    if layout["format"] != LAYOUT_FORMAT:
        raise ValueError(f"{LAYOUT_FILE} has the format {layout['format']!r}")
    tensors: dict[str, dict[str, Any]] = layout["tensors"]
    files = [folder / shard_file(rank) for rank in range(_number(layout["ranks"], 1 << 16))]
    if missing := [file.name for file in files if file.name not in listed]:
        raise ValueError(f"the manifest does not list {missing[0]}")
    headers = [_header(file, tensors.keys()) for file in files]
    for name, tensor in tensors.items():
        stored = _stored(name, tensor, [header[name] for header in headers], files)
        state = _placed(state, list(tensor["path"]), stored)
    return state


def _placed(state: dict[str, Any], path: list[Any], stored: StoredTensor) -> dict[str, Any]:
    """`state` with a stored tensor; also in the handlers that a rank has saved of its own."""
    state = put(state, path, stored)
    if path[0] != "handlers" or "ranks" not in state:
        return state
    own = [path[1] in rank["handlers"] for rank in state["ranks"]]
    ranks = [
        put(rank, path, stored) if has else rank
        for has, rank in zip(own, state["ranks"], strict=True)
    ]
    return {**state, "ranks": ranks}


def _stored(
    name: str, tensor: Mapping[str, Any], parts: list[Mapping[str, Any]], files: list[Path]
) -> StoredTensor:
    shape = [_number(size) for size in tensor["shape"]]
    dtype = _DTYPES[tensor["dtype"]]
    width = math.prod(shape[1:]) * dtype.itemsize
    pieces, end = [], 0
    for file, (first, last), part in zip(files, tensor["rows"], parts, strict=True):
        if _number(first) != end or _number(last) < first:
            raise ValueError(f"the rows of {name} in {file.name} do not begin where others end")
        if (part["dtype"], part["shape"]) != (tensor["dtype"], [last - first, *shape[1:]]):
            raise ValueError(f"{file.name} has other rows of {name} than {LAYOUT_FILE} says")
        pieces.append(_Piece(file, part["offset"], first, last))
        end = last
    if end != shape[0]:
        raise ValueError(f"{name} has {shape[0]} rows, and the files have {end}")
    return StoredTensor(shape, dtype, _RowReader(pieces, shape[1:], dtype, width))


class _RowReader:
    """Reads rows from the files that have them."""

    def __init__(
        self, pieces: list[_Piece], row: list[int], dtype: torch.dtype, width: int
    ) -> None:
        self._pieces = pieces
        self._row = row
        self._dtype = dtype
        self._width = width

    def __call__(self, first: int, last: int) -> Tensor:
        result = torch.empty((last - first, *self._row), dtype=self._dtype)
        size = result.numel() * result.element_size()
        if size:
            memory = memoryview((ctypes.c_char * size).from_address(result.data_ptr())).cast("B")
            for piece in self._pieces:
                self._fill(memory, piece, first, last)
        return result

    def _fill(self, memory: memoryview, piece: _Piece, first: int, last: int) -> None:
        begin, end = max(first, piece.first), min(last, piece.last)
        if begin >= end:
            return
        target = memory[(begin - first) * self._width : (end - first) * self._width]
        with piece.file.open("rb", buffering=0) as file:
            file.seek(piece.offset + (begin - piece.first) * self._width)
            while target:
                if not (count := file.readinto(target)):
                    raise DamagedError(f"{piece.file.parent}: {piece.file.name} has become shorter")
                target = target[count:]


def _header(file: Path, names: Any) -> dict[str, dict[str, Any]]:
    """What a file has, by name: dtype, shape, and the `offset` of its first byte in the file.

    Raises:
        Exception: it has other names; its tensors overlap, or leave bytes unused.
    """
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not length <= min(size - 8, _MAX_BYTES):
            raise ValueError(f"{file.name} has a header of {length} bytes")
        header = json.loads(opened.read(length))
    header.pop("__metadata__", None)
    if header.keys() != names:
        raise ValueError(f"{file.name} has other tensors than {LAYOUT_FILE} says")
    end, begun = 0, 8 + length
    for name in sorted(header, key=lambda name: header[name]["data_offsets"]):
        part = header[name]
        first, last = map(_number, part["data_offsets"])
        count = math.prod(_number(number) for number in part["shape"])
        if first != end or last - first != count * _DTYPES[part["dtype"]].itemsize:
            raise ValueError(f"{file.name} has wrong offsets of {name}")
        part["offset"], end = begun + first, last
    if begun + end != size:
        raise ValueError(f"{file.name} has {size} bytes, and its header describes {begun + end}")
    return dict(header)


def _number(value: Any, most: int = _MAX_NUMBER) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(f"{value!r} is no size, row or offset")
    return value


def _read_bounded(file: Path) -> bytes:
    if file.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{file.name} has more than {_MAX_BYTES} bytes")
    return file.read_bytes()

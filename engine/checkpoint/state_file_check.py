"""Check a `state.pt` before torch reads it: nothing in it may ask for more memory than it has.

`torch.load(weights_only=True)` runs no code, but calls what makes tensors, storages and buffers
with the sizes that the file names, and unpacks compressed records: some hundred bytes could ask for
gigabytes. This reads the same pickle with functions that only look at the sizes.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch

from .. import torch_internals

_MAX_DEPTH = 64
_FREE_BYTES = 1 << 28
_FREE_PARTS = 1 << 20
_OPCODES = (
    pickle.PROTO + pickle.STOP + pickle.MARK + pickle.GLOBAL + pickle.REDUCE + pickle.BINPERSID
    + pickle.NONE + pickle.NEWTRUE + pickle.NEWFALSE + pickle.BINFLOAT + pickle.BINUNICODE
    + pickle.BININT + pickle.BININT1 + pickle.BININT2 + pickle.LONG1 + pickle.LONG4
    + pickle.EMPTY_LIST + pickle.APPEND + pickle.APPENDS + pickle.EMPTY_DICT + pickle.SETITEM
    + pickle.SETITEMS + pickle.EMPTY_TUPLE + pickle.TUPLE + pickle.TUPLE1 + pickle.TUPLE2
    + pickle.TUPLE3 + pickle.BINPUT + pickle.LONG_BINPUT + pickle.BINGET + pickle.LONG_BINGET
)  # fmt: skip
"""Those that torch.save writes for plain data."""
_ITEM_BYTES = {
    "UntypedStorage": 1,
    **dict.fromkeys(("ComplexDoubleStorage",), 16),
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage", "QInt32Storage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("CharStorage", "ByteStorage", "BoolStorage"), 1),
    **dict.fromkeys(("QInt8Storage", "QUInt8Storage", "QUInt4x2Storage", "QUInt2x4Storage"), 1),
}
"""Bytes of an element by the name of its storage."""


def check_state_file(path: Path) -> None:
    """Check that reading a file needs little more memory than its size.

    Raises:
        Exception: it is not a file that `torch.save` has written, of plain data.
    """
    with zipfile.ZipFile(path) as archive:
        records = _records(archive, path.stat().st_size)
        (name,) = (name for name in records if name.endswith("/data.pkl"))
        content = archive.read(name)
    root = name.removesuffix("data.pkl")
    sizes = {name.removeprefix(root): size for name, size in records.items()}
    checking = _CheckingUnpickler(io.BytesIO(content), sizes, sum(sizes.values()))
    _count_parts(checking.load(), _FREE_PARTS + 10 * len(content), {}, 0)


def _records(archive: zipfile.ZipFile, size: int) -> dict[str, int]:
    entries = archive.infolist()
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("a record is compressed")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its records are longer than the file")
    return {entry.filename: entry.file_size for entry in entries}


class _Storage(NamedTuple):
    itemsize: int


class _CheckingUnpickler(pickle._Unpickler):
    """Makes the plain data, and None for each tensor."""

    dispatch: ClassVar[dict[int, Callable[[pickle.Unpickler], None]]] = {
        code: load for code, load in pickle._Unpickler.dispatch.items() if code in _OPCODES
    }

    def __init__(self, file: io.BytesIO, sizes: Mapping[str, int], total: int) -> None:
        super().__init__(file)
        self._sizes = sizes
        self._free = total + _FREE_BYTES
        self._functions: dict[str, Callable[..., Any]] = {
            "_codecs.encode": _encode,
            "collections.OrderedDict": dict,
            "torch.Size": tuple,
            "torch.serialization._get_layout": str,
            torch_internals.REBUILD_PARAMETER: _no_tensor,
            torch_internals.REBUILD_QTENSOR: self._check_tensor,
            torch_internals.REBUILD_SPARSE_TENSOR: _no_tensor,
            **dict.fromkeys(torch_internals.REBUILD_TENSOR, self._check_tensor),
        }

    def find_class(self, module: str, name: str) -> Any:
        if function := self._functions.get(f"{module}.{name}"):
            return function
        found = getattr(torch, name, None) if module in ("torch", "torch.storage") else None
        if isinstance(found, (torch.dtype, torch.qscheme)):
            return found
        if found is not None and name in _ITEM_BYTES:
            return _Storage(_ITEM_BYTES[name])
        raise ValueError(f"{module}.{name} is not plain data")

    def persistent_load(self, identity: Any) -> _Storage:
        _, storage, key, _, count = identity
        if count * storage.itemsize != self._sizes[f"data/{key}"]:
            raise ValueError(f"storage {key} has another size than its record")
        return _Storage(storage.itemsize)

    def _check_tensor(
        self, storage: _Storage, offset: int, size: tuple[int, ...], stride: Any, *rest: Any
    ) -> None:
        dtypes = [part.itemsize for part in rest if isinstance(part, torch.dtype)]
        self._free -= math.prod(size) * max(storage.itemsize, *dtypes, 0)
        if self._free < 0:
            raise ValueError("its tensors are larger than the file")


def _no_tensor(*arguments: Any) -> None:
    """In place of a tensor whose parts are tensors, and checked."""


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise ValueError(f"bytes are encoded as {encoding}")
    return text.encode("latin1")


def _count_parts(value: Any, most: int, known: dict[int, int], depth: int) -> int:
    """The number of parts of nested data, each counted as often as it is referred to."""
    if not isinstance(value, (dict, list, tuple)):
        return 1
    if id(value) not in known:
        if depth == _MAX_DEPTH:
            raise ValueError("it is nested too deep")
        parts = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_parts(part, most, known, depth + 1) for part in parts)
        if known[id(value)] > most:
            raise ValueError("it refers too often to its own parts")
    return known[id(value)]

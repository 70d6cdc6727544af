"""Weights as `safetensors`: names, shapes and numbers, and no code.

The library reads; it is written here, because the library's writer does not hash on the way, and
takes a second copy of the weights to give its bytes to another one. The format: the length of the
header, 8 bytes, little-endian; the header, JSON; the elements.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .tensor_snapshot import same_elements

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def fits(value: Any) -> bool:
    """Whether such a file can hold it; sparse and complex tensors, say, it cannot."""
    return isinstance(value, Tensor) and value.layout is torch.strided and value.dtype in _DTYPES


def tied(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names of tensors that are another one's, and the name of that: tied weights."""
    first: dict[Any, str] = {}
    owners = {name: first.setdefault(same_elements(t), name) for name, t in tensors.items()}
    return {name: owner for name, owner in owners.items() if name != owner}


def write_weights(file: IO[bytes], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors that `fits` and that are on the CPU."""
    wide_first = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in wide_first:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in wide_first:
        _write_elements(file, tensor.contiguous())


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of such a file by name, on the CPU.

    Raises:
        SafetensorError: it is no such file.
    """
    return load_file(path)


def _write_elements(file: IO[bytes], tensor: Tensor) -> None:
    size = tensor.numel() * tensor.element_size()
    if size:
        file.write(memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B"))

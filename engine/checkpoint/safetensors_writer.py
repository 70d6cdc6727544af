"""Weights as `safetensors`: names, shapes and numbers, and no code.

Files are read with the library, but written here: the library's writer cannot hash while it writes,
and needs a second copy of the weights to pass its bytes on. The format: the length of the header,
8 bytes, little-endian; the header, JSON; the elements.
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

from .tensor_snapshot import elements_key

DTYPES = {
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
"""The dtypes that the format can store, by their names there."""


def is_supported(value: Any) -> bool:
    """Whether the format can store `value`; not, for example, sparse or complex tensors."""
    return isinstance(value, Tensor) and value.layout is torch.strided and value.dtype in DTYPES


def tied_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Tied weights: the name of each duplicate, mapped to the name that is stored."""
    first: dict[Any, str] = {}
    owners = {name: first.setdefault(elements_key(t), name) for name, t in tensors.items()}
    return {name: owner for name, owner in owners.items() if name != owner}


def write_weights(file: IO[bytes], tensors: Mapping[str, Tensor]) -> None:
    """Write tensors for which `is_supported` is true and that are on the CPU."""
    wide_first = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in wide_first:
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, tensor in wide_first:
        _write_elements(file, tensor.contiguous())


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    Raises:
        SafetensorError: the file is not in this format.
    """
    return load_file(path)


def _write_elements(file: IO[bytes], tensor: Tensor) -> None:
    size = tensor.numel() * tensor.element_size()
    if size:
        file.write(memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B"))

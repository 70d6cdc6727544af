"""How a worker sends the tensors of its batches: small ones by value, others in shared memory."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch
from torch import Tensor

from ..torch_internals import share_tensor

_SMALL = 512 * 1024
"""Bytes. Memory is shared by a file that is opened, sent over a socket after a handshake and
mapped: half a millisecond or more of two processes for each tensor; to copy this much takes less.
"""


def send_small_tensors_by_value() -> None:
    """Have this process, a worker, send by value what is small, and has no memory but its own."""
    ForkingPickler.register(Tensor, _reduced)


def _reduced(tensor: Tensor) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    if not (_is_plain(tensor) and 0 < tensor.nbytes <= _SMALL):
        return share_tensor(tensor)
    data = ctypes.string_at(tensor.data_ptr(), tensor.nbytes)
    return _rebuilt, (data, tensor.dtype, tuple(tensor.shape))


def _is_plain(tensor: Tensor) -> bool:
    """Whether its bytes are all there is of it: no view, no history, no other layout or device."""
    return (
        tensor.layout is torch.strided
        and tensor.device.type == "cpu"
        and not (tensor.requires_grad or tensor.is_quantized or tensor.is_nested)
        and not (tensor.is_conj() or tensor.is_neg())
        and tensor.is_contiguous()
        and tensor.untyped_storage().nbytes() == tensor.nbytes
    )


def _rebuilt(data: bytes, dtype: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    tensor = torch.empty(shape, dtype=dtype, device="cpu")
    ctypes.memmove(tensor.data_ptr(), data, len(data))
    return tensor

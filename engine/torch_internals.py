"""The private parts of torch that the engine uses, each with the reason.

tests/engine/test_torch_internals.py names the part that a new version of torch has removed or
changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

first_dimension: Callable[[Any], int] = torch._C.TensorBase.__len__  # type: ignore[attr-defined]
"""`len(tensor)` without torch's Python function around it; 0 for a tensor without dimensions.

A quarter of the processor's instructions of `tensor.shape[0]`, which every batch would cost.
Raises TypeError for anything that is not a tensor.
"""


def version(tensor: torch.Tensor) -> int:
    """How many times the values of a tensor were changed in place. Cost: no device sync."""
    return tensor._version

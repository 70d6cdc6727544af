"""The private parts of torch that the engine uses, each with the reason.

tests/engine/test_torch_internals.py names the part that a new version of torch has removed or
changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any

import torch
from torch.multiprocessing.reductions import reduce_tensor
from torch.nn.modules.batchnorm import _NormBase
from torch.optim.optimizer import (
    Optimizer,
    _global_optimizer_post_hooks,
    _global_optimizer_pre_hooks,
)
from torch.optim.optimizer import __file__ as _optimizer_file
from torch.utils.data import DataLoader
from torch.utils.data._utils.collate import collate, default_collate_fn_map

BatchOrInstanceNorm = _NormBase
"""Base class of all layers that keep running statistics: batch norm and instance norm."""

COMPILED = "_orig_mod"
"""The name under which `torch.compile` keeps the module that it has wrapped."""

share_tensor: Callable[[torch.Tensor], tuple[Callable[..., Any], tuple[Any, ...]]] = reduce_tensor
"""How torch sends a tensor to another process: it moves it to shared memory, and sends a handle."""

first_dimension: Callable[[Any], int] = torch._C.TensorBase.__len__  # type: ignore[attr-defined]
"""`len(tensor)` without torch's Python function around it; 0 for a tensor without dimensions.

A quarter of the processor's instructions of `tensor.shape[0]`, which every batch would cost.
Raises TypeError for anything that is not a tensor.
"""


set_gradients: Callable[[bool], None] = torch._C._set_grad_enabled
"""`torch.set_grad_enabled(enabled)` without the object that it makes."""

is_profiling: Callable[[], bool] = partial(getattr, torch.autograd.profiler, "_is_profiler_enabled")
"""Whether one of torch's profilers records, in this thread or in another one."""

AROUND_STEP = Optimizer.profile_hook_step(lambda: None).__code__
"""The code of the function that torch puts around the `step` of each class of optimizers.

It announces the step to a profiler, and calls hooks; `__wrapped__` is the `step` of the class.
"""


def as_torch_has_it(zero_grad: Any) -> object:
    """`zero_grad`; what no class has if it is not torch's, but was set before this was imported."""
    function = getattr(zero_grad, "__wrapped__", None)  # torch._disable_dynamo is around it
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    return zero_grad if file == _optimizer_file else object()


ZERO_GRAD = as_torch_has_it(Optimizer.zero_grad)
"""`zero_grad` of every class of optimizers that has none of its own."""

step_hooks: Callable[[Optimizer], tuple[dict[int, Any], dict[int, Any]]] = attrgetter(
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"
)
"""The hooks before and after each step of an optimizer."""

STEP_HOOKS_OF_ALL = (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
"""The hooks before and after each step of every optimizer."""


def version(tensor: torch.Tensor) -> int:
    """How many times the values of a tensor were changed in place. Cost: no device sync."""
    return tensor._version


def own_parameters(module: torch.nn.Module) -> dict[str, torch.nn.Parameter | None]:
    """The live table of the parameters of a module, without those of its parts."""
    return module._parameters


def own_buffers(module: torch.nn.Module) -> dict[str, torch.Tensor | None]:
    """The live table of the buffers of a module, without those of its parts."""
    return module._buffers


def copy_all(targets: list[torch.Tensor], sources: list[torch.Tensor]) -> None:
    """Copy the values of tensors into others of the same shapes, by one call for all of them."""
    if targets:
        with torch.no_grad():
            torch._foreach_copy_(targets, sources)


def second_iterator(loader: DataLoader[Any]) -> Iterator[Any]:
    """An iterator beside the one that a `DataLoader` with persistent workers keeps and resets.

    Its workers end with it.
    """
    batches: Iterator[Any] = loader._get_iterator()
    return batches


def collate_tensors_with(
    join: Callable[[list[torch.Tensor]], torch.Tensor], examples: list[Any]
) -> Any:
    """What `default_collate` makes of `examples`, with another way to join tensors."""
    known = {**default_collate_fn_map, torch.Tensor: lambda batch, **_: join(batch)}
    return collate(examples, collate_fn_map=known)


REBUILD_PARAMETER = "torch._utils._rebuild_parameter"
REBUILD_QTENSOR = "torch._utils._rebuild_qtensor"
REBUILD_SPARSE_TENSOR = "torch._utils._rebuild_sparse_tensor"
REBUILD_TENSOR = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3")
"""Functions that a file of `torch.save` names; `state_file_check` stands in for them."""

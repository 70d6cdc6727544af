"""The private parts of torch that handlers use, in one place.

`tests/handlers/test_torch_internals.py` names the part that a new version of torch has changed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from types import FunctionType
from typing import Any, TypeVar

import torch
from torch import nn
from torch.amp import GradScaler
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ..events.utils.exact_context import exact_context

T = TypeVar("T")

BatchNorm = _BatchNorm
"""Base class of all batch-norm layers, `SyncBatchNorm` included."""

BatchOrInstanceNorm = _NormBase
"""Base class of all layers that keep running statistics: batch norm and instance norm."""

_SHARDING_NOTES = ("_is_fsdp_managed_module", "_fsdp_use_orig_params")
"""Attributes that `fully_shard` sets on every module inside."""

COMPILED_PREFIX = "_orig_mod."
"""What `torch.compile` puts before the names of the parameters of a module."""


def module_buffers(module: nn.Module) -> dict[str, torch.Tensor | None]:
    """The live dict of the buffers of `module`, without those of its submodules."""
    return module._buffers


def version(tensor: torch.Tensor) -> int:
    """How many times the values were changed in place; 0 if that is not counted. No device sync."""
    return 0 if tensor.is_inference() else tensor._version


def uncompiled(model: nn.Module) -> nn.Module:
    """The module that `torch.compile` has wrapped; `model` itself if it is not wrapped."""
    original: nn.Module = getattr(model, "_orig_mod", model)
    return original


def mark_stepped(optimizer: Optimizer) -> None:
    """Prevent the warning of a scheduler that is stepped before the first optimizer step."""
    optimizer._opt_called = True  # type: ignore[attr-defined]


def scale_tensors(tensors: list[torch.Tensor], factor: float | torch.Tensor) -> None:
    """Multiply all tensors by `factor`, a number or a scalar tensor, in place."""
    torch._foreach_mul_(tensors, factor)


def sample_beta(alpha: float, generator: torch.Generator) -> float:
    """A number from Beta(alpha, alpha), from a generator on the CPU.

    `torch.distributions.Beta` takes no generator.
    """
    concentration = torch.full((2,), alpha, dtype=torch.float64, device="cpu")
    return torch._sample_dirichlet(concentration, generator=generator)[0].item()


def scaler_device(scaler: GradScaler) -> str:
    """The type of device that the scaler was made for."""
    return scaler._device


def unscale(scaler: GradScaler, parameters: list[torch.Tensor]) -> bool:
    """Divide the gradients by the scale, and update the scale.

    Returns:
        Whether all gradients are finite. `GradScaler` keeps this to itself, and calls `step` of
        what it takes for the optimizer.
    """
    probe = _StepProbe(parameters)
    scaler.step(probe)  # type: ignore[arg-type]
    scaler.update()
    return probe.stepped


class _StepProbe:
    """Takes the place of the optimizer, and records whether the scaler has called `step`."""

    def __init__(self, parameters: list[torch.Tensor]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": parameters}]
        self.stepped = False

    def step(self) -> None:
        self.stepped = True


def default_store() -> Any:
    """The store of the default process group, through which its ranks have found each other."""
    return torch.distributed.distributed_c10d._get_default_store()


def group_of_this_rank() -> Any:
    """A process group of this rank alone, which the other ranks know nothing of.

    From torch 2.15 on it counts among the groups, whose numbers name those of all ranks: the next
    one would have another name here than on the others, who would wait for this rank.
    """
    world = torch.distributed.distributed_c10d._world
    count = world.group_count
    try:
        ranks = [torch.distributed.get_rank()]
        return torch.distributed.new_group(ranks, use_local_synchronization=True)
    finally:
        world.group_count = count


def reset_of(module: nn.Module) -> Callable[[], object] | None:
    """What gives a module its first weights; that of `nn.MultiheadAttention` is private."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    return reset if callable(reset) else None


@exact_context
def sharding_hidden(model: nn.Module) -> Iterator[None]:
    """What `fully_shard` did to the modules is off in this block, so that they can be copied."""
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415  # slow to import

    before = [(module, type(module), dict(vars(module))) for module in model.modules()]
    try:
        for module, kind, attributes in before:
            if isinstance(module, FSDPModule):
                sharding: Any = module._get_fsdp_state()
                _hide_hook(module, "_forward_pre_hooks", sharding._pre_forward_hook_handle)
                _hide_hook(module, "_forward_hooks", sharding._post_forward_hook_handle)
                module.__class__ = kind.__bases__[1]
            for name in attributes:
                if _is_sharding_note(name):
                    delattr(module, name)
        yield
    finally:
        for module, kind, attributes in before:
            module.__class__ = kind
            vars(module).clear()
            vars(module).update(attributes)


def _hide_hook(module: nn.Module, name: str, handle: Any) -> None:
    hooks = vars(module)[name]
    kept = ((number, hook) for number, hook in hooks.items() if number != handle.id)
    vars(module)[name] = OrderedDict(kept)


def _is_sharding_note(name: str) -> bool:
    return name.startswith("__composable_api_state_key") or name in _SHARDING_NOTES


def group_timeout() -> timedelta:
    """How long a rank waits for another one in the default process group, on the CPU if it can."""
    group: Any = torch.distributed.group.WORLD
    devices = sorted(group._device_types, key=lambda device: device.type != "cpu")
    waited: timedelta = group._get_backend(devices[0]).options._timeout
    return waited


def end_sharding(model: nn.Module) -> None:
    """Undo what `fully_shard` did to a module: its class, its hooks, its notes on the modules.

    The caller puts parameters back in the place of the shards.
    """
    from torch.distributed._composable_state import _module_state_mapping  # noqa: PLC0415  # slow
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415  # slow to import

    for module in model.modules():
        if isinstance(module, FSDPModule):
            sharding: Any = module._get_fsdp_state()
            sharding._pre_forward_hook_handle.remove()
            sharding._post_forward_hook_handle.remove()
            _module_state_mapping.pop(module, None)
            module.__class__ = type(module).__bases__[1]
        for name in list(vars(module)):
            if _is_sharding_note(name):
                delattr(module, name)


def forget_group(model: nn.Module) -> None:
    """Let go of the process group that `fully_shard` keeps: its connections close with it."""
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415  # slow to import

    for module in model.modules():
        if isinstance(module, FSDPModule):
            shards: Any = module._get_fsdp_state()._fsdp_param_group
            if shards is not None:
                shards.mesh_info.shard_process_group = None
                shards.mesh_info.mesh._pg_registry.clear()


def watch_sharding(
    model: nn.Module, waiting: Callable[[str], AbstractContextManager[None]]
) -> None:
    """Call what FSDP2 sends in `waiting("weights")` and `waiting("gradients")`.

    Its own way to give it functions that send, `set_custom_all_gather`, does not say what it would
    call without them.
    """
    from torch.distributed.fsdp import FSDPModule  # noqa: PLC0415  # slow to import

    for module in model.modules():
        shards: Any = None
        if isinstance(module, FSDPModule):
            shards = module._get_fsdp_state()._fsdp_param_group
        if shards is not None:
            gather, reduce = shards._all_gather_comm, shards._reduce_scatter_comm
            shards._all_gather_comm = _Watched(gather, lambda: waiting("weights"))
            shards._reduce_scatter_comm = _Watched(reduce, lambda: waiting("gradients"))


class _Watched:
    """What FSDP2 sends with, called in a context."""

    def __init__(self, send: Any, waiting: Callable[[], AbstractContextManager[None]]) -> None:
        self._send = send
        self._waiting = waiting
        self.allocate = send.allocate

    def __call__(self, *tensors: Any, **options: Any) -> Any:
        with self._waiting():
            return self._send(*tensors, **options)


def call_after_backward(function: Callable[[T], None], value: T) -> None:
    """In a backward pass: call `function(value)` when it has computed all gradients.

    What DistributedDataParallel does then, which is to wait for those of the other ranks, comes
    after it, if this is called before the last gradient is there.
    """
    engine: Any = torch.autograd.Variable._execution_engine
    engine.queue_callback(lambda: function(value))


def arrange_buckets(wrapped: DistributedDataParallel) -> None:
    """Arrange the buckets by the first backward pass, if that is due; all ranks call it together.

    The next forward pass would do it.
    """
    wrapped.reducer._rebuild_buckets()


def send_to(wrapped: DistributedDataParallel, group: Any) -> None:
    """Send the gradients to the ranks of `group` from now on; what else is sent is not changed."""
    wrapped.reducer._update_process_group(group)


def hook_tables(modules: Iterable[nn.Module]) -> list[Mapping[int, Any]]:
    """The live tables of the hooks of `modules`, and of the hooks of all modules."""
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    every = [getattr(nn.modules.module, f"_global{name}") for name in names]
    return every + [getattr(module, name) for module in modules for name in names]


def has_gradient_hook(parameter: torch.Tensor) -> bool:
    """Whether a hook is called with the gradient of `parameter`."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def compiled_with_gradients(function: Callable[..., Any], backend: Any) -> Callable[..., Any]:
    """`function`, which calls `torch.autograd.grad`, compiled as one graph for one set of shapes.

    The first call compiles.

    Raises:
        RuntimeError: a later call would have to compile again.
    """
    own = FunctionType(function.__code__.replace(), function.__globals__)  # a cache of its own
    compiled = torch.compile(own, backend=backend, dynamic=False, fullgraph=True)
    first = [True]

    def call(*args: Any) -> Any:
        if first:
            first.clear()
            with torch._dynamo.config.patch(trace_autograd_ops=True):
                return compiled(*args)
        try:
            return compiled(*args)
        except torch._dynamo.exc.TorchDynamoException as error:  # that setting is off now
            raise RuntimeError(
                "the model, a mode or a context has changed since it was compiled"
            ) from error

    return call

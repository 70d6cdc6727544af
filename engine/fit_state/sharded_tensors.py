"""Tensors of which every rank has some rows (`DTensor`): in a state dict, and loaded again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...events.utils.nested import leaves, map_nested

SHARDS = "shards"
"""The entry of a state dict with what this rank has of the tensors that are missing in the rest."""

_WHOLE_TYPES = (Tensor, torch.nn.Parameter)

Read: TypeAlias = Callable[[int, int], Tensor]


class StoredTensor:
    """A tensor in the files of a checkpoint, of which each rank reads the rows that it needs.

    Args:
        shape: of the whole tensor, with at least one dimension.
        read: returns the rows from a first to before a last one, on the CPU.
    """

    def __init__(self, shape: Iterable[int], dtype: torch.dtype, read: Read) -> None:
        self.shape = torch.Size(shape)
        self.dtype = dtype
        self.read = read

    def whole(self) -> Tensor:
        """All rows."""
        return self.read(0, self.shape[0])


def is_sharded(tensor: Any) -> bool:
    """Whether it is a DTensor, whose module is slow to import."""
    if type(tensor) in _WHOLE_TYPES:
        return False
    return isinstance(tensor, Tensor) and hasattr(tensor, "full_tensor")


def has_rows(tensor: Any) -> bool:
    """Whether every rank has some of the rows of `tensor`, as `fully_shard` leaves them."""
    placements: Any = tensor.placements if is_sharded(tensor) else ()
    return len(placements) == 1 and bool(placements[0].is_shard(0))


def whole(tensor: Any) -> Tensor:
    """The whole tensor; a sharded one is collected: all ranks call it together."""
    if isinstance(tensor, StoredTensor):
        return tensor.whole()
    collected: Tensor = tensor.full_tensor() if is_sharded(tensor) else tensor
    return collected


def whole_tensors(state: Any) -> Any:
    """`state` with all tensors whole; all ranks call it together if some are sharded."""
    return map_nested(whole, state, only=(Tensor, StoredTensor))


def sharded_like(like: Any, tensor: Any) -> Any:
    """`tensor` as `like` is: whole, or with the rows of this rank; all ranks call it together."""
    if not is_sharded(like):
        return whole(tensor)
    if is_sharded(tensor):
        return tensor
    if not has_rows(like):
        from torch.distributed.tensor import distribute_tensor  # noqa: PLC0415  # slow to import

        return distribute_tensor(whole(tensor).to(like.device), like.device_mesh, like.placements)
    if isinstance(tensor, StoredTensor):
        return _with_rows(tensor.read(*rows(like)), tensor.shape, like)
    first, last = rows(like)
    return _with_rows(tensor[first:last].clone(), tensor.shape, like)


def _with_rows(local: Tensor, shape: torch.Size, like: Any) -> Any:
    from torch.distributed.tensor import DTensor  # noqa: PLC0415  # slow to import

    strides = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(
        local.to(like.device), like.device_mesh, like.placements, shape=shape, stride=strides
    )


def rows(tensor: Any) -> tuple[int, int]:
    """The first row that this rank has of a sharded tensor, and the one after its last."""
    return _share(tensor.shape[0], tensor.device_mesh.get_local_rank(), tensor.device_mesh.size())


def _share(count: int, rank: int, ranks: int) -> tuple[int, int]:
    """As `torch.chunk` shares out rows; the last ranks may have fewer, or none."""
    each = -(-count // ranks)
    return min(rank * each, count), min((rank + 1) * each, count)


def split_shards(state: dict[str, Any]) -> dict[str, Any]:
    """A state dict without its sharded tensors, and what this rank has of them in `shards`.

    In the place of such a tensor is None. Each entry of `shards` has a name, and of the tensor the
    `path` of keys in the state dict, the `shape`, the first of the `rows` here and the one after
    their last, and these rows, `local`.
    """
    shards: dict[str, Any] = {}

    def without(value: Any, path: list[Any]) -> Any:
        if has_rows(value):
            name = "/".join(map(str, path))
            while name in shards:  # keys may contain a slash
                name += "'"
            shards[name] = {
                "path": path,
                "shape": list(value.shape),
                "rows": list(rows(value)),
                "local": value.to_local(),
            }
            return None
        if isinstance(value, dict):
            return {key: without(part, [*path, key]) for key, part in value.items()}
        if isinstance(value, (list, tuple)) and next(leaves(value, Tensor), None) is not None:
            parts = [without(part, [*path, index]) for index, part in enumerate(value)]
            return tuple(parts) if isinstance(value, tuple) else parts
        return value

    rest = without(state, [])
    return {**rest, SHARDS: shards} if shards else rest


def put(state: Any, path: list[Any], tensor: Any) -> Any:
    """`state` with `tensor` in the place that `split_shards` has left empty, with new containers.

    Raises:
        Exception: there is no such place, or it is not empty.
    """
    if not path:
        if state is not None:
            raise ValueError("a sharded tensor would replace something else")
        return tensor
    key, *rest = path
    if isinstance(state, dict):
        return {**state, key: put(state[key], rest, tensor)}
    if not isinstance(state, (list, tuple)):
        raise TypeError(f"there is no {key!r} in a {type(state).__name__}")
    parts = list(state)
    parts[key] = put(parts[key], rest, tensor)
    return tuple(parts) if isinstance(state, tuple) else parts


def loadable(state: Any, models: Iterable[torch.nn.Module]) -> Any:
    """`state` of a handler with its stored tensors as the parameters of `models` are.

    Sharded over the same ranks if these are sharded by rows, otherwise whole.
    """
    if next(leaves(state, StoredTensor), None) is None:
        return state
    parameters = (parameter for model in models for parameter in model.parameters())
    like = next((p for p in parameters if has_rows(p)), None)
    return map_nested(lambda stored: _stored_like(like, stored), state, only=StoredTensor)


def _stored_like(like: Any, stored: StoredTensor) -> Any:
    if like is None:
        return stored.whole()
    mesh = like.device_mesh
    first, last = _share(stored.shape[0], mesh.get_local_rank(), mesh.size())
    return _with_rows(stored.read(first, last), stored.shape, like)

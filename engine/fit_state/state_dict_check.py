"""Check that a state dict contains what a fit can have saved, and nothing else, in each field."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..statechart.phase_paths import CLOSING
from .saved_pictures import is_pictures
from .sharded_tensors import StoredTensor

_MOST = 1 << 53
_TWISTER_WORDS = 624
_TWISTER_BYTES = 4 * _TWISTER_WORDS
Check = Callable[[Any], bool]

STANDARD_UNIT = "batch"
"""The scope of a batch, where a state dict names no other one as its `unit`."""


def check_values(saved: Mapping[str, Any]) -> None:
    """Check the type and the range of each field.

    Raises:
        ValueError: a field is missing, or has a value that no fit has; the message names it.
    """
    _check("", saved, _TOP)
    _check("position", saved["position"], _POSITION)
    _check_limit(saved["position"])
    later: dict[str, Any] = {"tokens": 0, "batches_found": None, "rollbacks": [], "pictures": {}}
    _check("position", {**later, **saved["position"]}, _LATER)
    _check("heard", saved["heard"], _HEARD)
    if saved["optimizer"] is not None:
        _check("optimizer", saved["optimizer"], _OPTIMIZER)
    named = saved.get("optimizers", {})
    if not isinstance(named, dict):
        raise ValueError(f"optimizers is {_shown(named)} in the state dict, which no fit has")
    for name, optimizer in named.items():
        _check(f"optimizer {name}", optimizer, _OPTIMIZER)
    if (loaders := saved["loaders"]) is not None:
        _check("position: asked", {"seed": None, **saved["position"]["asked"]}, _ASKED)
        _check("loaders", loaders, _LOADERS)
        _check("loaders: tells", loaders["tells"], _TELLS)
        if loaders["begun"] is not None:
            _check_generators("loaders: begun", loaders["begun"])
        if loaders["paused"] is not None and loaders["paused"][2] is not None:
            _check_generators("loaders: paused", loaders["paused"][2])
    _check_generators("generators", saved["generators"])
    if "validated" in saved:
        _check("", saved, {"validated": _dict_of(Tensor, StoredTensor)})


def check_phase(saved: Mapping[str, Any]) -> None:
    """Check that a state dict of a fit is of a phase in which one is saved: between two batches.

    Raises:
        ValueError: it is not.
    """
    unit = saved.get("unit", STANDARD_UNIT)
    if not (unit is None or isinstance(unit, str)):
        raise ValueError(f"unit is {_shown(unit)} in the state dict, which no fit has")
    *scopes, leaf = saved["phase"].split(".")
    is_between = unit not in scopes and leaf not in (*CLOSING, "restore")
    is_known = any(row.endswith(f" → {saved['phase']}") for row in saved["chart"])
    if scopes and not (saved["loaders"] is not None and is_between and is_known):
        raise ValueError(f"phase is {_shown(saved['phase'])}: no fit is saved there")


def _check(where: str, fields: Any, checks: Mapping[str, Check]) -> None:
    prefix = f"{where}: " if where else ""
    for name, is_valid in checks.items():
        if name not in fields:
            raise ValueError(f"the state dict has no {prefix}{name}")
        if not is_valid(fields[name]):
            raise ValueError(
                f"{prefix}{name} is {_shown(fields[name])} in the state dict, which no fit has"
            )


def _check_limit(position: Mapping[str, Any]) -> None:
    """A loader without an end would be read again up to a forged index."""
    index, limit = position["batch_index"], position["batches_per_epoch"]
    if limit is not None and index >= max(limit, position["n_batches"] or 0):
        raise ValueError(f"position: batch_index is {index} of {limit} batches an epoch")


def _check_generators(where: str, states: Any) -> None:
    """Try the states on generators that nobody uses."""
    try:
        version, words, gauss = states["python"]
        fresh = random.Random()
        fresh.setstate((version, tuple(memoryview(words).cast("I")), gauss))
        torch.Generator().set_state(states["torch"].cpu())
        _check_numpy(states["numpy"])
        if not all(isinstance(s, Tensor) for s in [*states["devices"], *states["own"].values()]):
            raise TypeError("the state of a device or a loader is no tensor")
    except Exception as error:
        raise ValueError(f"{where} are not those of random number generators: {error}") from None


def _check_numpy(state: Mapping[str, Any] | None) -> None:
    """NumPy does not check where a Mersenne twister reads next, and reads there."""
    if state is None or not isinstance(state["bit_generator"], str):
        return
    inner = state["state"]
    if "key" in inner and (
        len(inner["key"]) != _TWISTER_BYTES or not 0 <= inner["pos"] <= _TWISTER_WORDS
    ):
        raise ValueError("NumPy's is no state of a Mersenne twister")


def _whole(least: int, optional: bool = False) -> Check:
    def is_valid(value: Any) -> bool:
        return (value is None and optional) or (type(value) is int and least <= value < _MOST)

    return is_valid


def _is_bool(value: Any) -> bool:
    return type(value) is bool


def _is_optional_bool(value: Any) -> bool:
    return value is None or type(value) is bool


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(name, str) for name in value)


def _is_anything(value: Any) -> bool:
    return True


def _dict_of(*kind: type[Any]) -> Check:
    return lambda value: (
        isinstance(value, dict)
        and all(isinstance(name, str) and isinstance(part, kind) for name, part in value.items())
    )


def _is_counts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_whole(0), value.values()))


def _is_groups(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(group, dict) and _is_texts(group.get("params")) for group in value
    )


def _is_paused(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != 3:
        return False
    index, count, begun = value
    return _whole(-1)(index) and _whole(0, True)(count) and (begun is None or _is_dict(begun))


def _is_found(value: Any) -> bool:
    if value is None:
        return True
    is_pair = isinstance(value, list) and len(value) == 2
    return is_pair and _whole(0, True)(value[0]) and _whole(1)(value[1])


def _is_rollbacks(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_rollback, value))


def _is_rollback(made: Any) -> bool:
    if not (isinstance(made, list) and len(made) == 5 and isinstance(made[0], str)):
        return False
    ends = made[3:]
    return all(map(_whole(0), made[1:3])) and all(
        isinstance(end, (list, tuple)) and len(end) == 2 and all(map(_whole(-1), end))
        for end in ends
    )


def _shown(value: Any) -> str:
    return (
        repr(value)[:60]
        if isinstance(value, (str, int, float, type(None)))
        else (f"a {type(value).__name__}")
    )


_TELLS = {"train": _is_optional_bool, "valid": _is_optional_bool}
_TOP: dict[str, Check] = {
    "format": _whole(1),
    "chart": _is_texts,
    "phase": _is_text,
    "position": _is_dict,
    "model": _is_named,
    "buffers": _dict_of(Tensor),
    "loss_fn": _is_named,
    "optimizer": lambda value: value is None or isinstance(value, dict),
    "gradients": _dict_of(Tensor, StoredTensor),
    "handlers": _is_named,
    "heard": _is_dict,
    "loaders": lambda value: value is None or isinstance(value, dict),
    "generators": _is_dict,
}
_ASKED: dict[str, Check] = {
    "n_epochs": _whole(0),
    "batches_per_epoch": _whole(1, True),
    "seed": lambda value: value is None or (type(value) is int and 0 <= value < 2**63),
}
_POSITION: dict[str, Check] = {
    "epoch": _whole(-1),
    "batch_index": _whole(-1),
    "n_batches": _whole(0, True),
    "step": _whole(0),
    "samples": _whole(0),
    "training": _is_bool,
    "validation_due": _is_bool,
    "validate_next": _is_bool,
    "evaluation": _is_text,
    "n_epochs": _whole(0),
    "batches_per_epoch": _whole(1, True),
    "asked": _is_dict,
    "metrics": _is_named,
    "reports": _is_named,
    "notes": _is_named,
    "loss": _is_anything,
    "modes": _is_texts,
    "frozen": _is_texts,
}
_LATER: dict[str, Check] = {
    "tokens": _whole(0),
    "batches_found": _is_found,
    "rollbacks": _is_rollbacks,
    "pictures": is_pictures,
}
_HEARD: dict[str, Check] = {"counts": _is_counts, "done": _is_texts}
_OPTIMIZER: dict[str, Check] = {
    "class": _is_text,
    "state": _dict_of(dict),
    "param_groups": _is_groups,
}
_LOADERS: dict[str, Check] = {
    "train": _is_anything,
    "valid": _is_anything,
    "other": _is_named,
    "tells": _is_dict,
    "open": _is_bool,
    "begun": lambda value: value is None or isinstance(value, dict),
    "paused": _is_paused,
}

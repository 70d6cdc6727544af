"""Train and eval mode of the models and of the losses that are modules."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

from torch import nn

from ...events import TrainState
from ..named_parts import loss_modules, plain_name, run_modules


def find_kept_in_eval(state: TrainState) -> list[nn.Module]:
    """The modules that stay in eval mode during a fit, because they are in eval mode before it.

    A part of a model that is itself in train mode, such as a frozen backbone; and any part of a
    loss, or all of it, such as a teacher. A model that is in eval mode as a whole has been
    evaluated before, and is trained as a whole.
    """
    models = [model for model in _models(state) if model.training]
    roots = [*models, *loss_modules(state).values()]
    return [module for root in roots for module in root.modules() if not module.training]


def set_modes(state: TrainState, training: bool) -> None:
    """Switch the models and the loss modules to train or eval mode.

    `state.kept_in_eval` stays in eval mode; `train` of a module that has its own is called.
    """
    for root in (*_models(state), *loss_modules(state).values()):
        for module in root.modules():
            state.found_modes.setdefault(module, module.training)
        root.train(training)
    for module in state.kept_in_eval:
        module.training = False


def warn_if_kept_in_eval(state: TrainState) -> None:
    """Name the modules that stay in eval mode, and have no frozen parameters as a reason."""
    names = list(_unexplained(state))
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        warnings.warn(
            f"in eval mode before the fit, and kept in it: {', '.join(names[:3])}{more}; to train "
            "them as well call model.train() first; if this is intended, freeze their parameters "
            "(`requires_grad_(False)`), or ignore this warning",
            stacklevel=2,
        )


def _unexplained(state: TrainState) -> Iterator[str]:
    """Names of the outermost modules of models that are kept in eval mode and are not frozen."""
    kept = {id(module) for module in state.kept_in_eval}
    inside: set[int] = set()
    for module_name, module in run_modules(state)[""].named_modules():
        if id(module) in kept and id(module) not in inside:
            inside |= {id(part) for part in module.modules()}
            if not _is_frozen(module):
                yield f"{plain_name(module_name)} ({type(module).__name__})"


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return bool(parameters) and not any(p.requires_grad for p in parameters)


def _models(state: TrainState) -> list[nn.Module]:
    return list(state.models.values()) or [state.model]

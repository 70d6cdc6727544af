"""Batches of a prediction that have no target: nothing but inputs."""

from __future__ import annotations

import warnings
from inspect import Parameter, signature

from torch import nn

from ...events import TrainState
from ...events.utils.nested import SEQUENCES, is_named_tuple
from ..torch_internals import COMPILED

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_TARGETS = {"label", "labels", "target", "targets", "y", "yb"}


def keep_every_input(state: TrainState) -> None:
    """Make every part of the batch an input if the model needs as many.

    By convention the last part is the target, which a prediction ignores. Warns, once a pass, if
    the model could also take that part.
    """
    batch = state.batch
    if state.split_batch is not None or not isinstance(batch, SEQUENCES) or is_named_tuple(batch):
        return
    count, passed = len(batch), len(state.xb) if type(state.xb) is tuple else 1
    parameters = _positional_parameters(state.model)
    needed = sum(parameter.default is Parameter.empty for parameter in parameters)
    if passed < needed == count:
        state.xb, state.yb = tuple(batch), None
    elif state.batch_index == 0 and needed <= passed < min(count, len(parameters)):
        _warn_if_an_input(state, parameters[passed])


def _warn_if_an_input(state: TrainState, parameter: Parameter) -> None:
    """Warn if the ignored last part could be that argument of the model."""
    if parameter.default is None and parameter.name not in _TARGETS:
        warnings.warn(
            f"predict: the last part of each batch is taken as the target and ignored, but "
            f"{type(state.model).__name__} could take it as {parameter.name!r}; say what it is: "
            "Trainer(batch=lambda batch: (tuple(batch), None)) for inputs only, or "
            "(tuple(batch[:-1]), batch[-1])",
            stacklevel=2,
        )


def _positional_parameters(model: nn.Module) -> list[Parameter]:
    plain = getattr(model, COMPILED, model)
    plain = plain.module if isinstance(plain, nn.DataParallel) else plain
    try:
        parameters = signature(plain.forward).parameters.values()
    except (TypeError, ValueError):  # a function of C++
        return []
    return [parameter for parameter in parameters if parameter.kind in _POSITIONAL]

"""Summarize the models of a trainer, and measure their outputs in one forward pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ...events import TrainState
from ...events.utils.nested import leaves
from ...events.utils.similar_names import did_you_mean
from ...events.utils.value_description import describe
from ..batches.batch import set_batch
from ..fit_state.run_generators import preserve_run_generators
from ..loop.activities import forward
from ..named_parts import all_optimizers, plain_name
from ..torch_internals import COMPILED
from .model_summary import Layer, ModelSummary

Outputs = dict[nn.Module, tuple[str, int]]
"""Of each module that was called: what its last output is, and the bytes of all its outputs."""


def summarize(state: TrainState, batch: Any, of: str | None, depth: int) -> ModelSummary:
    """The summary of all models; with outputs if there is a `batch`.

    Raises:
        ValueError: a batch is given, and a model has parameters that its first call initializes;
            no model is called `of`.
    """
    if of is not None and of not in state.models:
        raise ValueError(
            f"summary(of={of!r}): this trainer has no model {of!r}{did_you_mean(of, state.models)}"
            f"; its models are {', '.join(state.models) or 'one without a name'}"
        )
    models = state.models or {"": state.model}
    outputs = {} if batch is None else _called(state, models, batch, of)
    parameters = _parameters(models.values())
    layers = [layer for name, model in models.items() for layer in _layers(name, model, outputs)]
    optimizers = [list(optimizer.state.values()) for optimizer in all_optimizers(state).values()]
    trained = [p for p in parameters if p.requires_grad]
    memory = {
        "weights": _bytes(parameters),
        "buffers": _bytes(buffer for model in models.values() for buffer in model.buffers()),
        "gradients": _bytes(trained),
        "optimizer": _bytes(leaves(optimizers, Tensor)),
        "outputs": sum(size for module, (_, size) in outputs.items() if not any(module.children())),
    }
    return ModelSummary(
        tuple(layer for layer in layers if layer.depth <= depth),
        _count(parameters),
        _count(trained),
        memory,
    )


def _layers(model_name: str, model: nn.Module, outputs: Outputs) -> Iterator[Layer]:
    """The modules of a model; what `torch.compile` has put around one is left out."""
    for path, module in model.named_modules():
        if COMPILED in dict(module.named_children()):
            continue
        name = ".".join(filter(None, (model_name, plain_name(path))))
        parameters = _parameters([module])
        yield Layer(
            name,
            type(module).__name__,
            len([part for part in path.split(".") if part not in ("", COMPILED)]),
            outputs[module][0] if module in outputs else "",
            _count(parameters),
            _count(p for p in parameters if p.requires_grad),
        )


def _called(
    state: TrainState, models: Mapping[str, nn.Module], batch: Any, of: str | None
) -> Outputs:
    """Call a model once with a batch; nothing of the trainer is changed."""
    if any(is_lazy(p) for model in models.values() for p in model.parameters()):
        raise ValueError(
            "summary(batch): the model has lazy parameters, which its first call initializes; call "
            "model(x) once before, or leave the batch out"
        )
    found: Outputs = {}

    def measure(module: nn.Module, _: Any, output: Any) -> None:
        shape = str(tuple(output.shape)) if isinstance(output, Tensor) else describe(output)
        size = found[module][1] if module in found else 0
        found[module] = shape, size + _bytes(leaves(output, Tensor))

    with ExitStack() as undo:
        undo.enter_context(_restored(state))
        undo.enter_context(preserve_run_generators(state, None))
        undo.enter_context(torch.no_grad())
        undo.enter_context(torch.compiler.set_stance("force_eager"))  # no graph with these hooks
        for module in {part: None for model in models.values() for part in model.modules()}:
            undo.callback(module.register_forward_hook(measure).remove)
            module.training = False
        state.select(of or "")
        set_batch(state, batch)
        forward(state)
    return found


@contextmanager
def _restored(state: TrainState) -> Iterator[None]:
    """Restore the state, and the modes and buffers of the models, after the block."""
    before = {field.name: getattr(state, field.name) for field in fields(state)}
    modules = [part for model in state.models.values() or [state.model] for part in model.modules()]
    modes = [(module, module.training) for module in modules]
    buffers = [(*each, each[-1].clone()) for module in modules for each in _own_buffers(module)]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                setattr(module, name, buffer.copy_(value))  # the model may have assigned another
        for name, value in before.items():
            setattr(state, name, value)


def _own_buffers(module: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """The buffers of a module itself, with their names."""
    for name, buffer in module.named_buffers(recurse=False, remove_duplicate=False):
        yield module, name, buffer


def _parameters(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Each once; those that are not initialized have no size."""
    found = {id(p): p for module in modules for p in module.parameters() if not is_lazy(p)}
    return list(found.values())


def _count(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors if not is_lazy(tensor))

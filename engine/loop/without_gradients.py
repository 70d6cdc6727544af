"""The wrap of an activity that computes no gradients."""

from __future__ import annotations

from typing import Any

import torch

from ...events import TrainState
from ..statechart.compiled_table import Always
from ..torch_internals import set_gradients


class WithoutGradients(torch.no_grad):
    """Switches gradients off while an activity runs, as torch's own decorator does.

    That one makes three objects a call, which a batch of a small model's validation notices. An
    activity that does no work needs no wrap.
    """

    def __call__(self, activity: Any) -> Any:
        if isinstance(activity, Always):
            return activity

        def work(state: TrainState) -> str:
            enabled = torch.is_grad_enabled()
            try:
                set_gradients(False)
                trigger: str = activity(state)
                return trigger
            finally:
                set_gradients(enabled)

        return work

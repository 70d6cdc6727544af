"""The signals, one for each trigger of the charts, in the order in which a fit sends them."""

from __future__ import annotations

from .signal import Signal, any_transition

SIGNALS: dict[str, Signal] = {}
"""Every signal by name; a chart of your own adds to it through `signal`."""


def signal(name: str, doc: str = "") -> Signal:
    """The signal called `name`; made when it is asked for the first time."""
    if name not in SIGNALS:
        SIGNALS[name] = Signal(name, doc)
    return SIGNALS[name]


begin_fit = signal("begin_fit", "A fit is open; counters and gradients start from zero.")
begin_epoch = signal("begin_epoch", "An epoch is open; `epoch` names it.")
begin_train = signal("begin_train", "Training is open, the model in train mode; no batch yet.")
begin_validate = signal("begin_validate", "Validation is open, the model in eval mode.")
begin_batch = signal("begin_batch", "A batch is open; `batch`, `xb`, `yb` are new.")
after_pred = signal("after_pred", "The model has answered; `pred` is new.")
after_loss = signal("after_loss", "The loss is known; `loss` is new.")
begin_backward = signal("begin_backward", "The backward pass is open.")
after_cancel_backward = signal("after_cancel_backward", "The backward pass was cancelled.")
after_backward = signal("after_backward", "The backward pass has closed; gradients are new.")
begin_step = signal("begin_step", "The optimizer step is open: the place to change gradients.")
after_cancel_step = signal("after_cancel_step", "The step was cancelled; gradients are kept.")
after_step = signal("after_step", "The optimizer step has closed.")
after_cancel_batch = signal("after_cancel_batch", "The batch was cancelled.")
after_batch = signal("after_batch", "The batch has closed; its fields are still readable.")
after_cancel_train = signal("after_cancel_train", "Training was cancelled.")
after_train = signal("after_train", "Training has closed.")
after_cancel_validate = signal("after_cancel_validate", "Validation was cancelled.")
after_validate = signal("after_validate", "Validation has closed.")
after_cancel_epoch = signal("after_cancel_epoch", "The epoch was cancelled.")
after_epoch = signal("after_epoch", "The epoch has closed; `epoch` still names it.")
after_cancel_fit = signal("after_cancel_fit", "The fit was cancelled.")
after_error = signal("after_error", "An error ends the run; all inner scopes have closed.")
after_fit = signal("after_fit", "The fit has closed; nothing follows.")

resumed = Signal(
    "resumed",
    "A fit goes on where a state dict was taken, in another process perhaps: heard in place of "
    "begin_fit, when the counters are back and the phase is live, before the scopes that are open "
    "there are opened again, and before anything is loaded. No transition sends it.",
)

BESIDE_CHARTS = {beside.name: beside for beside in (any_transition, resumed)}
"""Signals that are no trigger of a chart."""

"""The signals: one for each trigger of the charts, in the order in which a fit sends them."""

from __future__ import annotations

from .bus.signal import Signal, any_transition

SIGNALS: dict[str, Signal] = {}
"""Every signal by name; `signal` adds those of your own chart."""


def signal(name: str, doc: str = "") -> Signal:
    """Return the signal called `name`; the first call creates it."""
    if name not in SIGNALS:
        SIGNALS[name] = Signal(name, doc)
    return SIGNALS[name]


begin_fit = signal("begin_fit", "The fit opens; counters and gradients are zero.")
begin_epoch = signal("begin_epoch", "An epoch opens; `epoch` is its index.")
begin_train = signal("begin_train", "Training opens; the model is in train mode.")
begin_validate = signal("begin_validate", "Validation opens; the model is in eval mode.")
begin_batch = signal("begin_batch", "A batch opens; `batch`, `xb`, `yb` are set.")
after_pred = signal("after_pred", "The forward pass is done; `pred` is set.")
after_loss = signal("after_loss", "The loss is computed; `loss` is set.")
begin_retry = signal("begin_retry", "The batch runs its forward pass again.")
begin_backward = signal("begin_backward", "The backward pass opens.")
after_cancel_backward = signal("after_cancel_backward", "The backward pass was cancelled.")
after_backward = signal("after_backward", "The backward pass has closed; gradients are set.")
begin_step = signal("begin_step", "The optimizer step opens; receivers may change the gradients.")
after_cancel_step = signal("after_cancel_step", "The step was cancelled; gradients are kept.")
after_step = signal("after_step", "The optimizer step has closed.")
after_cancel_batch = signal("after_cancel_batch", "The batch was cancelled.")
after_batch = signal("after_batch", "The batch has closed; its fields are not cleared yet.")
begin_rollback = signal("begin_rollback", "The fit is about to be rolled back to a snapshot.")
after_rollback = signal("after_rollback", "The fit is as the snapshot; training goes on.")
after_cancel_train = signal("after_cancel_train", "Training was cancelled.")
after_train = signal("after_train", "Training has closed.")
after_cancel_validate = signal("after_cancel_validate", "Validation was cancelled.")
after_validate = signal("after_validate", "Validation has closed.")
after_cancel_epoch = signal("after_cancel_epoch", "The epoch was cancelled.")
after_epoch = signal("after_epoch", "The epoch has closed; `epoch` is still its index.")
after_cancel_fit = signal("after_cancel_fit", "The fit was cancelled.")
after_error = signal("after_error", "An error ends the run; all inner scopes have closed.")
after_fit = signal("after_fit", "The fit has closed; it is the last signal of a fit.")

STANDARD_SIGNALS = frozenset(SIGNALS)
"""Names of the signals of a fit; `SIGNALS` also has those of other charts."""

resumed = Signal(
    "resumed",
    "A fit resumes from a state dict: sent in place of begin_fit, by no transition.",
)
"""Sent after counters and phase are restored, before scopes are reopened and states are loaded."""

reported = Signal(
    "reported",
    "Metrics were reported; `reported` has them. Sent before the next activity, by no transition.",
)
"""Sent after the receivers of the signal in which `state.report` was called."""

NON_TRIGGER_SIGNALS = {other.name: other for other in (any_transition, resumed, reported)}
"""Signals that no chart has as a trigger."""

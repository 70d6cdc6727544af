"""The protocol of a training run, as literal data.

Two rules. Everything that decides which transition may follow which is here. Nothing here depends
on a model, a tensor or a handler.

A row is (trigger, source or sources, destination). A source that is a composite phase holds for
every phase inside it; the innermost row wins. A transition without a row is illegal. The machine
starts in the first source of the first row. `begin_X` leads into the composite X from outside,
`after_X` out of it; `after_cancel_X` leads to its `cancelled` leaf, from which `after_X` follows.
`begin_retry` and `begin_rollback` go back, to the phase `retry` of a batch and `restore` of a pass,
whose activities do what is to be done before the run goes on.
"""

from __future__ import annotations

from ...events.roles import STANDARD_ROLES
from .composition import Chart
from .phase_paths import RESTING

SUPERVISED = Chart(
    (
        ("begin_fit", RESTING, "fit.ready"),
        ("begin_epoch", "fit.ready", "fit.epoch.ready"),
        ("begin_train", ("fit.epoch.ready", "fit.epoch.validated"), "fit.epoch.train.fetch"),
        ("begin_batch", "fit.epoch.train.fetch", "fit.epoch.train.batch.forward"),
        ("after_pred", "fit.epoch.train.batch.forward", "fit.epoch.train.batch.loss"),
        ("after_loss", "fit.epoch.train.batch.loss", "fit.epoch.train.batch.scored"),
        ("begin_backward", "fit.epoch.train.batch.scored", "fit.epoch.train.batch.backward.run"),
        (
            "after_backward",
            "fit.epoch.train.batch.backward",
            "fit.epoch.train.batch.differentiated",
        ),
        ("begin_step", "fit.epoch.train.batch.differentiated", "fit.epoch.train.batch.step.run"),
        ("after_step", "fit.epoch.train.batch.step", "fit.epoch.train.batch.zero_grad"),
        ("after_step", "fit.epoch.train.batch.step.cancelled", "fit.epoch.train.batch.accumulated"),
        ("after_batch", "fit.epoch.train.batch", "fit.epoch.train.fetch"),
        ("after_train", "fit.epoch.train", "fit.epoch.trained"),
        (
            "begin_validate",
            ("fit.epoch.trained", "fit.epoch.validated"),
            "fit.epoch.validate.fetch",
        ),
        ("begin_batch", "fit.epoch.validate.fetch", "fit.epoch.validate.batch.forward"),
        ("after_pred", "fit.epoch.validate.batch.forward", "fit.epoch.validate.batch.loss"),
        ("after_loss", "fit.epoch.validate.batch.loss", "fit.epoch.validate.batch.scored"),
        ("after_batch", "fit.epoch.validate.batch", "fit.epoch.validate.fetch"),
        ("after_validate", "fit.epoch.validate", "fit.epoch.validated"),
        ("after_epoch", "fit.epoch", "fit.ready"),
        (
            "after_cancel_backward",
            "fit.epoch.train.batch.backward",
            "fit.epoch.train.batch.backward.cancelled",
        ),
        ("after_cancel_step", "fit.epoch.train.batch.step", "fit.epoch.train.batch.step.cancelled"),
        ("after_cancel_batch", "fit.epoch.train.batch", "fit.epoch.train.batch.cancelled"),
        ("after_cancel_batch", "fit.epoch.validate.batch", "fit.epoch.validate.batch.cancelled"),
        (
            "begin_retry",
            (
                "fit.epoch.train.batch.forward",
                "fit.epoch.train.batch.loss",
                "fit.epoch.train.batch.scored",
                "fit.epoch.train.batch.retry",
            ),
            "fit.epoch.train.batch.retry",
        ),
        ("after_pred", "fit.epoch.train.batch.retry", "fit.epoch.train.batch.loss"),
        ("begin_retry", "fit.epoch.train.batch.backward", "fit.epoch.train.batch.backward.retried"),
        ("after_backward", "fit.epoch.train.batch.backward.retried", "fit.epoch.train.batch.retry"),
        (
            "begin_retry",
            (
                "fit.epoch.validate.batch.forward",
                "fit.epoch.validate.batch.loss",
                "fit.epoch.validate.batch.scored",
                "fit.epoch.validate.batch.retry",
            ),
            "fit.epoch.validate.batch.retry",
        ),
        ("after_pred", "fit.epoch.validate.batch.retry", "fit.epoch.validate.batch.loss"),
        ("begin_rollback", "fit.epoch.train", "fit.epoch.train.restore"),
        ("after_rollback", "fit.epoch.train.restore", "fit.epoch.train.fetch"),
        ("after_cancel_train", "fit.epoch.train", "fit.epoch.train.cancelled"),
        ("after_cancel_validate", "fit.epoch.validate", "fit.epoch.validate.cancelled"),
        ("after_cancel_epoch", "fit.epoch", "fit.epoch.cancelled"),
        ("after_cancel_fit", "fit", "fit.cancelled"),
        ("after_error", "fit", "fit.failing"),
        ("after_error", ("completed", "cancelled"), "failed"),
        ("after_fit", "fit.ready", "completed"),
        ("after_fit", "fit.cancelled", "cancelled"),
        ("after_fit", "fit.failing", "failed"),
    ),
    roles=STANDARD_ROLES,
)

EVALUATION = Chart(
    (
        ("begin_validate", RESTING, "validate.fetch"),
        ("begin_batch", "validate.fetch", "validate.batch.forward"),
        ("after_pred", "validate.batch.forward", "validate.batch.loss"),
        ("after_loss", "validate.batch.loss", "validate.batch.scored"),
        ("after_batch", "validate.batch", "validate.fetch"),
        ("after_cancel_batch", "validate.batch", "validate.batch.cancelled"),
        (
            "begin_retry",
            (
                "validate.batch.forward",
                "validate.batch.loss",
                "validate.batch.scored",
                "validate.batch.retry",
            ),
            "validate.batch.retry",
        ),
        ("after_pred", "validate.batch.retry", "validate.batch.loss"),
        ("after_cancel_validate", "validate", "validate.cancelled"),
        ("after_error", "validate", "validate.failing"),
        ("after_error", ("completed", "cancelled"), "failed"),
        ("after_validate", "validate.fetch", "completed"),
        ("after_validate", "validate.cancelled", "cancelled"),
        ("after_validate", "validate.failing", "failed"),
    ),
    roles={"validate": "run", "batch": "unit"},
)

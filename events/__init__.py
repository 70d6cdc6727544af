"""Signals, the state that they carry, and the cancels; imports no other package of trackside."""

from typing import TYPE_CHECKING, Any

from .agreement import Agreement, PeerError
from .bus.attachment import Attachment
from .bus.explanation import Explanation
from .bus.handler_discovery import AttachError
from .bus.order import OrderError
from .bus.publisher import Publisher
from .bus.signal import ReceiverError, Signal, any_transition
from .cancel import (
    CANCELS,
    Cancel,
    CancelBackwardException,
    CancelBatchException,
    CancelEpochException,
    CancelFitException,
    CancelStepException,
    CancelTrainException,
    CancelValidException,
    IllegalCancelError,
    cancel_for,
)
from .handler import Handler
from .handler_protocols import AnyHandler
from .pictures import Confusion, Example, Examples, Picture
from .recovery import (
    Recovery,
    RecoveryError,
    RetryBatchException,
    Rollback,
    RollbackException,
    Snapshot,
)
from .signal_names import OwnName, ScopeName, SignalName
from .signals import (
    SIGNALS,
    after_backward,
    after_batch,
    after_cancel_backward,
    after_cancel_batch,
    after_cancel_epoch,
    after_cancel_fit,
    after_cancel_step,
    after_cancel_train,
    after_cancel_validate,
    after_epoch,
    after_error,
    after_fit,
    after_loss,
    after_pred,
    after_rollback,
    after_step,
    after_train,
    after_validate,
    begin_backward,
    begin_batch,
    begin_epoch,
    begin_fit,
    begin_retry,
    begin_rollback,
    begin_step,
    begin_train,
    begin_validate,
    reported,
    resumed,
    signal,
)
from .state import TrainState
from .trainer_protocol import TrainerProtocol
from .transition import Transition

if TYPE_CHECKING:
    from .rehearsal import RehearsalPlan

__all__ = [
    "CANCELS",
    "SIGNALS",
    "Agreement",
    "AnyHandler",
    "AttachError",
    "Attachment",
    "Cancel",
    "CancelBackwardException",
    "CancelBatchException",
    "CancelEpochException",
    "CancelFitException",
    "CancelStepException",
    "CancelTrainException",
    "CancelValidException",
    "Confusion",
    "Example",
    "Examples",
    "Explanation",
    "Handler",
    "IllegalCancelError",
    "OrderError",
    "OwnName",
    "PeerError",
    "Picture",
    "Publisher",
    "ReceiverError",
    "Recovery",
    "RecoveryError",
    "RehearsalPlan",
    "RetryBatchException",
    "Rollback",
    "RollbackException",
    "ScopeName",
    "Signal",
    "SignalName",
    "Snapshot",
    "TrainState",
    "TrainerProtocol",
    "Transition",
    "after_backward",
    "after_batch",
    "after_cancel_backward",
    "after_cancel_batch",
    "after_cancel_epoch",
    "after_cancel_fit",
    "after_cancel_step",
    "after_cancel_train",
    "after_cancel_validate",
    "after_epoch",
    "after_error",
    "after_fit",
    "after_loss",
    "after_pred",
    "after_rollback",
    "after_step",
    "after_train",
    "after_validate",
    "any_transition",
    "begin_backward",
    "begin_batch",
    "begin_epoch",
    "begin_fit",
    "begin_retry",
    "begin_rollback",
    "begin_step",
    "begin_train",
    "begin_validate",
    "cancel_for",
    "reported",
    "resumed",
    "signal",
]


def __getattr__(name: str) -> Any:
    if name != "RehearsalPlan":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .rehearsal import RehearsalPlan  # noqa: PLC0415  # few programs rehearse a fit

    return RehearsalPlan


def __dir__() -> list[str]:
    return sorted({*globals(), "RehearsalPlan"})

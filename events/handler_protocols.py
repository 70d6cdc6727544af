"""What `attach` takes, for type checkers: an object with a method for a signal, scope or activity.

A class in place of an instance has methods with one parameter more, and is refused. So is an object
none of whose methods fits. At run time it is Any, which takes no time at import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .handler import Handler

    class _BeginFit(Protocol):
        def begin_fit(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginEpoch(Protocol):
        def begin_epoch(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginTrain(Protocol):
        def begin_train(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginValidate(Protocol):
        def begin_validate(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginBatch(Protocol):
        def begin_batch(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterPred(Protocol):
        def after_pred(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterLoss(Protocol):
        def after_loss(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginRetry(Protocol):
        def begin_retry(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginBackward(Protocol):
        def begin_backward(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelBackward(Protocol):
        def after_cancel_backward(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterBackward(Protocol):
        def after_backward(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginStep(Protocol):
        def begin_step(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelStep(Protocol):
        def after_cancel_step(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterStep(Protocol):
        def after_step(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelBatch(Protocol):
        def after_cancel_batch(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterBatch(Protocol):
        def after_batch(self, trainer: Any, state: Any, /) -> Any: ...

    class _BeginRollback(Protocol):
        def begin_rollback(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterRollback(Protocol):
        def after_rollback(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelTrain(Protocol):
        def after_cancel_train(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterTrain(Protocol):
        def after_train(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelValidate(Protocol):
        def after_cancel_validate(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterValidate(Protocol):
        def after_validate(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelEpoch(Protocol):
        def after_cancel_epoch(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterEpoch(Protocol):
        def after_epoch(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterCancelFit(Protocol):
        def after_cancel_fit(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterError(Protocol):
        def after_error(self, trainer: Any, state: Any, /) -> Any: ...

    class _AfterFit(Protocol):
        def after_fit(self, trainer: Any, state: Any, /) -> Any: ...

    class _Resumed(Protocol):
        def resumed(self, trainer: Any, state: Any, /) -> Any: ...

    class _Reported(Protocol):
        def reported(self, trainer: Any, state: Any, /) -> Any: ...

    class _AnyTransition(Protocol):
        def any_transition(self, trainer: Any, state: Any, transition: Any, /) -> Any: ...

    class _WithinFit(Protocol):
        def within_fit(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinEpoch(Protocol):
        def within_epoch(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinTrain(Protocol):
        def within_train(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinValidate(Protocol):
        def within_validate(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinBatch(Protocol):
        def within_batch(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinBackward(Protocol):
        def within_backward(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WithinStep(Protocol):
        def within_step(self, trainer: Any, state: Any, /) -> Iterator[None]: ...

    class _WrapFetch(Protocol):
        def wrap_fetch(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapForward(Protocol):
        def wrap_forward(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapLoss(Protocol):
        def wrap_loss(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapBackward(Protocol):
        def wrap_backward(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapStep(Protocol):
        def wrap_step(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapZeroGrad(Protocol):
        def wrap_zero_grad(self, activity: Any, /) -> Callable[[Any], str]: ...

    class _WrapReady(Protocol):
        def wrap_ready(self, activity: Any, /) -> Callable[[Any], str]: ...

    AnyHandler: TypeAlias = (
        Handler
        | _BeginFit
        | _BeginEpoch
        | _BeginTrain
        | _BeginValidate
        | _BeginBatch
        | _AfterPred
        | _AfterLoss
        | _BeginRetry
        | _BeginBackward
        | _AfterCancelBackward
        | _AfterBackward
        | _BeginStep
        | _AfterCancelStep
        | _AfterStep
        | _AfterCancelBatch
        | _AfterBatch
        | _BeginRollback
        | _AfterRollback
        | _AfterCancelTrain
        | _AfterTrain
        | _AfterCancelValidate
        | _AfterValidate
        | _AfterCancelEpoch
        | _AfterEpoch
        | _AfterCancelFit
        | _AfterError
        | _AfterFit
        | _Resumed
        | _Reported
        | _AnyTransition
        | _WithinFit
        | _WithinEpoch
        | _WithinTrain
        | _WithinValidate
        | _WithinBatch
        | _WithinBackward
        | _WithinStep
        | _WrapFetch
        | _WrapForward
        | _WrapLoss
        | _WrapBackward
        | _WrapStep
        | _WrapZeroGrad
        | _WrapReady
    )
    """`Handler` is in it for handlers whose methods have only names of a chart of their own."""
else:
    AnyHandler = Any

"""The mutable state that every signal carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .cancel import Cancel

if TYPE_CHECKING:
    import torch

Outcome = Literal["completed", "cancelled", "failed"]
Job = Literal["fit", "validate", "predict"]


@dataclass(slots=True, eq=False, repr=False, weakref_slot=True)
class TrainState:
    """All that a run knows, readable and writable by every handler.

    A change made by a handler is what the next activity uses. Fields that the engine writes say
    so; a handler that writes one of `phase`, `outcome`, `cancel`, `error` confuses the readers
    that come after it, and nothing else.
    """

    model: torch.nn.Module
    """Called by `forward` with the inputs; replaceable."""
    optimizer: torch.optim.Optimizer | None = None
    """Stepped by `step`; None is enough for `validate` and `predict`."""
    loss_fn: Callable[..., Any] | None = None
    """`loss_fn(pred, yb)`; None when the model's output carries its own loss."""
    device: torch.device | None = None
    """Where batches are moved to; None: they are taken as they come."""

    train_loader: Iterable[Any] | None = None
    """Read by `train.fetch`; a handler may replace it until `begin_train` has been sent."""
    valid_loader: Iterable[Any] | None = None
    """Read by `validate.fetch`; None: epochs have no validation."""
    batches: Iterator[Any] | None = None
    """The open iterator of the loader in use; the engine opens and drops it."""
    batches_per_epoch: int | None = None
    """At most so many batches are trained on in an epoch; None: all that the loader gives."""
    batches_per_validation: int | None = None
    """At most so many batches are read by a validation of a fit; None: all of them."""
    batches_per_step: int = 1
    """Training batches that make one optimizer step; GradientAccumulation writes it."""
    max_steps: int | None = None
    """The fit ends after so many optimizer steps; StepLimit writes it. None: there is no limit."""
    pass_begun: dict[str, Any] | None = None
    """Where random number generators stood when the live pass was opened; the engine writes it.
    With it the pass of a loader that cannot tell its position is found again."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    """`n_epochs` and `batches_per_epoch` as `fit` was called with them; the engine writes it."""

    validation_due: bool = True
    """Whether validation follows training, if there is a `valid_loader`; True again at each
    epoch's begin, a handler may change it until `after_train` has been sent."""
    validate_next: bool = False
    """Set by a handler: training pauses before its next batch, for a validation; the engine
    clears it. Training then goes on where it was, in the same epoch: `begin_train` again."""
    paused: tuple[Iterator[Any], int, int | None, dict[str, Any] | None] | None = None
    """Where training goes on after such a validation: `batches`, `batch_index`, `n_batches` and
    `pass_begun`; the engine writes it."""

    batch: Any = None
    """The batch as the loader gave it, on `device`; from `begin_batch` on."""
    xb: Any = None
    """Inputs: a tensor `(B, …)`; a tuple is passed as arguments, a dict as keywords."""
    yb: Any = None
    """Targets `(B, …)`; the whole dict for a dict batch, None for a batch without targets."""
    pred: Any = None
    """The model's output; from `after_pred` on, None before."""
    loss: Any = None
    """The live scalar loss `()`; from `after_loss` on, None before. Reading its value syncs."""
    previous_loss: Any = None
    """The loss of the batch before. It keeps autograd's accumulation nodes alive until the next
    graph has taken them over, as the variable of a hand-written loop does; made anew in every
    batch they would cost 5 % of a small model's time. Its saved tensors are gone with backward."""
    batch_size: int = 0
    """Examples in the batch: the first dimension of the first input."""

    job: Job = "fit"
    """What the trainer was asked to do; the engine writes it."""
    epoch: int = -1
    """0-based index of the epoch last begun; -1 before the first. The engine writes it."""
    n_epochs: int = 0
    """Epochs to make; a handler may raise or lower it, `fit.ready` reads it."""
    batch_index: int = -1
    """0-based index of the batch in its loader's pass; -1 before the first."""
    n_batches: int | None = None
    """Batches in this pass; None if the loader does not know."""
    step: int = 0
    """Optimizer updates made in this fit; the engine writes it."""
    samples: int = 0
    """Training examples fetched in this fit, the current batch included."""
    training: bool = False
    """True in `train`, False in `validate`; the engine writes it."""
    phase: str = "idle"
    """The live phase of the machine, `fit.epoch.train.batch.forward`; the engine writes it."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """What this epoch has computed, by name, `train_loss`, `valid_accuracy`: floats. Empty again
    when the next epoch begins; after the fit, what the last one computed."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Anything else that a handler wants to leave there; emptied when a fit begins."""

    outcome: Outcome = "completed"
    """At `after_<scope>`: how that scope ended. The engine writes it."""
    cancel: Cancel | None = None
    """The cancel that is closing scopes, and after a cancelled run the one that ended it."""
    error: BaseException | None = None
    """The error that is closing scopes; None again when it has escaped."""

    @property
    def at_boundary(self) -> bool:
        """Whether no batch is live in this phase, and no scope is being closed."""
        *scopes, leaf = self.phase.split(".")
        return "batch" not in scopes and not (scopes and leaf in ("cancelled", "failing"))

    @property
    def lr(self) -> Any:
        """Learning rate of the optimizer's first parameter group; None without an optimizer."""
        return None if self.optimizer is None else self.optimizer.param_groups[0]["lr"]

    def __repr__(self) -> str:
        return (
            f"TrainState({self.phase}, epoch={self.epoch}/{self.n_epochs}, "
            f"batch={self.batch_index}/{self.n_batches}, step={self.step})"
        )

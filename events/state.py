"""The mutable state that every signal carries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from .cancel import Cancel
from .pictures import Picture
from .progress import Progress, Unit, progress_of
from .recovery import Recovery, Rollback, Snapshot
from .reported_metrics import ReportedMetrics, Reports

if TYPE_CHECKING:
    import torch

Outcome = Literal["completed", "cancelled", "failed"]
Job = Literal["fit", "validate", "predict"]


@dataclass(slots=True, eq=False, repr=False, weakref_slot=True)
class TrainState:
    """The state of a run, readable and writable by every handler.

    The next activity uses what handlers have changed. Fields that the engine writes say so; do not
    write `phase`, `outcome`, `cancel` and `error`: later receivers would read the wrong value.
    """

    model: torch.nn.Module
    """Called by `forward` with the inputs; a handler may replace it."""
    optimizer: torch.optim.Optimizer | None = None
    """Stepped by `step`; may be None for `validate` and `predict`."""
    loss_fn: Callable[..., Any] | None = None
    """`loss_fn(pred, yb)`; None if the model's output has a `loss`."""
    models: dict[str, torch.nn.Module] = field(default_factory=dict)
    """The models by name, of a trainer with several; `model` is the current one. Else empty."""
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    """The optimizers by name, of a trainer with several; `optimizer` is the current one."""
    loss_fns: dict[str, Callable[..., Any]] = field(default_factory=dict)
    """Loss functions by name, where they differ; `loss_fn` is the current one."""
    of: str = ""
    """The name of what the open update trains, `"generator"`; empty outside of such a scope."""
    device: torch.device | None = None
    """Batches are moved there; None: they are not moved."""

    train_loader: Iterable[Any] | None = None
    """Read by `train.fetch`; a handler may replace it until `begin_train` has been sent."""
    valid_loader: Iterable[Any] | None = None
    """Read by `validate.fetch`; several by name are validated one after the other, each with
    metrics of its own name. None: epochs have no validation."""
    evaluation: str = "valid"
    """The name of the evaluation that runs, or ran last, and the first part of the names of its
    metrics: `valid_loss`; the engine writes it."""
    batches: Iterator[Any] | None = None
    """The iterator of the current pass over a loader; the engine creates and deletes it."""
    batches_per_epoch: int | None = None
    """Limit of training batches in an epoch; None: all of the loader."""
    batches_per_validation: int | None = None
    """Limit of batches in each validation of a fit; None: all of the loader."""
    batches_per_step: int = 1
    """Training batches in one optimizer step; GradientAccumulation writes it."""
    batches_per_step_of: dict[str, int] = field(default_factory=dict)
    """The same by the name of an optimizer; `GradientAccumulation(of=…)` writes it."""
    batches_found: tuple[int | None, int] | None = None
    """Where the last whole training pass had another number of batches than expected: the number
    that the loader and `batches_per_epoch` tell, and the real one, which counts from then on. The
    engine writes it."""
    limits: dict[Unit, float] = field(default_factory=dict)
    """What ends the fit, beside its epochs: StepLimit writes `steps`, TokenLimit `tokens`,
    TimeLimit `seconds`; see `progress`."""
    pass_begun: dict[str, Any] | None = None
    """States of the random number generators before the current pass; the engine writes it.
    Restoring them makes a loader that has no state of its own repeat its batches."""

    asked: Mapping[str, Any] = field(default_factory=dict)
    """`n_epochs`, `batches_per_epoch` and `seed` as passed to `fit`; the engine writes it."""
    seed: int | None = None
    """The seed of the fit, also of one that is resumed; None: it was not seeded. The engine writes
    it."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What only the maker of the trainer knows of the run, `factory` and its `arguments`; recorded
    with the other facts of a run, see `handlers/run_facts.py`."""

    validation_due: bool = True
    """Whether validation follows training, if there is a `valid_loader`; True when an epoch
    begins, a handler may change it until `after_train` has been sent."""
    validate_next: bool = False
    """Set by a handler to validate before the next training batch; the engine clears it.
    Training then continues in the same epoch and pass, after a second `begin_train`."""
    paused: tuple[Iterator[Any], int, int | None, dict[str, Any] | None] | None = None
    """During such a validation, the training pass that continues after it: `batches`,
    `batch_index`, `n_batches`, `pass_begun`; None at other times. The engine writes it."""

    snapshots: list[Snapshot] = field(default_factory=list)
    """To which the fit can be rolled back, oldest first; a handler, Snapshots, writes it."""
    rollbacks: list[Rollback] = field(default_factory=list)
    """The rollbacks of this fit, each with the batches that it leaves out; the engine writes it."""
    recovery: Recovery | None = None
    """The retry or rollback whose transition was made last; the engine writes it."""
    retried: tuple[Any, int, int] | None = None
    """The batch that was run again last, how often, and in how many parts; see `attempt`."""

    found_modes: dict[torch.nn.Module, bool] = field(default_factory=dict)
    """Which modules were in train mode before the run switched them, those included that a handler
    put in place; restored when the run ends. The engine writes it."""

    kept_in_eval: list[torch.nn.Module] = field(default_factory=list)
    """Modules that stay in eval mode in training: by default the parts of a model, or of a loss,
    that are in eval mode before the run. A handler may change the list until `begin_train`."""

    split_batch: Callable[[Any], Sequence[Any]] | None = None
    """`split_batch(batch)` returns `(xb, yb)` or `(xb, yb, weight)`; `Trainer(batch=…)` sets it, a
    handler may. None: by the conventions of `engine/batches/batch.py`."""
    batch: Any = None
    """The batch from the loader, on `device`; from `begin_batch` on."""
    xb: Any = None
    """Inputs: a tensor `(B, …)`; a tuple is passed as arguments, a dict as keywords."""
    yb: Any = None
    """Targets `(B, …)`; the whole dict for a dict batch, None for a batch without targets."""
    weight: Any = None
    """Weights of the examples `(B,)`, None if all count the same; `loss` is then the mean of weight
    × loss. From `split_batch`, or a handler sets it at `begin_batch` or `after_pred`."""
    pred: Any = None
    """The model's output; from `after_pred` on, None before."""
    loss: Any = None
    """The live scalar loss `()`; from `after_loss` on, None before. Reading its value syncs."""
    previous_loss: Any = None
    """The loss of the previous batch until that of this one is there, then None. Like the variable
    of a hand-written loop, it keeps autograd's accumulation nodes alive until the next graph uses
    them; creating them for every batch would cost 5 % of a small model's time."""
    count_examples: Callable[[Any], int] | None = None
    """`count_examples(batch)` returns the examples in it; `Trainer(batch_size=…)` sets it, and a
    handler may, for the batches after. None: by the rules of `engine/batches/example_count.py`."""
    batch_size: int = 0
    """Examples in the batch; it weighs the loss in the mean of a pass, and accumulated gradients.
    A handler may change it in a batch; `samples` has counted the batch before."""
    global_batch_size: int = 0
    """Examples of the batch on all ranks, where several train together and share the loaders; 0
    where that is not known. Distributed writes it."""
    size_doubted: bool = False
    """Whether the engine has warned that a `batch_size` is not certain."""

    job: Job = "fit"
    """The method of the trainer that is running, or ran last; the engine writes it."""
    unit_scope: str | None = "batch"
    """The name of the scope in which a batch is live; the engine writes it."""
    pass_scope: str | None = "train"
    """The name of the scope of a training pass; the engine writes it."""
    round_scope: str | None = "epoch"
    """The name of the scope of an epoch; None in a chart without; the engine writes it."""
    epoch: int = -1
    """0-based index of the current or last epoch; -1 before the first. The engine writes it."""
    n_epochs: int = 0
    """Number of epochs of the fit; a handler may change it, `fit.ready` reads it."""
    batch_index: int = -1
    """0-based index of the batch in the current pass; -1 before the first."""
    n_batches: int | None = None
    """Number of batches in the current pass; None if the loader has no length."""
    step: int = 0
    """Number of optimizer updates in this fit; the engine writes it."""
    samples: int = 0
    """Number of training examples fetched in this fit, including the current batch."""
    tokens: int = 0
    """Number of tokens in the training batches of this fit that have ended; TokenLimit writes it,
    without one it stays 0."""
    elapsed: Callable[[], float] | None = None
    """Returns the seconds since the fit began; TimeLimit writes it."""
    training: bool = False
    """True in `train`, False in `validate`; the engine writes it."""
    rank: int = 0
    """The number of this process among those that train together, from 0; Distributed writes it."""
    world_size: int = 1
    """How many processes train together; Distributed writes it."""
    phase: str = "idle"
    """The live phase of the machine, `fit.epoch.train.batch.forward`; the engine writes it."""

    metrics: dict[str, Any] = field(default_factory=dict)
    """Metrics of this epoch by name, `train_loss`, `valid_accuracy`: plain values, and tensors
    that nobody has read. An assigned value is reported (see `report`). Emptied when the next epoch
    begins; after the fit, those of the last epoch."""
    reported: Mapping[str, Any] = field(default_factory=dict)
    """In a receiver of `reported`, the values that were reported since it was last sent."""
    reports: Reports = field(default_factory=Reports)
    """What is sent with the next `reported`; the engine takes it."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    """By name, `valid_samples`, what handlers show of this epoch or evaluation; see `pictures.py`.
    Emptied when the next one begins; loggers and Recorder write it when the epoch ends."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Other values that handlers store; emptied when a fit begins."""

    outcome: Outcome = "completed"
    """At `after_<scope>`, how that scope ended; the engine writes it."""
    cancel: Cancel | None = None
    """The cancel that is closing scopes; after a cancelled run, the one that ended it."""
    error: BaseException | None = None
    """The error that is closing scopes; None after it was raised to the caller."""

    def __post_init__(self) -> None:
        if not isinstance(self.metrics, ReportedMetrics):
            self.metrics = ReportedMetrics(self.reports, self.metrics)

    def report(self, **values: Any) -> None:
        """Report metrics: `state.report(valid_loss=0.3)` sets them in `metrics`.

        The signal `reported` is sent before the next activity, after every receiver of the present
        signal: history, loggers, bars, and handlers that judge by a metric read them there. Call it
        in the thread of the run. Cost: no sync; a tensor is detached, and read by who needs it.

        Args:
            values: numbers, str, tensors, arrays, lists; the entries of a mapping are reported
                under joined names, `all_accuracy`. What is plainly a number becomes one.

        Raises:
            TypeError: a value is none of these; nothing of it is reported.
        """
        if not isinstance(self.metrics, ReportedMetrics):  # a handler has replaced it
            self.metrics = ReportedMetrics(self.reports, self.metrics)
        self.metrics.update(values)

    def clear_metrics(self) -> None:
        """Begin with no metrics and pictures, as every epoch does."""
        self.metrics, self.pictures = ReportedMetrics(self.reports), {}

    def select(self, name: str) -> None:
        """Make the model, optimizer and loss of a name current; the empty name means the first.

        The engine calls it where the chart says whose update begins, and where it has ended.
        """
        if self.models:
            self.model = _named_or_first(self.models, name)
        if self.optimizers:
            self.optimizer = _named_or_first(self.optimizers, name)
        if self.loss_fns:
            self.loss_fn = _named_or_first(self.loss_fns, name)
        self.of = name  # last, so that what an interrupt breaks off is done again

    def progress(self, unit: Unit | None = None) -> Progress:
        """How much of the fit is done, of how much; computed when it is called, without a sync.

        Epochs and batches count those that were skipped or cancelled, steps are updates made.

        Args:
            unit: "epochs", "batches", "steps", "samples", "tokens" or "seconds"; None: that of
                what is nearest to its end, the epochs in batches or one of the `limits`.

        Raises:
            ValueError: there is no such unit.
        """
        return progress_of(self, unit)

    @property
    def is_main(self) -> bool:
        """True in the one process that draws, logs and writes for all: rank 0."""
        return self.rank == 0

    @property
    def at_boundary(self) -> bool:
        """True in phases outside a batch, except those that close a scope or restore a snapshot."""
        *scopes, leaf = self.phase.split(".")
        return self.unit_scope not in scopes and not (
            scopes and leaf in ("cancelled", "failing", "restore")
        )

    @property
    def ends_round(self) -> bool:
        """True in an epoch outside of its training pass: a report then belongs to the whole epoch.

        False while training is paused for a validation, and in a chart without epochs.
        """
        scopes = self.phase.split(".")[:-1]
        if self.round_scope not in scopes or self.paused is not None:
            return False
        return self.pass_scope not in scopes and self.unit_scope not in scopes

    @property
    def attempt(self) -> int:
        """How often the live batch, or its open update, was run again: 0 at first."""
        return self.retried[1] if self.retried and self.retried[0] == self.live_batch else 0

    @property
    def live_batch(self) -> tuple[Any, ...]:
        """What tells the live batch, or its open update, from every other one of the run."""
        where = self.job, self.training, self.evaluation, self.epoch, self.batch_index
        return *where, self.samples, self.step, self.of

    @property
    def lr(self) -> Any:
        """Learning rate of the optimizer's first parameter group; None without an optimizer."""
        return None if self.optimizer is None else self.optimizer.param_groups[0].get("lr")

    def __repr__(self) -> str:
        return (
            f"TrainState({self.phase}, epoch={self.epoch}/{self.n_epochs}, "
            f"batch={self.batch_index}/{self.n_batches}, step={self.step})"
        )


def _named_or_first(parts: Mapping[str, Any], name: str) -> Any:
    return parts[name if name in parts else next(iter(parts))]

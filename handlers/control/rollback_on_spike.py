"""Rolling back the fit when its loss spikes."""

from __future__ import annotations

from statistics import median
from typing import ClassVar

import torch

from ...events import AttachError, RollbackException, TrainerProtocol, TrainState
from ...events.recovery import BEGIN_ROLLBACK
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.log import log
from .._copying import LeftOut
from .._stateful import Stateful
from .snapshots import Snapshots

_NORMAL = 1.4826
"""The standard deviation of a normal distribution, in median absolute deviations."""

_LEAST = 1e-3
"""The smallest deviation, as a fraction of the median: losses may be nearly equal for a while."""


class RollbackOnSpike(Stateful):
    """Rolls the fit back when a training loss is far above the losses before, and leaves out data.

    A loss is a spike if it is not finite, or above the running median by more than `threshold`
    standard deviations, which are estimated by the median absolute deviation of the same losses: a
    spike does not move them. The fit goes back to the newest of `state.snapshots` to which it has
    not gone back yet, else to the oldest one, so Snapshots must be attached, too. The batches from
    there to the spike are not trained on again: they are in `state.rollbacks` and in the log.

    Signals: begin_fit, resumed, after_loss
    Reads: loss, training, snapshots, rollbacks
    Raises: RollbackException; bad arguments in `__init__`; AttachError without Snapshots
    Cost: a device sync a batch; a sort of `window` numbers
    Does not: make snapshots, or judge validation
    Source: Aakanksha Chowdhery and others, "PaLM: Scaling Language Modeling with Pathways", 2022,
        section 5.1, for going back and skipping batches; Frank R. Hampel, "The Influence Curve and
        Its Role in Robust Estimation", 1974, for the deviation

    Args:
        threshold: standard deviations above the median, above 0.
        window: how many losses before count, from 3; as many must be known before one is judged.
        skip: how many batches are left out, the one of the spike and those before it; None: all
            since the snapshot.
        budget: most rollbacks in one fit; one more spike is an error.
    """

    saved = ("_losses",)
    left_out: ClassVar[LeftOut] = {"_losses": list}

    def __init__(
        self,
        threshold: float = 10.0,
        window: int = 50,
        *,
        skip: int | None = None,
        budget: int = 10,
    ) -> None:
        if not threshold > 0:
            raise ValueError(f"RollbackOnSpike(threshold={threshold!r}): allowed: above 0")
        check_whole_number(f"RollbackOnSpike(window={window!r})", window, least=3)
        check_whole_number(f"RollbackOnSpike(budget={budget!r})", budget, least=0)
        if skip is not None:
            check_whole_number(f"RollbackOnSpike(skip={skip!r})", skip, least=1)
        self.threshold = threshold
        self.window = window
        self.skip = skip
        self.budget = budget
        self._losses: list[float] = []

    def attached(self, trainer: TrainerProtocol) -> None:
        if BEGIN_ROLLBACK not in trainer.signals:
            raise AttachError(
                f"RollbackOnSpike needs a chart with a row {BEGIN_ROLLBACK}, as SUPERVISED has; "
                f"signals of this one are {', '.join(trainer.signals)}"
            )

    def begin_fit(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._losses = []
        self.resumed(trainer, state)

    def resumed(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not any(isinstance(handler, Snapshots) for handler in trainer.handlers):
            raise AttachError(
                "RollbackOnSpike goes back to a snapshot, and there will be none: attach Snapshots"
            )

    def after_loss(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not state.training:
            return
        loss = float(torch.as_tensor(state.loss).detach())
        if reason := self._spike(loss):
            self._roll_back(reason, state)
        self._losses = [*self._losses, loss][-self.window :]

    def _spike(self, loss: float) -> str:
        """Why a loss is a spike; empty if it is none."""
        if not abs(loss) < float("inf"):
            return f"the loss is {loss}"
        if len(self._losses) < self.window:
            return ""
        middle = median(self._losses)
        deviation = _NORMAL * median(abs(other - middle) for other in self._losses)
        limit = middle + self.threshold * max(deviation, _LEAST * abs(middle))
        return f"the loss is {loss:.4g}, above {limit:.4g}" if loss > limit else ""

    def _roll_back(self, reason: str, state: TrainState) -> None:
        used = {made.to_step for made in state.rollbacks}
        kept = [snapshot.step for snapshot in state.snapshots]
        fresh = [step for step in kept if step not in used]
        to = fresh[-1] if fresh else next(iter(kept), None)
        log.warning(
            "RollbackOnSpike: %s in epoch %d, batch %d; back from step %d to step %s",
            *(reason, state.epoch + 1, state.batch_index + 1, state.step, to),
        )
        raise RollbackException(reason, to=to, skip=self.skip, budget=self.budget)

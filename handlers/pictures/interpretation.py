"""What a classifier confuses, and where it is most wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.nn import functional

from ...events import Picture, RehearsalPlan, TrainerProtocol, TrainState
from ...events.utils.argument_checks import check_whole_number
from ...events.utils.nested import leaves
from .._copying import Copyable
from .._ranks import gather_over_ranks
from .._writes import Writes
from ._class_results import (
    Confused,
    Worst,
    confusion_picture,
    most_confused,
    worst_of,
    worst_picture,
)
from ._class_scores import class_names, class_scores
from ._picture_html import pictures_html
from ._taken_parts import (
    Take,
    check_take,
    counts_in_evaluation,
    ends_evaluation,
    taken_from,
)
from ._worst_kept import WorstKept, badness

_IGNORED = -100


class Interpretation(Copyable):
    """Finds what a classifier confuses: a confusion matrix and the worst predictions.

    Of each evaluation, from scores `(B, C)` and targets `(B,)`, or from scores `(B, C, …)` and
    targets `(B, …)` as in segmentation. Scores `(B,)` or `(B, 1)` are logits of the second of two
    classes; others that are all positive and have the sum 1 are taken for probabilities, else for
    logits. Targets outside of the classes are left out. After `fit` or `validate` the attributes
    are those of the last evaluation, and a notebook shows the handler. `state.pictures` has
    `valid_confusion` and `valid_worst`, which TensorBoard, WandB, MLflow and Recorder take.

    With Distributed the counts are those of all ranks, and so are the worst examples.

    Signals: begin_validate, after_batch, after_validate
    Reads: xb, pred, yb, batch_size, evaluation, training, job, outcome, cancel, world_size; what
        `take` reads
    Writes: pictures["valid_confusion"], ["valid_worst"]
    Raises: TypeError if there are no scores and targets as said above; ValueError for more than
        1000 classes, or if `classes` has another number of names
    Cost: no sync a batch, and work that grows with the scores; some syncs an evaluation. On the
        device `keep` inputs, of each shape; over ranks they are gathered
    Does not: look at training batches, or at several labels of one example
    Source: Jeremy Howard and Sylvain Gugger, "fastai: A Layered API for Deep Learning", 2020, for
        the idea

    Args:
        classes: the names of the classes; None: their numbers.
        keep: how many of the worst examples are kept, with their inputs; 0: none.
        take: `take(state)` returns the scores and targets of the batch:
            `take=lambda state: (state.pred["logits"], state.yb)`. None: `(pred, yb)`.

    Attributes:
        confusion: `(C, C)` int64, rows are targets, columns predictions; None before the first
            evaluation has ended.
        worst: the examples of the largest cross entropy, the worst first.
    """

    reads = (
        *("xb", "pred", "yb", "batch_size", "evaluation", "training", "job", "outcome"),
        *("cancel", "world_size"),
    )
    writes: ClassVar[Writes] = {
        "after_validate": ("pictures.valid_confusion", "pictures.valid_worst")
    }
    needs = ("evaluation",)
    _counts: torch.Tensor | None

    def __init__(
        self, classes: Sequence[str] | None = None, keep: int = 9, take: Take | None = None
    ) -> None:
        check_whole_number(f"Interpretation(keep={keep!r})", keep, least=0)
        check_take("Interpretation", take)
        self.classes = class_names("Interpretation", classes)
        self.keep = keep
        self.take = take
        self.confusion: torch.Tensor | None = None
        self.worst: list[Worst] = []
        self._begin()

    def rehearse(self, plan: RehearsalPlan) -> None:
        plan.leave_out(self, "a rehearsal calls no model, so there are no predictions")

    def state_dict(self) -> dict[str, Any]:
        return {"counts": self._counts, "seen": self._seen, "worst": self._kept.groups}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        counts = state["counts"]
        self._counts = None if counts is None else counts.clone()  # changed in place
        self._seen = state["seen"]
        self._kept = WorstKept(self.keep, dict(state["worst"]))

    def most_confused(self, most: int = 10) -> list[Confused]:
        """The pairs of classes that are confused most often, with the number of times."""
        if self.confusion is None:
            return []
        return most_confused(self.confusion, self.classes)[:most]

    def begin_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._begin()

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if not counts_in_evaluation(state):
            return
        taken = taken_from(state, self.take, "Interpretation")
        scores, targets = class_scores(*taken, self.classes)
        predicted, classes = scores.argmax(1), scores.shape[1]
        is_counted = (targets >= 0) & (targets < classes)
        self._count(predicted, targets, is_counted, classes)
        if self.keep:
            self._keep(state.xb, scores, predicted, torch.where(is_counted, targets, _IGNORED))
        self._seen += len(scores)

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if ends_evaluation(state):
            self._finish(state)
        self._begin()

    def _repr_html_(self) -> str:
        return pictures_html(self._pictures())

    def _begin(self) -> None:
        self._counts = None
        self._seen = 0
        self._kept = WorstKept(self.keep)

    def _count(
        self, predicted: torch.Tensor, targets: torch.Tensor, is_counted: torch.Tensor, n: int
    ) -> None:
        """Add to the counts on the device; the last one is of what is left out."""
        if self._counts is None:
            self._counts = torch.zeros(n * n + 1, dtype=torch.int64, device=predicted.device)
        cells = torch.where(is_counted, targets * n + predicted, n * n).flatten()
        self._counts = self._counts.to(cells.device)  # a resumed fit has loaded it to the CPU
        self._counts.scatter_add_(0, cells, torch.ones_like(cells))

    def _keep(
        self, inputs: Any, scores: torch.Tensor, predicted: torch.Tensor, targets: torch.Tensor
    ) -> None:
        losses = functional.cross_entropy(scores, targets, reduction="none", ignore_index=_IGNORED)
        count = len(scores)
        index = torch.arange(self._seen, self._seen + count, device=scores.device)
        values = {"target": targets, "prediction": predicted, "index": index}
        if scores.dim() == 2:
            values["probability"] = scores.softmax(1).amax(1)
        if _has_rows(inputs, count):
            values["input"] = inputs
        self._kept.add(losses.reshape(count, -1).mean(1), values)

    def _finish(self, state: TrainState) -> None:
        counts, worst = self._results(state.world_size)
        if counts is None or counts.is_meta:
            return
        classes = int(len(counts) ** 0.5)
        self.confusion = counts[:-1].reshape(classes, classes)
        self.worst = [worst_of(loss, values) for loss, values in worst]
        for name, picture in self._pictures().items():
            state.pictures[f"{state.evaluation}_{name}"] = picture

    def _results(self, ranks: int) -> tuple[torch.Tensor | None, list[Any]]:
        """The counts and the worst examples of all ranks, on the CPU."""
        if self._counts is not None and self._counts.is_meta:
            return None, []
        own = (None if self._counts is None else self._counts.cpu(), self._kept.entries())
        if ranks == 1:
            return own
        found = gather_over_ranks(own, "what a classifier confuses")
        counts = [counted for counted, _ in found if counted is not None]
        worst = sorted((one for _, some in found for one in some), key=badness, reverse=True)
        return (torch.stack(counts).sum(0) if counts else None), worst[: self.keep]

    def _pictures(self) -> dict[str, Picture]:
        """The matrix, and the worst examples if there are some."""
        if self.confusion is None:
            return {}
        pictures: dict[str, Picture] = {}
        pictures["confusion"] = confusion_picture(self.confusion, self.classes)
        if self.worst:
            pictures["worst"] = worst_picture(self.worst, self.classes)
        return pictures


def _has_rows(inputs: Any, count: int) -> bool:
    """Whether all parts of the inputs are tensors with a row for each example."""
    parts = [*leaves(inputs)]
    return bool(parts) and all(
        isinstance(part, torch.Tensor) and part.dim() > 0 and len(part) == count for part in parts
    )

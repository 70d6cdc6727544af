"""Show some examples of each evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from ...events import Examples, RehearsalPlan, TrainerProtocol, TrainState
from ...events.pictures import Example
from ...events.utils.argument_checks import check_no_class, check_whole_number
from .._copying import LeftOut
from .._stateful import Stateful
from .._writes import Writes
from ._class_scores import class_names
from ._picture_html import pictures_html
from ._png_images import MOST_PIXELS, ImageScale, check_channels, require_pillow
from ._shown_values import Look, has_probabilities
from ._taken_parts import Take, check_take, counts_in_evaluation, rows_of, taken_from


class Samples(Stateful):
    """Shows the first examples of each evaluation: inputs, predictions, targets.

    They are in `state.pictures` as `valid_samples`, by the name of the evaluation, from where
    TensorBoard, WandB, MLflow and Recorder take them; `trackside watch` shows them. In a notebook
    the handler shows itself. A loader that does not shuffle gives the same examples each epoch. Of
    several ranks, rank 0 shows its own.

    A tensor `(C, H, W)` of 1, 3 or 4 channels is shown as an image. Scores of classes `(C,)` with
    a whole number as target are shown as the class and its probability (scores that are all
    positive and have the sum 1 are taken for probabilities, others for logits), and those of pixels
    `(C, H, W)` with classes `(H, W)` as two coloured maps. Everything else is a text.

    Signals: begin_validate, after_batch, after_validate
    Reads: xb, pred, yb, batch_size, evaluation, training, job, outcome; what `take` reads
    Writes: pictures["valid_samples"]
    Cost: no sync a batch, and a copy of the shown examples on the device; one sync an evaluation
        for each tensor that is shown, and some milliseconds for images
    Does not: choose examples, or show training batches

    Args:
        count: examples to show, from 1.
        as_: "image" or "text", for all; None: as said above.
        classes: the names of the classes; None: their numbers are shown.
        mean, std: of each channel, with which the images were normalised: they are undone. Without
            them floats outside of 0 to 1 are stretched.
        size: the longest edge of an image in pixels, up to 4096; larger ones are shrunk.
        take: `take(state)` returns the prediction and the target of the batch:
            `take=lambda state: (state.pred["logits"], state.yb)`. None: `(pred, yb)`.
        show: `show(x, pred, y)` returns what is shown of one example in place of its input,
            prediction and target, on the CPU: texts, tensors, images of Pillow. A tokenizer's
            `decode` belongs here.

    Attributes:
        pictures: the newest, by the name of the evaluation.

    Raises:
        ImportError: Pillow is not installed: `pip install 'trackside[pictures]'`; not for texts.
        TypeError, ValueError: an argument is out of range.
    """

    reads = ("xb", "pred", "yb", "batch_size", "evaluation", "training", "job", "outcome")
    writes: ClassVar[Writes] = {"after_validate": ("pictures.valid_samples",)}
    left_out: ClassVar[LeftOut] = {"_taken": list}

    on_error = "detach"
    main_only = True
    needs = ("evaluation",)

    def __init__(
        self,
        count: int = 8,
        *,
        as_: Literal["image", "text"] | None = None,
        classes: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        size: int = 128,
        take: Take | None = None,
        show: Callable[[Any, Any, Any], tuple[Any, Any, Any]] | None = None,
    ) -> None:
        check_whole_number(f"Samples(count={count!r})", count, least=1)
        check_whole_number(f"Samples(size={size!r})", size, least=1)
        if size > MOST_PIXELS:
            raise ValueError(f"Samples(size={size}): allowed: up to {MOST_PIXELS} pixels")
        for name, values in (("mean", mean), ("std", std)):
            check_channels(f"Samples({name}={values!r})", values)
        check_take("Samples", take)
        check_no_class("Samples(show=…)", show)
        if as_ not in ("image", "text", None):
            raise ValueError(f"Samples(as_={as_!r}): allowed: 'image', 'text', None")
        if as_ != "text":
            require_pillow("Samples")
        self.count = count
        self.as_: Literal["image", "text"] | None = as_
        self.classes = class_names("Samples", classes)
        self.mean, self.std, self.size = mean, std, size
        self.take = take
        self.show = show
        self.pictures: dict[str, Examples] = {}
        self._taken: list[tuple[int, Any]] = []

    def rehearse(self, plan: RehearsalPlan) -> None:
        plan.leave_out(self, "a rehearsal calls no model, so there are no predictions to show")

    def begin_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        self._taken = []

    def after_batch(self, trainer: TrainerProtocol, state: TrainState) -> None:
        wanted = self.count - sum(count for count, _ in self._taken)
        if wanted <= 0 or not counts_in_evaluation(state):
            return
        size = state.batch_size
        count = min(wanted, size)
        taken = taken_from(state, self.take, "Samples")
        copied = rows_of((state.xb, *taken), size, lambda rows: rows[:count].detach().clone())
        self._taken.append((count, (*copied, has_probabilities(taken.pred))))

    def after_validate(self, trainer: TrainerProtocol, state: TrainState) -> None:
        taken, self._taken = self._taken, []
        examples = tuple(example for count, parts in taken for example in self._shown(count, parts))
        if examples:
            shown = self.pictures[state.evaluation] = Examples(examples)
            state.pictures[f"{state.evaluation}_samples"] = shown

    @property
    def _look(self) -> Look:
        return Look(self.as_, ImageScale(self.mean, self.std, self.size), self.classes)

    def _repr_html_(self) -> str:
        return pictures_html({f"{name}_samples": one for name, one in self.pictures.items()})

    def _shown(self, count: int, parts: Any) -> Iterator[Example]:
        (*parts, are_shares), look = rows_of(parts, count, torch.Tensor.cpu), self._look
        for index in range(count):
            of_one = tuple(_row(part, index, count) for part in parts)
            if self.show is None:
                yield look.example(of_one, bool(are_shares))
            else:
                yield self._own_example(look, self.show(*of_one))

    def _own_example(self, look: Look, found: Any) -> Example:
        """An example as `show` wants it shown."""
        if not isinstance(found, tuple) or len(found) != 3:
            raise TypeError(
                f"Samples(show=…) returned a {type(found).__name__}; allowed: a tuple of what is "
                "shown as input, prediction and target"
            )
        value, prediction, target = map(look.shown, found)
        return Example(value, prediction, target)


def _row(part: Any, index: int, count: int) -> Any:
    """What belongs to one example: of tensors a row, of a list of texts one."""
    if isinstance(part, Mapping):
        return {name: _row(one, index, count) for name, one in part.items()}
    if isinstance(part, (list, tuple)) and len(part) >= count and isinstance(part[0], str):
        return part[index]
    return rows_of(part, count, lambda rows: rows[index])

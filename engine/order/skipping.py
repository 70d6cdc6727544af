"""What a dataset may raise: to leave out an example, to skip a batch, to end the pass."""

from __future__ import annotations

import pickle
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from torch.utils.data import DataLoader

from ...events import Cancel, CancelBatchException
from ...events.utils.log import log


class SkipExample(Exception):
    """Raised in `__getitem__` of a dataset: the batch is made without this example.

    `KeyedLoader` leaves out the example, and skips a batch that has none left. A `DataLoader` of
    torch cannot: there the whole batch is skipped, with a warning.

    Args:
        reason: why; it is written to the log.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


class Reduced(NamedTuple):
    """A batch that lacks examples, or all that there is instead of one.

    Attributes:
        batch: what is left; None: nothing.
        skipped: why examples were left out, `example 17: broken`.
        raised: a cancel or an error, as `packed` makes it; None: the dataset raised neither.
    """

    batch: Any
    skipped: tuple[str, ...] = ()
    raised: bytes | Cancel | None = None


class Skips:
    """Counts what a dataset has skipped, and tells it at the end of each pass.

    Attributes:
        examples, batches: skipped since the loader was made.
    """

    def __init__(self, examples: int = 0, batches: int = 0) -> None:
        self.examples, self.batches = examples, batches

    def has_batch(self, reduced: Reduced, ranks: int) -> bool:
        """Count what is missing; False for a batch that is skipped.

        Raises:
            Cancel: of another scope than the batch.
            Exception: the error of a worker process.
            RuntimeError: something is skipped, and other ranks wait for this one.
        """
        self.examples += len(reduced.skipped)
        for reason in reduced.skipped:
            log.debug("skipped %s", reason)
        if reduced.batch is not None:
            _refuse_among(ranks)
            return True
        raised = _unpacked(reduced.raised)
        if raised is not None and not isinstance(raised, CancelBatchException):
            raise raised
        _refuse_among(ranks)
        self.batches += 1
        log.debug("skipped a batch: %s", raised or "no example is left")
        return False

    def tell(self, since: tuple[int, int], what: str) -> None:
        """Log how much was skipped since the counts were `since`."""
        examples, batches = self.examples - since[0], self.batches - since[1]
        if examples or batches:
            log.warning("%s: skipped %d examples and %d batches", what, examples, batches)


def _refuse_among(ranks: int) -> None:
    if ranks > 1:
        raise RuntimeError(
            f"the dataset has skipped an example or a batch in one of {ranks} ranks: they make "
            "each batch together, with examples that are counted before; allowed: a sampler that "
            "does not choose what cannot be read"
        )


def read_examples(get: Callable[[int], Any], indices: list[int], skipped: list[str]) -> list[Any]:
    """The examples of a batch, but for those that are skipped, whose reasons go to `skipped`."""
    examples = []
    for index in indices:
        try:
            examples.append(get(index))
        except SkipExample as skip:
            skipped.append(f"example {index}: {skip}")
    return examples


def packed(raised: BaseException) -> bytes:
    """An exception that a process can send, with the text of its traceback."""
    text = "".join(traceback.format_exception(raised))
    try:
        data = pickle.dumps((raised, text))
        pickle.loads(data)  # our own; some exceptions can only be written
    except Exception:
        stand_in = RuntimeError(f"{type(raised).__name__} (which cannot be pickled): {raised}")
        data = pickle.dumps((stand_in, text))
    return data


def _unpacked(raised: bytes | Cancel | None) -> BaseException | None:
    if not isinstance(raised, bytes):
        return raised
    error: BaseException
    error, text = pickle.loads(raised)  # from a worker process of ours
    error.add_note(f"Raised in a worker process of a KeyedLoader:\n{text}")
    return error


def with_skips(loader: DataLoader[Any], batches: Iterator[Any]) -> Iterator[Any]:
    """The batches of torch's loader, without those in which the dataset skips something."""
    skipped = 0
    try:
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except (SkipExample, CancelBatchException) as skip:
                skipped += 1
                _warn_of_lost_examples(loader, skip)
                continue
            except (OSError, RuntimeError) as error:
                _explain_dead_worker(loader, error)
                raise
            yield batch
    finally:
        if skipped:
            what = type(loader.dataset).__name__
            log.warning("DataLoader(%s): skipped %d batches", what, skipped)


def _warn_of_lost_examples(loader: DataLoader[Any], skip: BaseException) -> None:
    """With `batch_size=None` an example is a batch."""
    if isinstance(skip, SkipExample) and loader.batch_sampler is not None:
        warnings.warn(
            f"DataLoader({type(loader.dataset).__name__}): its dataset raised SkipExample, and a "
            "DataLoader cannot make a batch without one example: the whole batch is skipped. "
            "KeyedLoader leaves out the example only",
            stacklevel=2,
        )


def _explain_dead_worker(loader: DataLoader[Any], error: Exception) -> None:
    """Nothing in this process tells why the worker has ended; its own output does."""
    if loader.num_workers and not str(error).startswith("Caught "):
        error.add_note(
            "If the dataset raised a cancel: that ends a worker process of a DataLoader. Allowed "
            "there: SkipExample; KeyedLoader(…, num_workers=…) lets a dataset raise every cancel"
        )

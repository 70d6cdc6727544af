"""When `Fuse` takes its wraps off, as nothing is fused, and when it looks again."""

from __future__ import annotations


class FusingPauses:
    """Counts batches that were not fused, and the passes of a pause.

    Args:
        batches: after so many batches in a row that were left to the rows, a pause begins.
    """

    def __init__(self, batches: int) -> None:
        self._batches = batches
        self._left = 0
        self._length = self._passed = 0

    def count_left(self) -> bool:
        """Count a batch that was left to the rows; returns whether a pause begins."""
        self._left += 1
        if self._left <= self._batches:
            return False
        self._length, self._passed = 2 * self._length or 1, 0
        return True

    def count_pass(self) -> bool:
        """Count a pass that begins; returns whether a pause ends with it."""
        if self._left <= self._batches:
            return False
        self._passed += 1
        return self._passed > self._length

    def end(self) -> None:
        """A batch is fused or on trial, or the wraps are on again."""
        self._left = 0

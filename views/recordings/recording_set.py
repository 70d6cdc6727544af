"""Open several recordings, and add up their totals: the ranks of a run, or several runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .recording import Recording
from .recording_index import PATTERN
from .records import RecordingError
from .symbol_table import ReceiverEntry, TransitionEntry
from .totals import Total, Totals


@contextmanager
def open_recordings(*paths: str | Path) -> Iterator[list[Recording]]:
    """Open the recordings at `paths`, sorted by name and rank; of a folder all its `*.loop` files.

    Raises:
        RecordingError: a file is not a recording; a folder contains none.
    """
    with ExitStack() as stack:
        opened = [
            stack.enter_context(Recording(file)) for path in paths for file in _files(Path(path))
        ]
        yield sorted(opened, key=lambda recording: (recording.meta.name, recording.meta.rank))


def merge_totals(parts: Iterable[Totals]) -> Totals:
    """Add up the totals of several recordings; the same transition is counted together.

    The row of a transition is that of the first recording which has it.
    """
    transitions: dict[tuple[str, str, str], tuple[TransitionEntry, Total]] = {}
    receivers: dict[ReceiverEntry, Total] = {}
    for part in parts:
        for entry, total in part.transitions.items():
            first, before = transitions.get(entry[:3], (entry, Total()))
            transitions[entry[:3]] = first, before.plus(total)
        for receiver, total in part.receivers.items():
            receivers[receiver] = receivers.get(receiver, Total()).plus(total)
    return Totals(dict(transitions.values()), receivers)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.rglob(PATTERN))
    if not files:
        raise RecordingError(f"no recording in {path}; expected files {PATTERN}")
    return files

"""Open several recordings, and add up their totals: the ranks of a run, or several runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .recording import Recording
from .recording_files import SUFFIX, recording_files
from .records import RecordingError
from .symbol_table import ReceiverEntry, TransitionEntry
from .totals import Total, Totals


@contextmanager
def open_recordings(*paths: str | Path) -> Iterator[list[Recording]]:
    """Open the recordings at `paths`, sorted by name and rank; see `each_recording`.

    Raises:
        RecordingError: a file is not a recording; a folder contains none.
    """
    with ExitStack() as stack:
        opened = [
            stack.enter_context(recording)
            for path in paths
            for recording in each_recording(Path(path))
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


def each_recording(path: Path) -> Iterator[Recording]:
    """Open the recording at `path`; of a folder all `*.loop` files, one after the other.

    One of a folder that cannot be read is skipped with a warning, or silently if it was deleted
    meanwhile.

    Raises:
        RecordingError: the file is not a recording; the folder contains none that can be read.
    """
    found = 0
    for file in recording_files(path):
        try:
            recording = Recording(file)
        except RecordingError as error:
            if file == path:
                raise
            if file.exists():
                warnings.warn(f"skipping a recording: {error}", stacklevel=2)
        else:
            found += 1
            yield recording
    if not found:
        raise RecordingError(f"no recording in {path}; expected files *{SUFFIX}")

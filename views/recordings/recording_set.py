"""Several recordings at once: the ranks of a run, or several runs."""

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
def recordings(*paths: str | Path) -> Iterator[list[Recording]]:
    """The recordings at `paths`, by name and rank; of a folder all that it holds, `*.loop`.

    Raises:
        RecordingError: one of the files is no recording; a folder has none.
    """
    with ExitStack() as opened:
        found = [opened.enter_context(Recording(path)) for given in paths for path in _files(given)]
        yield sorted(found, key=lambda recording: (recording.meta.name, recording.meta.rank))


def merged(several: Iterable[Totals]) -> Totals:
    """The totals of several recordings as one; what is the same transition is counted together.

    The rows are those of the first recording that has the transition.
    """
    transitions: dict[tuple[str, str, str], tuple[TransitionEntry, Total]] = {}
    receivers: dict[ReceiverEntry, Total] = {}
    for one in several:
        for entry, total in one.transitions.items():
            known, before = transitions.get(entry[:3], (entry, Total()))
            transitions[entry[:3]] = known, before.plus(total)
        for receiver, total in one.receivers.items():
            receivers[receiver] = receivers.get(receiver, Total()).plus(total)
    return Totals(dict(transitions.values()), receivers)


def _files(given: str | Path) -> list[Path]:
    path = Path(given)
    if not path.is_dir():
        return [path]
    found = sorted(path.rglob(PATTERN))
    if not found:
        raise RecordingError(f"there is no recording, {PATTERN}, in {path}")
    return found

"""The page with recordings embedded: one file, which needs no server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..output.output_files import write_atomically
from ..recordings.epoch_times import epoch_times
from ..recordings.rank_summary import add_ranks
from ..recordings.recording import Recording
from ..recordings.recording_set import each_recording
from ..recordings.run_results import run_results
from .page import WATCH, as_json
from .record_codec import pack_records
from .recording_feed import RecordingFeed
from .run_numbers import results_of, times_of
from .shown_pictures import shown_pictures


def write_report(recordings: Sequence[Path], out: Path) -> None:
    """Write a page that shows recordings, as they are now, to `out`; of a folder all that it has.

    Cost: the records of a recording are read into memory, 16 bytes each.

    Raises:
        RecordingError: a recording cannot be read.
        OSError: `out` cannot be written.
    """
    descriptions: list[dict[str, Any]] = []
    data: dict[str, str] = {}
    for number, path in enumerate(files := [*_files(recordings)]):
        with closing(RecordingFeed(path)) as feed:
            begin = feed.begin()
            update, records = _read_all(feed)
        with Recording(path) as recording:
            results = results_of(run_results(recording)) | times_of(epoch_times([recording]))
        descriptions.append(
            {
                "id": str(number),
                "begin": begin,
                "update": update,
                "results": results,
                "pictures": shown_pictures(path),
            }
        )
        data[f"records-{number}"] = pack_records(records)
    of_ranks = zip(files, descriptions, strict=True)
    add_ranks({path: one for path, one in of_ranks if one["begin"]["world"] > 1})
    title = descriptions[0]["begin"]["name"]
    html = WATCH.html(title, {"recordings": as_json(descriptions), **data})
    write_atomically(out, lambda path: path.write_text(html, encoding="utf-8"))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    """The recordings, also those in folders."""
    for path in paths:
        for recording in each_recording(path):
            with recording:
                yield recording.path


def _read_all(feed: RecordingFeed) -> tuple[dict[str, Any], bytes]:
    """All updates until now, as one message and its records."""
    update = feed.update(0)
    first, records, table = update.message, [update.records], update.message["table"]
    while update.message["left"]:
        update = feed.update(update.next, refresh_status=False)
        records.append(update.records)
        table += update.message["table"]
    return {**update.message, "table": table, "lost": first["lost"]}, b"".join(records)

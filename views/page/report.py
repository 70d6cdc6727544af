"""The page with recordings inside of it: one file, which needs no server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from ..output.output_files import write_whole
from .chart_svg import drawn
from .feed import Feed
from .page import WATCH, as_json
from .record_codec import packed


def write_report(recordings: Sequence[Path], out: Path) -> None:
    """Write the page of some recordings, as they are now, to `out`.

    Cost: the records of a recording are read into memory, 16 bytes each.

    Raises:
        RecordingError: a recording cannot be read.
        OSError: `out` cannot be written.
    """
    told: list[dict[str, Any]] = []
    data: dict[str, str] = {}
    for number, path in enumerate(recordings):
        with closing(Feed(path)) as feed:
            begin, svg = feed.begin(), drawn(feed.rows)
            update, records = _all(feed)
        told.append({"id": str(number), "begin": begin, "svg": svg, "update": update})
        data[f"records-{number}"] = packed(records)
    title = told[0]["begin"]["name"]
    html = WATCH.html(title, {"recordings": as_json(told), **data})
    write_whole(out, lambda path: path.write_text(html, encoding="utf-8"))


def _all(feed: Feed) -> tuple[dict[str, Any], bytes]:
    """Everything that is there by now, as if it had come at once."""
    update = feed.update(0)
    first, records, table = update.message, [update.records], update.message["table"]
    while update.records:
        update = feed.update(update.next, look=False)
        records.append(update.records)
        table += update.message["table"]
    return {**update.message, "table": table, "lost": first["lost"]}, b"".join(records)

"""Write a checkpoint of several ranks: each its own rows, rank 0 the rest, all of them or nothing.

Rank 0 makes the temporary folder; every rank writes and syncs its file there, and says so; when all
have, rank 0 writes what remains, last the manifest, and renames the folder. The ranks tell each
other what failed, and then all raise.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...events import PeerError
from ...events.trainer_protocol import Peers
from ..fit_state.sharded_tensors import SHARDS
from .atomic_directory import AtomicDirectory, DirectoryFiles, FileDigest
from .safetensors_writer import DTYPES, write_weights
from .shard_reader import LAYOUT_FILE, LAYOUT_FORMAT, shard_file

Digests = dict[str, FileDigest]


def write_jointly(
    folder: Path,
    state: dict[str, Any],
    peers: Peers,
    finish: Callable[[AtomicDirectory, Digests], None],
) -> None:
    """Write the shards of all ranks, then let rank 0 `finish`.

    Args:
        folder: in which the new one is made; the same on all ranks.
        state: has the entry `shards` if some tensors are sharded.
        finish: writes the other files, and commits; gets the digests of those written before.

    Raises:
        PeerError: another rank has failed; OSError or TypeError: this one has.
    """
    with ExitStack() as undo:
        made: list[AtomicDirectory] = []

        def make() -> str:
            if peers.rank == 0:
                made.append(undo.enter_context(AtomicDirectory(folder)))
            return made[0].path.name if made else ""

        temporary = folder / all_or_none(peers, make)[0]
        shards = state.get(SHARDS, {})
        written = all_or_none(peers, lambda: _write_shard(temporary, peers.rank, shards))

        def commit() -> None:
            for directory in made:
                finish(directory, _write_layout(directory, written) if shards else {})

        all_or_none(peers, commit)


def all_or_none(peers: Peers, work: Callable[[], Any]) -> list[Any]:
    """What `work` returned on each rank, data for JSON; all ranks raise if one has.

    Raises:
        PeerError: another rank has raised; or what `work` has raised here.
    """
    try:
        report = {"value": work()}
    except BaseException as error:
        peers.exchange(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        raise
    reports = [json.loads(text) for text in peers.exchange(json.dumps(report))]
    for rank, each in enumerate(reports):
        if "error" in each:
            raise PeerError(
                f"rank {rank} has not written its part of a checkpoint, so there is none: "
                f"{each['error']}",
                rank,
            )
    return [each["value"] for each in reports]


def _write_shard(folder: Path, rank: int, shards: dict[str, Any]) -> dict[str, Any] | None:
    """Write and sync the rows of this rank; returns what the layout and the manifest need."""
    if not shards:
        return None
    for name, shard in shards.items():
        if shard["local"].dtype not in DTYPES:
            raise TypeError(
                f"{name} is a sharded tensor of {shard['local'].dtype}, which a checkpoint cannot "
                f"have; allowed: {', '.join(map(str, DTYPES))}"
            )
    tensors = {name: shard["local"] for name, shard in shards.items()}
    with DirectoryFiles(folder) as files:
        digest = files.write(shard_file(rank), lambda file: write_weights(file, tensors))
        files.sync()
    kept = ("path", "shape", "rows")
    entries = {
        name: {**{key: shard[key] for key in kept}, "dtype": DTYPES[shard["local"].dtype]}
        for name, shard in shards.items()
    }
    return {"digest": digest, "tensors": entries}


def _write_layout(directory: AtomicDirectory, written: list[dict[str, Any]]) -> Digests:
    first = written[0]["tensors"]
    tensors = {
        name: {**entry, "rows": [rank["tensors"][name]["rows"] for rank in written]}
        for name, entry in first.items()
    }
    layout = {"format": LAYOUT_FORMAT, "ranks": len(written), "tensors": tensors}
    text = json.dumps(layout, indent=1).encode()
    digests = {LAYOUT_FILE: directory.write(LAYOUT_FILE, lambda file: file.write(text))}
    for rank, each in enumerate(written):
        digests[shard_file(rank)] = FileDigest(*each["digest"])
    return digests

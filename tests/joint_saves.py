"""A checkpoint that two ranks, as threads, write together, and its files changed afterwards."""

import json
import os

import torch
from ranks import Meeting, Ranks
from states import state_of_training

from trackside.engine import CheckpointStore
from trackside.engine.checkpoint.atomic_directory import hash_file
from trackside.engine.checkpoint.manifest import Manifest
from trackside.engine.fit_state.sharded_tensors import SHARDS

PATHS = (["model", "0.0.weight"], ["handlers", "EMA", "shadow", 0])


class Threads:
    """`events.Peers` of one thread."""

    def __init__(self, meeting, rank):
        self.meeting = meeting
        self.rank = rank

    def exchange(self, text):
        return self.meeting.exchange(self.rank, text)


def tensor_at(state, path):
    for key in path:
        state = state[key]
    return state


def without(state, path):
    """A copy of `state` with None at `path`."""
    if not path:
        return None
    changed = {**state} if isinstance(state, dict) else list(state)
    changed[path[0]] = without(changed[path[0]], path[1:])
    return changed


def of_rank(rank, seed=0):
    """The state that a rank of two saves: rank 0 has the first two rows of the sharded tensors."""
    whole = rest = state_of_training(seed=seed)
    shards = {}
    for path in PATHS:
        tensor = tensor_at(whole, path)
        first, last = ((0, 2), (2, len(tensor)))[rank]
        shards["/".join(map(str, path))] = {
            "path": path,
            "shape": list(tensor.shape),
            "rows": [first, last],
            "local": tensor[first:last].clone(),
        }
        rest = without(rest, path)
    return {**(rest if rank == 0 else {}), SHARDS: shards}


def save_of_two(folder, step, seed=0, failing=lambda rank: None):
    """Save by two threads; the error of each, or None."""
    meeting = Meeting(2)
    errors = [None, None]

    def save(rank, _):
        store = CheckpointStore(folder)
        if rank == 0:
            store.open()
        try:
            failing(rank)
            store.save_jointly(of_rank(rank, seed), step, {}, Threads(meeting, rank))
        except Exception as error:
            errors[rank] = error
        finally:
            store.close()

    Ranks(2).run(save)
    return errors


def sign(folder):
    """Write the sums of the files as they are now into the manifest, as a forger would."""
    manifest = Manifest.read(folder)
    files = {name: hash_file(folder / name) for name in sorted(os.listdir(folder))}
    files.pop("manifest.json")
    changed = Manifest(manifest.step, manifest.serial, manifest.facts, files)
    (folder / "manifest.json").write_bytes(changed.to_bytes())


def change_layout(folder, change):
    """Let `change` edit `shards.json`."""
    path = folder / "shards.json"
    layout = json.loads(path.read_text())
    change(layout)
    path.write_text(json.dumps(layout))


def change_header(folder, rank, change):
    """Let `change` edit the header of a shard file; the elements stay."""
    path = folder / f"shard-{rank:05}.safetensors"
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[end:])


class Payload:
    """What a pickle would run."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def pickled(path, marker):
    """Write a file that makes the folder `marker` when it is unpickled."""
    with path.open("wb") as file:
        torch.save({"payload": Payload(marker)}, file)

"""Messages of the votes: over sockets between ranks of one machine, else over gloo.

gloo reads in a thread beside the run. While the run sends, it holds a lock that this thread tries
again and again; where there are fewer cores than threads, that takes the time of the computation.
A socket of the system is read by the run itself, when it wants the result.
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from array import array
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet

import torch
import torch.distributed as dist

_BOOT = Path("/proc/sys/kernel/random/boot_id")


class VoteMessages(Protocol):
    """Sends integers to the rank `distance` above, and receives from the one as far below."""

    def send(self, numbers: Sequence[int], distance: int) -> None:
        """Send, without waiting for the other rank. Raises: RuntimeError, ValueError, OSError."""

    def receive(self) -> Sequence[int]:
        """What came, as long as what was sent. Raises: RuntimeError, ValueError, OSError."""

    def close(self) -> None:
        """Let the ranks that wait for this one fail; safe to repeat."""


class GlooMessages:
    """Over a process group, which who has made it ends."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self._is_open = True
        self._found = torch.empty(0)
        self._works: list[Any] = []

    def send(self, numbers: Sequence[int], distance: int) -> None:
        """Begin to receive, and to send."""
        if not self._is_open:
            raise RuntimeError("this rank has left the votes")
        own = torch.tensor(numbers, dtype=torch.int32)
        self._found = torch.empty_like(own)
        rank, size = dist.get_rank(), dist.get_world_size()
        receiving = dist.irecv(self._found, (rank - distance) % size, self._group)
        sending = dist.isend(own, (rank + distance) % size, self._group)
        self._works = [work for work in (receiving, sending) if work is not None]  # both

    def receive(self) -> Sequence[int]:
        """Wait for both."""
        for work in self._works:
            work.wait()
        return self._found.tolist()

    def close(self) -> None:
        """Let go of the group."""
        self._group, self._is_open = None, False


class LocalMessages:
    """Over sockets between ranks of one machine.

    Args:
        above: by distance, the sockets to the ranks above.
        below: by distance, those from the ranks below.
        timeout: of a message; the slowest rank has to come within it.
    """

    def __init__(
        self,
        above: dict[int, socket.socket],
        below: dict[int, socket.socket],
        timeout: timedelta,
    ) -> None:
        self._above = above
        self._below = below
        self._distance, self._size = 0, 0
        _OPEN.add(self)
        for each in (*above.values(), *below.values()):
            each.settimeout(timeout.total_seconds())

    def send(self, numbers: Sequence[int], distance: int) -> None:
        """Send: a message is shorter than what the system keeps for the other rank."""
        message = array("i", numbers).tobytes()
        self._distance, self._size = distance, len(message)
        # a rank that has left may have voted before: what it has sent is still there to be read
        with suppress(BrokenPipeError, ConnectionResetError):
            self._above[distance].sendall(message)

    def receive(self) -> Sequence[int]:
        """Wait for the message of the rank below."""
        return array("i", _read(self._below[self._distance], self._size))

    def close(self) -> None:
        """Close the sockets."""
        for each in (*self._above.values(), *self._below.values()):
            each.close()


_OPEN: WeakSet[LocalMessages] = WeakSet()


def _close_all() -> None:
    """Close the sockets in a child of this process: a rank has ended when its process has."""
    for each in [*_OPEN]:
        each.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_all)


def vote_messages(
    group: Any, store: Any, distances: Sequence[int], timeout: timedelta
) -> VoteMessages:
    """The messages of this rank; all make them together, with a part of a store for it alone."""
    with ExitStack() as undo:
        above: dict[int, socket.socket] = {}
        try:
            folder = tempfile.mkdtemp(prefix="trackside-")  # nobody else may enter it
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            listener = undo.enter_context(_listener(folder, len(distances)))
        except (OSError, AttributeError):  # a system without such sockets
            store.set(f"address/{dist.get_rank()}", "")
        else:
            store.set(f"address/{dist.get_rank()}", f"{_machine()}\n{folder}/votes")
            above = _connected(store, distances)
        connections = undo.enter_context(ExitStack())
        for each in above.values():
            connections.callback(each.close)
        if not _on_all_ranks(group, len(above) == len(distances)):
            return GlooMessages(group)
        below = dict(_accepted(listener, connections) for _ in distances)
        connections.pop_all()
    return LocalMessages(above, below, timeout)


def _listener(folder: str, connections: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(f"{folder}/votes")
        listener.listen(connections)
    except OSError:
        listener.close()
        raise
    return listener


def _connected(store: Any, distances: Sequence[int]) -> dict[int, socket.socket]:
    """By distance, sockets to the ranks above that are on this machine."""
    found = {}
    for distance in distances:
        rank = (dist.get_rank() + distance) % dist.get_world_size()
        machine, _, path = store.get(f"address/{rank}").decode().partition("\n")
        connection = socket.socket(socket.AF_UNIX)
        try:
            if machine != _machine():
                raise ConnectionRefusedError
            connection.connect(path)  # without waiting until it is accepted
            connection.sendall(distance.to_bytes(4, "little"))
            found[distance] = connection
        except OSError:
            connection.close()
    return found


def _accepted(listener: socket.socket, opened: ExitStack) -> tuple[int, socket.socket]:
    """The distance and the socket of a rank below, which has connected before."""
    connection, _ = listener.accept()
    opened.callback(connection.close)
    return int.from_bytes(_read(connection, 4), "little"), connection


def _read(connection: socket.socket, size: int) -> bytes:
    """`size` bytes. Raises: OSError, if the other end is closed, or does not send in time."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionResetError("the connection was closed by the other rank")
        parts += part
    return parts


def _machine() -> str:
    """The running system, by a name that no other has."""
    boot = _BOOT.read_text(encoding="ascii").strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot}"


def _on_all_ranks(group: Any, is_so: bool) -> bool:
    agreed = torch.tensor(int(is_so))
    dist.all_reduce(agreed, dist.ReduceOp.MIN, group=group)
    return bool(agreed)

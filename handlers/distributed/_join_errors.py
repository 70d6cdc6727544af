"""Why a rank has not joined the others, told apart by what `torch.distributed` says."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import NamedTuple

from ...events import PeerError


class _Reason(NamedTuple):
    """Texts of which an error of `torch.distributed` has one, and what a user is told."""

    texts: tuple[str, ...]
    kind: type[RuntimeError]
    message: str


_UNKNOWN_NAME = _Reason((), RuntimeError, "{tried}: MASTER_ADDR={address} has no network address")
_REASONS = (
    _Reason(
        ("address already in use",),
        RuntimeError,
        "{tried}: port {port} is taken by another program, or by an older run that has not ended; "
        "choose another MASTER_PORT (torchrun --master-port)",
    ),
    _Reason(
        ("built in", "unknown backend", "invalid backend", "no gpus found"),
        RuntimeError,
        "{tried}: this torch does not have the backend, or the machine not its device",
    ),
    _Reason(
        ("unable to find address for", "unable to find interface", "unable to resolve"),
        RuntimeError,
        "{tried}: gloo finds no network interface by GLOO_SOCKET_IFNAME={interface}, or by the "
        "name of this host; there are {interfaces}",
    ),
    _Reason(
        ("connect to",),
        PeerError,
        "{tried}: {address}:{port} does not answer: rank 0 has not been started, has ended, or is "
        "at another MASTER_ADDR; or the port is that of another program",
    ),
    _Reason(
        ("closed by peer", "reset by peer", "connection closed", "broken pipe"),
        PeerError,
        "another rank has ended, or has left, at the begin of this run; rank {rank} has waited "
        "there for all {world_size}",
    ),
    _Reason(
        ("timed out", "timeout"),
        PeerError,
        "not all of the {world_size} ranks have come to the begin of this run; rank {rank} has "
        "waited for them. A process has ended, or is slower than the timeout of Distributed, or "
        "fit, validate and predict are not called by all ranks together",
    ),
    _Reason(("",), RuntimeError, "{tried}: {kind}"),
)
"""The first one of which a text is found counts."""


def join_error(
    error: Exception, rank: int, world_size: int, environment: Mapping[str, str] = os.environ
) -> RuntimeError:
    """The error of a rank that has failed where all ranks meet, with the cause if it is known.

    Returns:
        A PeerError if it has waited for others in vain.
    """
    found, address = str(error).lower(), environment.get("MASTER_ADDR", "")
    reason = next(one for one in _REASONS if any(text in found for text in one.texts))
    if "connect to" in reason.texts and not _is_known(address):
        reason = _UNKNOWN_NAME
    message = reason.message.format(
        tried=f"rank {rank} of {world_size} cannot join the process group",
        rank=rank,
        world_size=world_size,
        kind=type(error).__name__,
        address=address,
        port=environment.get("MASTER_PORT"),
        interface=environment.get("GLOO_SOCKET_IFNAME"),
        interfaces=", ".join(name for _, name in socket.if_nameindex()),
    )
    return reason.kind(f"{message} ({error})")


def _is_known(address: str) -> bool:
    try:
        socket.getaddrinfo(address, None)
    except OSError:
        return False
    return True

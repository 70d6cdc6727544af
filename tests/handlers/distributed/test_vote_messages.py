"""Messages of the votes between ranks of one machine."""

import socket
import sys
import tempfile
from contextlib import ExitStack
from datetime import timedelta

import pytest
import torch.distributed as dist
from forked import run_forked

from trackside.handlers.distributed._vote_messages import (
    GlooMessages,
    LocalMessages,
    _accepted,
    _listener,
    vote_messages,
)


def two_ranks(seconds=60.0):
    """The messages of two ranks, each of which sends to the other."""
    one, other = socket.socketpair(), socket.socketpair()
    timeout = timedelta(seconds=seconds)
    return (
        LocalMessages({1: one[0]}, {1: other[1]}, timeout),
        LocalMessages({1: other[0]}, {1: one[1]}, timeout),
    )


def test_a_rank_receives_what_the_other_one_has_sent():
    messages = two_ranks()
    for rank, each in enumerate(messages):
        each.send([rank, -7, 1 << 30], 1)
    assert [list(each.receive()) for each in messages] == [[1, -7, 1 << 30], [0, -7, 1 << 30]]
    for each in messages:
        each.close()


def test_a_rank_that_has_left_lets_the_other_one_fail_at_once():
    one, other = two_ranks()
    one.send([1], 1)
    other.close()
    other.close()
    with pytest.raises(OSError, match=r"closed by the other rank|reset"):
        one.receive()
    with pytest.raises(OSError, match="Bad file descriptor"):
        other.send([1], 1)
    one.close()


def test_a_rank_that_does_not_send_in_time_is_an_error():
    one, other = two_ranks(seconds=0.01)
    one.send([1], 1)
    with pytest.raises(TimeoutError):
        one.receive()
    one.close()
    other.close()


LEFT = """
import os, socket
from datetime import timedelta
from trackside.handlers.distributed._vote_messages import LocalMessages

above, below = socket.socketpair()
messages = LocalMessages({1: above}, {}, timedelta(seconds=60))
(end, ended), (forked, told) = os.pipe(), os.pipe()
worker = os.fork()
if not worker:
    os.close(ended)
    os.write(told, b"!")
    os.read(end, 1)
    os._exit(0)
assert os.read(forked, 1)
messages.close()
below.settimeout(5)
assert below.recv(1) == b""
assert os.waitpid(worker, os.WNOHANG) == (0, 0), "it lives"
os.write(ended, b"!")
assert os.waitpid(worker, 0)[1] == 0
"""


def test_a_rank_has_left_although_a_process_that_it_has_forked_lives():
    # in a process with one thread: no other one can hold a lock, as coverage's, while it forks
    done = run_forked([sys.executable, "-c", LEFT], timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_rank_has_sent_before_it_left_is_still_read():
    here, there = two_ranks()
    there.send([1, 2], 1)
    there.close()
    here.send([3, 4], 1)
    assert [*here.receive()] == [1, 2]
    here.send([5, 6], 1)
    with pytest.raises(ConnectionResetError, match="closed by the other rank"):
        here.receive()
    here.close()


def test_where_no_socket_can_have_a_name_the_messages_go_over_gloo(group, tmp_path, monkeypatch):
    folder = tmp_path / ("x" * 100)  # longer than the name of a socket may be
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    store, everyone = dist.HashStore(), dist.group.WORLD
    messages = vote_messages(everyone, store, [1], timedelta(seconds=60))
    assert isinstance(messages, GlooMessages)
    assert store.get("address/0") == b""
    assert [*folder.iterdir()] == []


def test_sockets_that_were_accepted_are_closed_if_a_later_one_fails(tmp_path):
    one, other = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with ExitStack() as opened, _listener(str(tmp_path), 2) as listener:
        for each in (one, other):
            each.connect(f"{tmp_path}/votes")
        one.sendall((4).to_bytes(4, "little"))
        other.close()
        distance, _ = _accepted(listener, opened)
        with pytest.raises(ConnectionResetError):
            _accepted(listener, opened)
    assert distance == 4
    one.settimeout(5)
    assert one.recv(1) == b""
    one.close()

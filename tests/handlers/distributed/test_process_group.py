"""A group that the user, or a host, has ended before those of trackside."""

import subprocess
import sys
from datetime import timedelta

import pytest
import torch.distributed as dist
from forked import Forked, run_forked

from trackside.handlers._ranks import BackgroundGroup
from trackside.handlers.distributed import _process_group
from trackside.handlers.distributed._process_group import DataGroup, joined

SECONDS = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """One process, whose store needs no port."""
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setattr(_process_group, "_STORES", [dist.HashStore()])


def test_a_block_that_ends_the_group_leaves_nothing_to_end():
    with joined(0, 1, SECONDS):
        data, background = DataGroup(SECONDS), BackgroundGroup()
        assert background.exchange("a") == ["a"]
        dist.destroy_process_group()
    data.end()
    background.close()
    with joined(0, 1, SECONDS):
        assert dist.is_initialized()
    assert not dist.is_initialized()


LOST = """
import os, sys
from datetime import timedelta
import torch.distributed as dist
from trackside.events import PeerError
from trackside.handlers._ranks import BackgroundGroup

rank, store = int(sys.argv[1]), dist.FileStore(sys.argv[2], 2)
dist.init_process_group("gloo", store=store, rank=rank, world_size=2)
background = BackgroundGroup()
print(background.exchange(f"from {rank}"))
if rank == 1:
    os._exit(0)
try:
    background.exchange("alone")
except PeerError as error:
    print(error)
"""


def test_a_rank_that_is_lost_before_an_exchange_is_told_of(tmp_path):
    command = [sys.executable, "-c", LOST]
    with Forked([*command, "1", tmp_path / "store"], stdout=subprocess.DEVNULL):
        found = run_forked([*command, "0", tmp_path / "store"], timeout=120, check=True).stdout
    both, lost = found.splitlines()
    assert both == "['from 0', 'from 1']"
    assert lost.startswith("a rank is lost: rank 0 has waited for it to write a checkpoint")

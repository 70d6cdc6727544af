"""Runs inside a contender's environment: `epoch_worker.py NAME SETTING WORK`; `epoch.py` starts it.

Each input line requests a pair: an epoch of the hand-written loop and one of the contender, each
with a model of its own, over the same dataset. CPU time of the process and of the workers that it
has ended. The order in the pair alternates.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import warnings
from collections.abc import Callable
from time import process_time
from typing import Any

import torch
from epoch_works import EPOCH_WORKS, EpochWork
from peers import by_hand
from torch import nn
from torch.utils.data import DataLoader


class EpochJob:
    """One fit of one epoch; `batches` is the loader that people write."""

    def __init__(self, work: EpochWork) -> None:
        torch.manual_seed(0)
        self.model = work.model()
        self.optimizer = work.optimizer(self.model)
        self.loss_fn = nn.CrossEntropyLoss()
        self.dataset, self.batch_size, self.workers = work.dataset(), work.batch_size, work.workers
        self.batches: DataLoader[Any] = DataLoader(
            self.dataset, work.batch_size, shuffle=True, num_workers=work.workers
        )

    @property
    def loader(self) -> DataLoader[Any]:
        return self.batches


def cpu_seconds() -> float:
    """Of this process and of the ended ones that it had started."""
    workers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + workers.ru_utime + workers.ru_stime


def seconds(train: Callable[[EpochJob], object], work: EpochWork) -> float:
    """The time of an epoch; the dataset and the model are made before it."""
    gc.collect()
    gc.freeze()  # else the collection below walks through all of torch, which is nobody's epoch
    job = EpochJob(work)
    before = [parameter.detach().clone() for parameter in job.model.parameters()]
    start = cpu_seconds()
    trained = train(job) or job.model
    gc.collect()  # a trainer may keep the workers until it is gone
    taken = cpu_seconds() - start
    if all(map(torch.equal, before, trained.parameters())):
        raise AssertionError(f"{train.__module__} has trained nothing")
    return taken


def main(name: str, setting: str, work_name: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    peer, work = importlib.import_module(f"peers.{name}"), EPOCH_WORKS[work_name]
    train = getattr(peer, setting, peer.bare)
    for number, _ in enumerate(sys.stdin):
        turns = [train, by_hand.bare]
        taken = {turn: seconds(turn, work) for turn in (turns if number % 2 else turns[::-1])}
        pair = taken[train], taken[by_hand.bare]
        print(json.dumps({"pairs": [pair]}), file=answers, flush=True)
    print(json.dumps({}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

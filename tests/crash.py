"""Processes to kill: forked from one that has imported torch and has a single thread.

Importing torch takes seconds; a process here is there in some milliseconds.
"""

import multiprocessing
import os
import signal
from contextlib import closing

import torch
from faults import Files

from trackside.engine import CheckpointStore

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["sklearn.datasets", "torch._dynamo", "trackside.engine", "trackside.handlers"]
)


def run(target, *arguments):
    """Run a function of a module of the tests in a process of its own; gives its exit code."""
    process = started(target, *arguments)
    process.join()
    return process.exitcode


def started(target, *arguments):
    """The same, still running."""
    process = context.Process(target=target, args=arguments)
    process.start()
    return process


def killing(step):
    """A fault that is a SIGKILL."""

    def fault(now):
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


def saves(folder, files, tell, count=4):
    """Some saves, of which the last two are kept; `tell` of each once it is safe."""
    with closing(CheckpointStore(folder)) as store, files:
        store.open()
        for step in range(count):
            state = {"model": {"w": torch.full((3,), float(step))}}
            tell(str(store.save(state, step, {})))
            store.keep([*store.written][-2:])


def killed_saves(folder, told, at, step):
    """Such saves in a process that is killed at one file operation."""

    def tell(path):
        with open(told, "a") as file:
            print(path, file=file)

    saves(folder / "runs", Files(folder, at, killing(step)), tell)

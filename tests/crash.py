"""Processes to kill, forked within milliseconds: see `forked`."""

import os
import pickle
import signal
import sys
from contextlib import closing

import torch
from faults import Files
from forked import WITH_TEST_HELPERS, Forked

from trackside.engine import CheckpointStore

CALL = """
import multiprocessing.util, os, pickle, sys
function, arguments = pickle.loads(bytes.fromhex(sys.argv[1]))
function(*arguments)
multiprocessing.util._exit_function()
os._exit(0)  # the end of the interpreter would take longer than what is tested
"""


def run(target, *arguments):
    """Run a function of a module of the tests in a process of its own; gives its exit code."""
    return started(target, *arguments).wait()


def started(target, *arguments):
    """The same, still running."""
    words = pickle.dumps((target, arguments)).hex()
    return Forked([sys.executable, "-c", CALL, words], env=WITH_TEST_HELPERS)


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

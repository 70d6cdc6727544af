"""Forks processes that run Python as `python …` would, with torch and trackside imported already.

`python tests/fork_server.py SOCKET PATHS`, started by `forked`. A forked process leaves `serve`,
runs its code at the top level of this file, and ends as every Python process does: exit handlers,
exit code, and what it prints of an exception.
"""

import gc
import importlib
import json
import multiprocessing.process
import os
import random
import runpy
import select
import signal
import socket
import sys
import types

FIRST = [*sys.path]
IMPORTED = [
    "sklearn.datasets",
    "torch._dynamo",
    "trackside.engine",
    "trackside.handlers",
    "trackside.views.commands.main",
    "trackside.views.fitting.run_fit",
    "trackside.views.journals.journal_diff",
    "trackside.views.studies.trial",
    "trackside.views.verify.state_diff",
]
LARGEST = 1 << 20  # bytes of a request


def warm_up():
    """A fit, since the first one of a process imports more of torch."""
    for name in IMPORTED:
        importlib.import_module(name)
    from helpers import batches, trainer_of

    trainer_of().fit(batches(1))


def wait(process, status, waiting):
    """Tell who waits for the process how it has ended."""
    with waiting.pop(process) as channel:
        channel.sendall(str(os.waitstatus_to_exitcode(status)).encode())


def reap(waiting):
    while waiting:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        wait(process, status, waiting)


def serve(control):
    """Fork for each request; returns one in each process, and None when nobody asks any more."""
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *ignored: None)
    waiting = {}
    while True:
        ready, _, _ = select.select([control, ended], [], [])
        if ended in ready:
            os.read(ended, LARGEST)
            reap(waiting)
        if control not in ready:
            continue
        request, descriptors, _, _ = socket.recv_fds(control, LARGEST, 4)
        if not request:
            return None
        channel = socket.socket(fileno=descriptors.pop(0))
        assert len(os.listdir("/proc/self/task")) == 1, "a fork has one thread, whatever it copies"
        process = os.fork()
        if process:
            for descriptor in descriptors:
                os.close(descriptor)
            channel.sendall(str(process).encode())
            waiting[process] = channel
            continue
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor in (ended, wake):
            os.close(descriptor)
        for other in (control, channel, *waiting.values()):
            other.close()
        return json.loads(request), descriptors


def become(request, streams):
    """Take the place of a new process: streams, folder, environment, arguments, paths."""
    import numpy
    import torch

    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))
    os.chdir(request["cwd"])
    multiprocessing.process.ORIGINAL_DIR = request["cwd"]  # of processes that are spawned
    os.environ.clear()
    os.environ.update(request["env"])
    for seed in (random.seed, numpy.random.seed, torch.default_generator.seed):
        seed()  # else all forks draw alike
    sys.orig_argv[:] = request["args"]
    more = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = [*more, *FIRST[1:]]


def execute(arguments):
    """Do what `python` does with these arguments, as the module `__main__`."""
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__builtins__ = __builtins__
    what, *rest = arguments
    if what == "-m":
        sys.argv = rest
        sys.path.insert(0, os.getcwd())
        runpy._run_module_as_main(rest[0])
    elif what == "-c":
        sys.argv = ["-c", *rest[1:]]
        sys.path.insert(0, "")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.realpath(what)))
        main.__file__ = what
        with open(what, "rb") as file:
            code = compile(file.read(), what, "exec")
        exec(code, main.__dict__)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.path[:0] = json.loads(sys.argv[2])
    warm_up()
    gc.collect()
    gc.freeze()
    if (found := serve(socket.socket(fileno=int(sys.argv[1])))) is not None:
        become(*found)
        if "triton" in sys.modules:  # it prints what is not collected at the end as leaked
            gc.unfreeze()
        execute(found[0]["args"][1:])

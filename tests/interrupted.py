"""A server of child processes that fit until a signal ends them: see test_interrupt_random.

It imports torch once. For each line it reads it forks a child of that kind, prints its process
id as the child is ready, one line of what the child found, and the child's exit code.
"""

import functools
import gc
import inspect
import json
import os
import queue
import signal
import sys
import time

from helpers import CANCELS, batches, trainer_of

from trackside.engine import interruptible
from trackside.events import SIGNALS


def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def recorded(trainer):
    """The names of the signals that `trainer` sends, in a queue.

    Recorded by receivers in C: an interrupt hits before one of them or after it, never within.
    """
    log = queue.SimpleQueue()
    for name in SIGNALS:
        record = functools.partial(log.put, name)
        record.__signature__ = inspect.signature(lambda trainer, state: None)
        trainer.on(name)(record)
    return log


def all_closed(signals):
    """Whether each scope that began was closed once, and the innermost first."""
    opened = []
    for name in signals:
        moment, _, scope = name.rpartition("_")
        if moment == "begin":
            opened.append(scope)
        elif moment == "after" and scope in CANCELS and opened.pop() != scope:
            return False
    return opened == []


def blocked():
    """Never gives a second batch."""
    yield batches(1)[0]
    tell("blocked")
    time.sleep(60)


def asked_to_end(trainer, loader):
    """An `interruptible` fit; the exit code by which a shell knows the signal."""
    with interruptible(trainer) as interruption:
        tell(os.getpid())
        trainer.fit(loader, batches(2), epochs=1 if loader is not DATA else 10**9)
    assert trainer.state.outcome == "cancelled"
    assert trainer.state.cancel.reason == f"received {interruption.signal.name}"
    return 128 + interruption.signal


def interrupted(trainer, fit):
    """What a program does that lets KeyboardInterrupt escape, as a shell would report it."""
    try:
        fit()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def bare(trainer):
    tell(os.getpid())
    trainer.fit(DATA, batches(2), epochs=10**9)


DATA = batches(3)
KINDS = {
    "asked": lambda trainer: asked_to_end(trainer, DATA),
    "twice": lambda trainer: interrupted(trainer, lambda: asked_to_end(trainer, blocked())),
    "bare": lambda trainer: interrupted(trainer, lambda: bare(trainer)),
}


def child(kind):
    """Fit until a signal comes; print what was found, give back the exit code."""
    trainer = trainer_of()
    log = recorded(trainer)
    found = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    code = KINDS[kind](trainer)
    signals = [log.get() for _ in range(log.qsize())]
    report = {
        "closed": all_closed(signals),
        "ended": signals[-1:] in ([], ["after_fit"]),
        "phase": trainer.state.phase,
        "restored": found
        == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "fits_again": trainer.fit(batches(1)).outcome,
    }
    tell(json.dumps(report))
    return code


def serve():
    trainer_of().fit(batches(1))  # the first fit of a process imports much of torch
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            gc.disable()  # Python swallows what a signal raises in a finalizer that it runs
            signal.alarm(120)  # what is not ended by then ends here, with another exit code
            signal.signal(signal.SIGINT, signal.default_int_handler)
            code = 70
            try:
                code = child(line.strip())
            finally:
                os._exit(code)
        tell(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


if __name__ == "__main__":
    serve()

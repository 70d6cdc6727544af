"""The thread that writes checkpoints, and processes that are forked meanwhile."""

import os
import signal
from threading import Event

from trackside.handlers.checkpointing._background_writer import BackgroundWriter


def test_a_forked_process_does_not_wait_for_the_writes_of_its_parent():
    may_write, written = Event(), []
    writer = BackgroundWriter(copy=dict)

    def write(state):
        may_write.wait()
        written.append(state)

    writer.save(lambda: {"step": 1}, write, lambda: None)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a process that waits for ever
        writer.wait()
        os._exit(7 if writer.failed else 0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    may_write.set()
    writer.wait()
    assert (code, written) == (0, [{"step": 1}])

"""The thread that waits for work, and processes that are forked meanwhile."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest
from forked import run_forked

from trackside.handlers.checkpointing._idle_thread import IdleThread


@pytest.fixture
def thread():
    idle = IdleThread("idle")
    yield idle
    idle.end()
    for each in living():
        each.join(60)


def in_a_fork(check):
    """Whether a check is true in a forked process."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # ends a process that waits for ever
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def names_of(thread, jobs):
    """The threads that do some jobs, one after the other."""
    done_in = []
    for _ in range(jobs):
        thread.submit(lambda: done_in.append(threading.current_thread())).wait()
    return set(done_in)


def living():
    return [each for each in threading.enumerate() if each.name.startswith("idle")]


def test_all_jobs_are_done_by_one_thread(thread):
    (one,) = names_of(thread, jobs=5)
    assert one is not threading.current_thread()


def test_an_idle_thread_ends_before_a_fork_and_the_next_job_starts_another(thread):
    names_of(thread, jobs=1)
    assert len(living()) == 1
    assert in_a_fork(lambda: True)
    assert living() == []
    names_of(thread, jobs=1)
    assert len(living()) == 1


def test_a_fork_does_not_wait_for_a_job(thread):
    may_end = threading.Event()
    job = thread.submit(may_end.wait)
    assert in_a_fork(lambda: True)
    assert not job.done()
    may_end.set()
    job.wait()


def test_a_forked_process_has_a_thread_of_its_own(thread):
    may_end = threading.Event()
    job = thread.submit(may_end.wait)
    assert in_a_fork(lambda: len(names_of(thread, jobs=2)) == 1)
    may_end.set()
    job.wait()


def test_a_fork_of_a_fork_leaves_the_thread_alone(thread):
    names_of(thread, jobs=1)
    assert in_a_fork(lambda: in_a_fork(lambda: True))
    names_of(thread, jobs=1)


def test_a_job_is_done_at_once_where_no_thread_can_start(thread, monkeypatch):
    def refuse(starting):
        raise RuntimeError("can't start new thread")

    done = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert thread.submit(lambda: done.append(threading.current_thread())).done()
    assert done == [threading.main_thread()]


def test_an_error_of_a_job_is_kept_and_the_thread_goes_on(thread):
    assert isinstance(thread.submit(lambda: 1 / 0).error(), ZeroDivisionError)
    names_of(thread, jobs=1)


def test_a_thread_that_an_interrupt_of_its_start_leaves_ends(thread, monkeypatch):
    start = threading.Thread.start

    def interrupted(starting):
        start(starting)
        raise KeyboardInterrupt  # as `start` waits for the thread

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.submit(lambda: None)
    for left in living():
        left.join(30)
    assert living() == []
    names_of(thread, jobs=2)


def test_an_error_that_was_raised_is_not_kept(thread):
    class Lost(Exception):
        pass

    def fail():
        raise Lost

    gc.disable()
    try:
        with pytest.raises(Lost) as caught:
            thread.submit(fail).wait()
        error = weakref.ref(caught.value)
        del caught
        assert error() is None
    finally:
        gc.enable()


def test_after_its_end_no_thread_is_there(thread):
    names_of(thread, jobs=1)
    (there,) = living()
    thread.end()
    there.join(30)
    assert living() == []


def test_a_thread_ends_with_what_had_it_started():
    idle = IdleThread("idle")
    names_of(idle, jobs=1)
    (there,) = living()
    del idle
    there.join(30)
    assert living() == []


@pytest.mark.parametrize("dropped", [False, True])
def test_a_job_is_done_before_the_interpreter_exits(tmp_path, dropped):
    code = f"""
        import pathlib, threading
        from trackside.handlers.checkpointing._idle_thread import IdleThread

        def job():
            exits.wait()
            pathlib.Path({str(tmp_path / "done")!r}).write_text("done")

        exits = threading.Event()
        idle = IdleThread("idle")
        idle.submit(job)
        threading._register_atexit(exits.set)
        {"del idle" if dropped else ""}
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)
    assert (tmp_path / "done").read_text() == "done"


FIRST = """
import atexit
from trackside.handlers.checkpointing._idle_thread import IdleThread

def late():
    print(IdleThread("idle").submit(lambda: None).done())

atexit.register(late)
"""


def test_a_first_job_while_the_interpreter_exits_is_done_at_once():
    done = run_forked([sys.executable, "-c", FIRST], timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_a_job_while_the_interpreter_exits_is_done_at_once(tmp_path):
    code = f"""
        import atexit, pathlib
        from trackside.handlers.checkpointing._idle_thread import IdleThread

        def late():
            thread = IdleThread("idle")
            for each in (idle, thread):
                assert each.submit(lambda: None).done()
            pathlib.Path({str(tmp_path / "done")!r}).write_text("done")

        idle = IdleThread("idle")
        idle.submit(lambda: None).wait()
        atexit.register(late)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=120)
    assert (tmp_path / "done").read_text() == "done"

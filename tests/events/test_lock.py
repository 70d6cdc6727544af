import subprocess
import sys
import threading

from trackside.events import Transition, after_loss, any_transition, begin_fit
from trackside.events.lock import locked
from trackside.events.signal import Route, link, unlink


class Sender:
    """Something that sends, as an engine does."""


def test_threads_subscribe_while_others_begin_and_end_runs():
    errors, interval = [], sys.getswitchinterval()
    before = set(begin_fit.receivers)

    def subscribe():
        def hear(trainer, state, transition=None):
            pass

        for _ in range(20):
            for signal in (begin_fit, after_loss, any_transition):
                signal.connect(hear)
            for signal in (begin_fit, after_loss, any_transition):
                signal.disconnect(hear)

    def run():
        for _ in range(20):
            transition = Transition("begin_fit", "idle", "fit.ready")
            routes = [Route(begin_fit, Sender(), transition) for _ in range(200)]
            link(routes)
            unlink(routes)

    def watched(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    works = [subscribe, run] * 3
    threads = [threading.Thread(target=watched, args=(work,)) for work in works]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert errors == []
    assert set(begin_fit.receivers) <= before


def test_a_locked_function_keeps_its_name_and_its_result():
    @locked
    def double(number):
        "Twice."
        return 2 * number

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Twice.")


FORK = """
import os, threading
from trackside.events.lock import BUS_LOCK
taken, forking = threading.Event(), threading.Event()

def hold():
    with BUS_LOCK:
        taken.set()
        forking.wait()

def take():
    free.append(BUS_LOCK.acquire(timeout=10))

threading.Thread(target=hold).start()
taken.wait()
os.register_at_fork(before=forking.set)
child = os.fork()
if child == 0:
    free = []
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    os._exit(0 if free == [True] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_child_made_by_fork_finds_the_bus_free_although_another_thread_had_it():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"

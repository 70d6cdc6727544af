import subprocess
import sys
import threading

from trackside.events import Transition, after_loss, any_transition, begin_fit
from trackside.events.bus.lock import locked
from trackside.events.bus.signal import Route, link, unlink


class Sender:
    """Any object can send signals."""


def test_threads_subscribe_while_other_threads_begin_and_end_runs():
    errors, interval = [], sys.getswitchinterval()
    before = set(begin_fit.receivers)

    def subscribe():
        def receive(trainer, state, transition=None):
            pass

        for _ in range(10):
            for signal in (begin_fit, after_loss, any_transition):
                signal.connect(receive)
            for signal in (begin_fit, after_loss, any_transition):
                signal.disconnect(receive)

    def run():
        for _ in range(10):
            transition = Transition("begin_fit", "idle", "fit.ready")
            routes = [Route(begin_fit, Sender(), transition) for _ in range(200)]
            link(routes)
            unlink(routes)

    def recording_errors(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    works = [subscribe, run] * 3
    threads = [threading.Thread(target=recording_errors, args=(work,)) for work in works]
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
        "Multiply by two."
        return 2 * number

    assert (double(4), double.__name__, double.__doc__) == (8, "double", "Multiply by two.")


FORK = """
import os, threading
from trackside.events.bus.lock import BUS_LOCK
acquired, forking = threading.Event(), threading.Event()

def hold():
    with BUS_LOCK:
        acquired.set()
        forking.wait()

def acquire():
    free.append(BUS_LOCK.acquire(timeout=10))

threading.Thread(target=hold).start()
acquired.wait()
os.register_at_fork(before=forking.set)
child = os.fork()
if child == 0:
    free = []
    thread = threading.Thread(target=acquire)
    thread.start()
    thread.join()
    os._exit(0 if free == [True] else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_the_lock_is_free_in_a_forked_child_if_another_thread_held_it():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"

import subprocess
import sys
import threading

import pytest

from trackside.events import Transition, after_loss, any_transition, begin_fit
from trackside.events.bus import lock
from trackside.events.bus.lock import locked
from trackside.events.bus.signal import Route, link


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
            link(routes).end()

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


class Refused(Exception):
    """Raised in place of acquiring the lock."""


class Refusing:
    def __enter__(self):
        raise Refused

    def __exit__(self, *error):
        """Never entered."""


def receive(trainer, state):
    """Subscribed to one sender."""


def route_of(sender):
    return Route(begin_fit, sender, Transition("begin_fit", "idle", "fit.ready"))


def test_without_the_lock_nothing_is_connected_disconnected_or_linked(monkeypatch):
    linked, other, sender = route_of(Sender()), route_of(Sender()), Sender()
    begin_fit.connect(receive, linked.sender)
    links = link([linked])

    def connected():
        receivers = [list(begin_fit.receivers_for(each)) for each in (linked.sender, sender)]
        return receivers, linked.receivers, set(begin_fit._routes), set(any_transition._routes)

    before = connected()
    with monkeypatch.context() as patch:
        patch.setattr(lock, "BUS_LOCK", Refusing())
        for change, *arguments in (
            (begin_fit.connect, receive, sender),
            (begin_fit.disconnect, receive, linked.sender),
            (link, [other]),
            (links.end,),
            (begin_fit.refresh,),
        ):
            with pytest.raises(Refused):
                change(*arguments)
    assert connected() == before
    assert linked.receivers
    links.end()

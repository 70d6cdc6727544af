import gc
import subprocess
import sys
import threading

import pytest

from trackside.events import Transition, after_loss, any_transition, begin_fit
from trackside.events.bus import lock
from trackside.events.bus.lock import BUS_LOCK, bus_locked, locked, when_free
from trackside.events.bus.signal import Route, Signal, link


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


def unreachable(signal):
    """A list of a sender that a receiver is connected to; cleared, only a collection deletes it."""
    sender = Sender()
    sender.itself = sender
    signal.connect(receive, sender)
    return [sender]


def test_what_a_collection_in_another_thread_disconnects_does_not_wait_for_the_lock():
    signal = Signal("collected")
    senders = unreachable(signal)
    senders.clear()
    with bus_locked():
        thread = threading.Thread(target=gc.collect)
        thread.start()
        thread.join()
        assert signal.receivers
    assert not signal.receivers


def test_a_collection_while_receivers_prepare_themselves_does_not_have_them_prepared_again():
    signal, prepared = Signal("collected"), []

    class Preparing:
        def __call__(self, trainer, state, transition):
            """Prepared for each transition."""

        def for_transition(self, transition):
            prepared.append(transition)
            senders.clear()
            gc.collect()
            return receive

    senders, sender = unreachable(signal), Sender()
    transitions = [Transition(f"t{number}", "idle", "fit.ready") for number in range(3)]
    any_transition.connect(Preparing(), sender)
    links = link([Route(signal, sender, each) for each in transitions])
    assert prepared[: len(transitions)] == transitions
    assert not signal.receivers
    links.end()


def test_a_new_sender_in_the_place_of_a_deleted_one_has_only_its_own_receivers():
    signal, new, acquired, release = Signal("collected"), [], threading.Event(), threading.Event()
    senders = unreachable(signal)
    place = id(senders[0])

    def hold():
        with BUS_LOCK:
            acquired.set()
            release.wait()

    def own(trainer, state):
        """Subscribed to the new sender."""

    holder = threading.Thread(target=hold)
    holder.start()
    acquired.wait()
    senders.clear()
    gc.collect()
    while id((new or [None])[-1]) != place and len(new) < 10_000:
        new.append(Sender())
    assert id(new[-1]) == place
    release.set()
    holder.join()
    assert signal.receivers
    signal.connect(own, new[-1])
    assert [*signal.receivers_for(new[-1])] == [own]
    assert len(signal.receivers) == 1


def test_any_number_of_senders_can_be_deleted_while_the_lock_is_held():
    signal = Signal("collected")
    senders = [unreachable(signal) for _ in range(sys.getrecursionlimit())]
    with bus_locked():
        senders.clear()
        gc.collect()
        assert signal.receivers
    assert not signal.receivers


def test_what_is_postponed_at_the_moment_of_the_release_is_done():
    done = []

    class Releasing:
        """A lock, at whose release another thread has something to postpone, once."""

        def __init__(self):
            self.lock, self.todo = threading.RLock(), [when_free(done.append)]
            self.acquire, self._is_owned = self.lock.acquire, self.lock._is_owned

        def __enter__(self):
            self.lock.acquire()

        def __exit__(self, *error):
            if self.todo:
                thread = threading.Thread(target=self.todo.pop(), args=("released",))
                thread.start()
                thread.join()
            assert not done
            self.lock.release()

        def release(self):
            self.lock.release()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lock, "BUS_LOCK", Releasing())
        with bus_locked():
            pass
    assert done == ["released"]


COLLECT_AT_FORK = """
import gc, os

class Sender:
    pass

senders = []

def collect():
    senders.clear()
    gc.collect()
    assert signal.receivers

os.register_at_fork(before=collect)  # before the lock, so that it is called when that is held
from trackside.events.bus.signal import Signal

signal = Signal("collected")
senders.append(Sender())
signal.connect(lambda trainer, state: None, senders[0])
child = os.fork()
if child == 0:
    os._exit(len(signal.receivers))
print(len(signal.receivers), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_what_is_collected_during_a_fork_is_disconnected_in_both_processes():
    done = subprocess.run(
        [sys.executable, "-c", COLLECT_AT_FORK], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("0 0\n", "")


DELETED_AT_EXIT = """
import sys
from trackside.events import begin_fit

def receive(trainer, state):
    pass

begin_fit.connect(receive, weak=True)
sys.modules[sys.argv[1]].kept = receive
del receive
"""


@pytest.mark.parametrize("module", ["os", "collections"])
def test_what_is_deleted_when_the_interpreter_ends_prints_nothing(module):
    done = subprocess.run(
        [sys.executable, "-c", DELETED_AT_EXIT, module], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


class Refused(Exception):
    """Raised in place of acquiring the lock."""


class Refusing:
    def __enter__(self):
        raise Refused

    def __exit__(self, *error):
        """Never entered."""

    def _is_owned(self):
        return False


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

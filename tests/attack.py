"""One attack for each seed: exceptions of odd kinds × places × ways to drive; what must hold then.

`python tests/attack.py SEED` prints an attack and repeats it.
"""

import asyncio
import contextlib
import copy
import dataclasses
import functools
import logging
import random
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from attacked import MACHINE_POINTS, ORACLE_POINTS, POINTS, AttackedRig, logging_to
from oracle import EPOCHS, SCOPES, Raise, assert_nested, by_hand
from strange import (
    CANCEL_KINDS,
    ERROR_KINDS,
    ILLEGAL,
    Escalating,
    Foreign,
    Interrupting,
)

from trackside.events import CANCELS, Cancel, IllegalCancelError

PATIENCE = 60
"""Seconds that a run in a thread may take; it takes milliseconds."""
RESTING = ("idle", "completed", "cancelled", "failed")
undisturbed = functools.cache(by_hand)


@dataclass
class Driver:
    """Drives a rig in one of the ways; `draw` chooses where the host stops."""

    rig: AttackedRig
    draw: random.Random

    @property
    def loaders(self):
        return self.rig.world.train_loader, self.rig.world.valid_loader

    def host_raises(self, kind):
        """Raise it as the host, which the run does not know of."""
        error = kind("of the host")
        self.rig.plan.raised.append((error, "host"))
        return error

    def steps(self):
        return self.rig.trainer.steps(*self.loaders, epochs=EPOCHS)

    def fit(self):
        self.rig.trainer.fit(*self.loaders, epochs=EPOCHS)

    def stepping(self):
        for _ in self.steps():
            pass

    def single_steps(self):
        run = self.steps()
        while self.rig.trainer.step() is not None:
            assert run.gi_frame is not None

    def some_steps(self):
        run = self.steps()
        for _ in range(self.draw.randrange(90)):
            next(run, None)
        return run

    def closing(self):
        self.some_steps().close()

    def throwing(self):
        run = self.some_steps()
        if run.gi_frame is not None:
            run.throw(self.host_raises(self.draw.choice((ValueError, KeyboardInterrupt))))
        for _ in run:
            pass

    def saving(self):
        """A host that saves between two batches, and closes the run when that fails."""
        with contextlib.closing(self.steps()) as run:
            for _ in run:
                if self.rig.trainer.state.at_boundary and self.draw.random() < 0.2:
                    self.rig.trainer.state_dict()

    def thread(self):
        run = self.rig.trainer.start(*self.loaders, epochs=EPOCHS)
        run.result(PATIENCE)

    def requests(self):
        """Requests from this thread, while another one fits."""
        run = self.rig.trainer.start(*self.loaders, epochs=EPOCHS)
        for _ in range(self.draw.randrange(4)):
            match self.draw.randrange(3):
                case 0:
                    run.cancel(self.draw.choice(SCOPES))
                case 1:
                    with contextlib.suppress(IllegalCancelError):
                        self.rig.trainer.request(self.draw.choice(CANCEL_KINDS)("asked"))
                case 2:
                    run.pause()
                    run.resume()
        run.result(PATIENCE)

    def leaving(self):
        with self.rig.trainer.start(*self.loaders, epochs=EPOCHS):
            pass

    def stream(self):
        self._in_a_loop(self._stream(10**9))

    def cancelled_task(self):
        self._in_a_loop(self._stream(self.draw.randrange(1, 60)))

    def awaiting(self):
        self._in_a_loop(self._await())

    async def _stream(self, at):
        stream, count = self.rig.trainer.astream(*self.loaders, epochs=EPOCHS), 0
        async for _ in stream:
            count += 1
            if count == at:
                asyncio.current_task().cancel()

    async def _await(self):
        await self.rig.trainer.start(*self.loaders, epochs=EPOCHS)

    def _in_a_loop(self, work):
        """Run a coroutine; a task of asyncio cannot end by each kind of exception."""

        async def kept():
            try:
                await work
            except BaseException as error:
                return [error]
            return []

        for error in asyncio.run(kept()):
            raise error

    def validate(self):
        self.rig.trainer.validate(self.rig.world.valid_loader)

    def predict(self):
        self.rig.trainer.predict(self.rig.world.valid_loader)

    def resume(self):
        saved = self.draw.choice(saved_states())
        self.rig.trainer.fit(*self.loaders, resume=saved)

    def load(self):
        self.rig.trainer.load_state_dict(self.draw.choice(saved_states()))

    def attaching(self):
        """A handler goes and comes while it is attached to a trainer that then fits."""
        for handler in self.rig.trainer.handlers:
            if hasattr(handler, "attached"):
                self.rig.trainer.detach(handler)
                self.rig.trainer.attach(handler)
        self.fit()


EXACT = ("fit", "stepping", "single_steps", "thread", "stream", "awaiting")
"""Ways that only drive: the oracle says what comes of the fit."""
WAYS = (
    *EXACT,
    *("closing", "throwing", "saving", "requests", "leaving", "cancelled_task", "validate"),
    *("predict", "resume", "load", "attaching"),
)


@functools.cache
def saved_states():
    """States of an undisturbed fit, at some of its boundaries."""
    rig, saved = AttackedRig(), []
    rig.begin()
    for _ in rig.trainer.steps(rig.world.train_loader, rig.world.valid_loader, epochs=EPOCHS):
        if rig.trainer.state.at_boundary:
            saved.append(copy.deepcopy(rig.trainer.state_dict()))
    return saved[::5]


DETERMINED = tuple(way for way in WAYS if way not in ("requests", "leaving"))
TIMES = (0, 1, 1, 1, 2, 3)
"""The n of an entry; 0: each time."""


@dataclass
class Scenario:
    """What is raised where, and how the fit is driven."""

    seed: int
    way: str
    entries: tuple[Raise, ...]

    @classmethod
    def of(cls, seed, ways=WAYS):
        """Always the same of a seed."""
        draw = random.Random(seed)
        way = draw.choice(ways)
        places = ORACLE_POINTS if draw.random() < 0.3 else POINTS
        entries = tuple(
            Raise(draw.choice(_kinds(draw)), draw.choice(places), draw.choice((0, 1, 1, 1, 2, 3)))
            for _ in range(draw.choice((1, 1, 2, 2, 3)))
        )
        return cls(seed, way, entries)

    def __str__(self):
        raised = ", ".join(f"{kind.__name__} at {where} {n}" for kind, where, n in self.entries)
        return f"attack {self.seed}: {self.way}, {raised}"

    def rig(self):
        """A fresh one, with the callbacks of the machine that are needed."""
        used = {where for _, where, _ in self.entries}
        return AttackedRig([point for point in MACHINE_POINTS if point in used])

    def run(self, rig):
        """What escapes."""
        rig.begin(self.entries)
        try:
            getattr(Driver(rig, random.Random(self.seed)), self.way)()
        except BaseException as error:
            return error
        return None

    def exact(self):
        """The entries as the oracle knows them; None where it does not."""
        if self.way not in EXACT or any(n == 0 for _, _, n in self.entries):
            return None
        plain = [_plain(*entry, alone=len(self.entries) == 1) for entry in self.entries]
        return None if None in plain else tuple(plain)


def _kinds(draw):
    return draw.choice((CANCEL_KINDS, CANCEL_KINDS, ERROR_KINDS, ERROR_KINDS, ILLEGAL))


def _plain(kind, where, n, alone):
    moment, _, scope = where.partition(" ")
    if alone and moment in ("open", "close"):
        where = f"begin_{scope}" if moment == "open" else f"after_{scope}"
    if where not in ORACLE_POINTS:
        return None
    return Raise(_plain_kind(kind, where), where, n)


def _plain_kind(kind, where):
    if kind in CANCEL_KINDS:
        return CANCELS[kind.scope]
    if kind in ILLEGAL:
        return Foreign
    if kind is StopIteration and where == "loader":
        return kind
    made = kind("")
    return ValueError if issubclass(type(made), Exception) else KeyboardInterrupt


def attack(seed):
    """Check all that must hold of one attack, and of the fit after it."""
    scenario = Scenario.of(seed)
    rig = scenario.rig()
    with logging_to(rig.log_handler), no_thread_ends_by_an_error():
        escaped = scenario.run(rig)
    assert_closed(rig, scenario)
    assert_right_error(rig.plan.raised, scenario, escaped)
    if (entries := scenario.exact()) is not None:
        assert rig.result() == dataclasses.replace(by_hand(entries), escaped=())
    assert rig.run() == undisturbed(), "the next fit"


@contextlib.contextmanager
def no_thread_ends_by_an_error():
    died, before = [], threading.excepthook
    threading.excepthook = died.append
    try:
        yield
    finally:
        threading.excepthook = before
    assert not died, "a thread ended by an error"


def attack_by_two(seed):
    """Check that two attacks in two threads come to what each comes to alone."""
    scenarios = [Scenario.of(f"{seed} {n}", DETERMINED) for n in "ab"]
    with logging_to(logging.NullHandler()):
        alone = [found(scenario, scenario.rig()) for scenario in scenarios]
        rigs = [scenario.rig() for scenario in scenarios]
        with ThreadPoolExecutor(2) as threads:
            together = [*threads.map(found, scenarios, rigs)]
        for ours, theirs, rig in zip(together, alone, rigs, strict=True):
            assert ours == theirs
            assert rig.run() == undisturbed(), "the next fit"


def found(scenario, rig):
    """All that an attack came to."""
    escaped = scenario.run(rig)
    return rig.result(), type(escaped), rig.transitions[:], rig.marks[:]


def assert_closed(rig, scenario):
    """Check that every scope that opened closed once, innermost first, and that nothing is left."""
    state, opened = rig.trainer.state, []
    for moment, *mark in rig.marks:
        if moment == "open":
            opened.append(mark)
        else:
            assert opened.pop() == mark
    assert opened == []
    if scenario.way != "resume":
        assert_nested(rig.transitions)
    assert state.phase in RESTING
    assert not rig.trainer.is_closing
    assert state.error is None
    assert (state.batches, state.paused, state.batch, state.loss) == (None,) * 4
    assert rig.world.model.training
    assert torch.is_grad_enabled()


def assert_right_error(raised, scenario, escaped):
    """Check it: an interrupt before an error, an error before a cancel; of equals the first."""
    ranks = [_rank(error, where, scenario) for error, where in raised]
    if escaped is None:
        assert not any(ranks), "an error is lost"
        return
    of_the_host = type(escaped) is asyncio.CancelledError and scenario.way == "cancelled_task"
    if of_the_host and not any(ranks):
        return
    if type(escaped) is KeyboardInterrupt and any(_interrupts(error) for error, _ in raised):
        return
    origins = [n for n, (error, _) in enumerate(raised) if _comes_from(escaped, error)]
    assert origins, f"a {type(escaped).__name__} that nobody raised"
    ranks[origins[0]] = rank = max(1, ranks[origins[0]])
    assert max(ranks) == rank, "a stronger one is lost"
    assert ranks.index(rank) == origins[0], "an earlier one is lost"


def _rank(error, where, scenario):
    """0: it need not escape; 1: an error; 2: an interrupt."""
    kind = type(error)
    is_error = issubclass(kind, Exception)
    ends_a_pass = kind is StopIteration and where in ("loader", "dataset")
    if ends_a_pass or issubclass(kind, Cancel) or (is_error and where in ("detaching", "log")):
        return 0
    if (scenario.way, where) == ("saving", "state_dict"):  # the host's own; it closes the run
        return 0
    return 1 if is_error else 2


def _interrupts(error):
    return issubclass(type(error), (Escalating, Interrupting))


_ENDING = (StopIteration, StopAsyncIteration, GeneratorExit)
"""Where Python ends an iterator by one, or closes a generator by it, an error replaces it."""


def _comes_from(escaped, error):
    """Whether it is `error`, or Python or trackside say that it is not what may be raised there."""
    if escaped is error:
        return True
    wraps = {IllegalCancelError: Cancel, RuntimeError: _ENDING}
    allowed = wraps.get(type(escaped), ())
    return issubclass(type(error), allowed) and escaped.__cause__ is error


if __name__ == "__main__":
    print(Scenario.of(int(sys.argv[1])))
    warnings.simplefilter("ignore")
    attack(int(sys.argv[1]))

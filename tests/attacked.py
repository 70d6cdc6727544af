"""A rig with a point to raise at in every place where code of a user runs.

The points are those of the oracle (each signal, the loader's `next`, model, loss, backward,
optimizer), and: `open X` and `close X`, a scope handler before and after its yield; `before X` and
`after X`, a wrap of an activity; `iter`, `len` and `dataset` of a loader; `hook`, of a gradient;
`any`, `when`, `once`, `detaching`: receivers of other kinds; `around`, an instrument; `prepare`, a
receiver that is prepared for a transition; `resumed`, `state_dict`, `load_state_dict`, `attached`,
`detached` of a handler; `log`, a handler of the log; and those of the machine.
"""

import logging
from contextlib import contextmanager

from oracle import ACTIVITIES, SCOPES, SIGNALS, Batches, Plan, Rig
from torch.utils.data import DataLoader
from transitions.core import Condition

from trackside.engine import Trainer

WRAPPED = (
    *("fit.ready", "epoch.ready", "train.fetch", "forward", "loss", "backward", "step"),
    *("zero_grad", "trained", "validate.fetch", "validated"),
)
MACHINE_POINTS = ("condition", "before row", "after row", "enter", "exit", "prepare event")
"""Callbacks of the machine; with one, its rows are fired by the library, which is slow."""
SCOPE_POINTS = tuple(f"{moment} {scope}" for scope in SCOPES for moment in ("open", "close"))
WRAP_POINTS = tuple(f"{moment} {name}" for name in WRAPPED for moment in ("before", "after"))
OTHER_POINTS = (
    *("iter", "len", "dataset", "hook", "any", "when", "once", "detaching", "around", "prepare"),
    *("resumed", "state_dict", "load_state_dict", "attached", "detached", "log"),
)
ORACLE_POINTS = (*SIGNALS, *ACTIVITIES)
POINTS = (*ORACLE_POINTS, *SCOPE_POINTS, *WRAP_POINTS, *OTHER_POINTS, *MACHINE_POINTS)


class Attack(Plan):
    """A plan that keeps what it has raised; n = 0 is each time."""

    def begin(self, entries):
        super().begin(entries)
        self.raised = []
        """(exception, point), in order."""

    def reach(self, point):
        self.reached[point] += 1
        for kind, where, n in self.entries:
            if where == point and n in (0, self.reached[point]):
                error = kind(f"{kind.__name__} at {point} {self.reached[point]}")
                self.raised.append((error, point))
                raise error


class AttackedBatches(Batches):
    """Its batches are items of a dataset, read by torch's loader."""

    def __init__(self, plan, batches):
        self.plan = plan
        self.batches = DataLoader(Items(plan, batches), batch_size=None)

    def __iter__(self):
        self.plan.reach("iter")
        return super().__iter__()

    def __len__(self):
        self.plan.reach("len")
        return super().__len__()


class Items:
    def __init__(self, plan, items):
        self.plan, self.items = plan, items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.plan.reach("dataset")
        return self.items[index]


class Saving:
    """A handler with everything that a handler may have, but receivers."""

    def __init__(self, plan):
        self.plan = plan

    def resumed(self, trainer, state):
        self.plan.reach("resumed")

    def state_dict(self):
        self.plan.reach("state_dict")
        return {"n": 1}

    def load_state_dict(self, state):
        self.plan.reach("load_state_dict")

    def attached(self, trainer):
        self.plan.reach("attached")

    def detached(self, trainer):
        self.plan.reach("detached")


class Detaching:
    """Its errors take it off; cancels and interrupts do not."""

    on_error = "detach"

    def __init__(self, plan):
        self.plan = plan

    def after_loss(self, trainer, state):
        self.plan.reach("detaching")


class Prepared:
    """A receiver of all transitions that is prepared for each of them."""

    def __init__(self, plan):
        self.plan = plan

    def any_transition(self, trainer, state, transition):
        raise AssertionError("it was not prepared")

    def for_transition(self, transition):
        self.plan.reach("prepare")
        return lambda trainer, state: None


class AttackedRig(Rig):
    """The rig of the oracle, with the other points.

    Attributes:
        transitions: the triggers of all that were made.
        marks: ("open" or "close", scope, number) of the scope handlers, two for each scope.
    """

    new_plan = Attack

    def __init__(self, machine_points=()):
        super().__init__(lambda world: Trainer(world.model, world.loss_fn, world.optimizer))
        plan, trainer, world = self.plan, self.trainer, self.world
        self.marks, self.transitions = [], []
        trainer.on("any_transition")(self._record)
        self.log_handler = LogHandler(plan)
        world.train_loader = AttackedBatches(plan, world.train_loader.batches)
        world.valid_loader = AttackedBatches(plan, world.valid_loader.batches)
        world.model.weight.register_post_accumulate_grad_hook(lambda weight: plan.reach("hook"))
        for scope in SCOPES:
            for number in (1, 2):
                trainer.within(scope)(self._scope_handler(scope, number))
        for name in WRAPPED:
            trainer.wrap(name, self._wrapper(name))
        for handler in (Saving(plan), Detaching(plan), Prepared(plan)):
            trainer.attach(handler)
        trainer.on("any_transition")(lambda trainer, state, transition: plan.reach("any"))
        trainer.on("after_pred", when=lambda trainer, state: plan.reach("when"))(nothing)
        trainer.on("after_loss", once=True)(lambda trainer, state: plan.reach("once"))
        trainer.instrument(self._around)
        for point in machine_points:
            self._add_machine_point(point)

    def begin(self, entries=(), pauses=()):
        super().begin(entries, pauses)
        self.marks.clear()
        self.transitions.clear()

    def _record(self, trainer, state, transition):
        self.transitions.append(transition.trigger)

    def _scope_handler(self, scope, number):
        def log_scope(trainer, state):
            if number == 1:
                self.plan.reach(f"open {scope}")
            self.marks.append(("open", scope, number))
            try:
                yield
            finally:
                self.marks.append(("close", scope, number))
            if number == 1:
                self.plan.reach(f"close {scope}")

        return log_scope

    def _wrapper(self, name):
        def wrap(activity):
            def work(state):
                self.plan.reach(f"before {name}")
                trigger = activity(state)
                self.plan.reach(f"after {name}")
                return trigger

            return work

        return wrap

    def _around(self, receiver, transition):
        if transition.trigger != "after_pred":
            return receiver

        def call(trainer, state):
            self.plan.reach("around")
            receiver(trainer, state)

        call.__wrapped__ = receiver
        return call

    def _add_machine_point(self, point):
        machine = self.trainer.machine

        def callback(state):
            self.plan.reach(point)
            return True

        row = next(iter(machine.events["after_loss"].transitions.values()))[0]
        match point:
            case "condition":
                row.conditions.append(Condition(callback))
            case "before row":
                row.add_callback("before", callback)
            case "after row":
                row.add_callback("after", callback)
            case "enter":
                machine.on_enter("fit.epoch.train.batch.loss", callback)
            case "exit":
                machine.on_exit("fit.epoch.train.batch", callback)
            case "prepare event":
                machine.prepare_event = [callback]


class LogHandler(logging.Handler):
    """What an application may have on the logger: it formats, and can fail."""

    def __init__(self, plan):
        super().__init__()
        self.plan = plan

    def emit(self, record):
        self.plan.reach("log")


@contextmanager
def logging_to(handler):
    """The log of trackside goes to this handler alone."""
    log = logging.getLogger("trackside")
    propagates, log.propagate = log.propagate, False
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def nothing(trainer, state):
    pass

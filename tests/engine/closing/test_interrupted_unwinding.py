"""A second interrupt, anywhere in the engine's own closing, and one at the end of a run."""

import dis
import functools
import sys

import pytest
from helpers import model
from oracle import SCOPES, Raise, Rig, by_hand

from trackside.engine import Trainer


@functools.cache
def interruptible(code):
    """Offsets at which CPython raises an interrupt: at the entry, a jump back, and after a call.

    From 3.12 on, `CALL_INTRINSIC` makes a tuple of a list, and looks for no interrupt.
    """
    found, before = set(), "RESUME"
    for instruction in dis.get_instructions(code):
        jumps = instruction.opname.startswith("JUMP_BACKWARD")
        called = before.startswith("CALL") and not before.startswith("CALL_INTRINSIC")
        if jumps or before == "RESUME" or called:
            found.add(instruction.offset)
        before = instruction.opname
    return found


class Interrupts:
    """Raises KeyboardInterrupt at the n-th such point of the engine after `begin` was called."""

    def __init__(self, at):
        self.at = at
        self.count = None

    def begin(self):
        self.count = 0

    def __enter__(self):
        self.before = sys.gettrace()
        sys.settrace(self._enter)

    def __exit__(self, *raised):
        sys.settrace(self.before)

    def _enter(self, frame, event, argument):
        if not frame.f_globals.get("__name__", "").startswith("trackside.engine"):
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame, event, argument):
        here = event == "opcode" and frame.f_lasti in interruptible(frame.f_code)
        if here and self.count is not None:
            self.count += 1
            if self.count == self.at:
                raise KeyboardInterrupt("the second")
        return self._step


@pytest.fixture
def rig():
    return Rig(lambda world: Trainer(world.model, world.loss_fn, world.optimizer))


def interrupt(rig, first, at):
    """Fit; after `first` is raised, interrupt at the point `at`. The number of points."""
    interrupts = Interrupts(at)
    rig.begin((Raise(first, "after_loss", 2),))
    reach = rig.plan.reach

    def reach_and_begin(point):
        try:
            reach(point)
        except BaseException:
            interrupts.begin()
            raise

    rig.plan.reach = reach_and_begin
    try:
        with interrupts:
            rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader, epochs=2)
    except (ValueError, KeyboardInterrupt):
        pass
    finally:
        rig.plan.reach = reach
    return interrupts.count


def assert_at_rest(rig):
    opened = []
    for moment in rig.moments:
        kind, _, scope = moment.signal.rpartition("_")
        if kind == "begin":
            opened.append(scope)
        elif kind == "after" and scope in SCOPES:
            assert opened.pop() == scope
    assert opened == []
    assert not rig.trainer.is_closing
    assert rig.trainer.state.phase == "failed"
    assert rig.world.model.training
    assert rig.run() == by_hand()


@functools.cache
def points(first):
    return interrupt(Rig(lambda w: Trainer(w.model, w.loss_fn, w.optimizer)), first, at=None)


@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("first", [ValueError, KeyboardInterrupt])
def test_a_second_interrupt_in_the_unwinding_closes_every_scope(rig, first, part):
    """Ten points, from the first to the last; `long` tries all."""
    count = points(first)
    interrupt(rig, first, at=1 + part * (count - 1) // 9)
    assert_at_rest(rig)


@pytest.mark.long
@pytest.mark.parametrize("first", [ValueError, KeyboardInterrupt])
def test_a_second_interrupt_at_every_point_closes_every_scope(rig, first):
    for at in range(1, points(first) + 1):
        interrupt(rig, first, at)
        assert_at_rest(rig)


def test_a_model_that_a_handler_put_in_place_gets_its_mode_back(rig):
    other, fresh = model().train(), model().eval()

    @rig.trainer.on("after_train")
    def replace(trainer, state):
        state.model = other if state.epoch == 0 else fresh

    rig.world.valid_loader.batches.clear()
    with pytest.warns(UserWarning, match="gave no batch"):
        rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader, epochs=1)
    assert (other.training, fresh.training) == (True, False)
    assert not rig.trainer.state.found_modes


def test_a_model_that_was_put_in_place_for_a_pass_gets_its_mode_back(rig):
    """Also if the first one is in its place again when the fit ends."""
    first, other = rig.world.model, model().train()
    rig.trainer.on("after_train")(lambda trainer, state: setattr(state, "model", other))
    rig.trainer.on("after_validate")(lambda trainer, state: setattr(state, "model", first))
    rig.world.valid_loader.batches.clear()
    with pytest.warns(UserWarning, match="gave no batch"):
        rig.trainer.fit(rig.world.train_loader, rig.world.valid_loader, epochs=1)
    assert (first.training, other.training) == (True, True)

"""A resume that fails leaves nothing behind, whatever refuses it, and wherever."""

import copy
import os
import random
import signal

import numpy
import pytest
import torch
from helpers import batches, trainer_of
from resumable import Images, job, net
from states import same
from strange import Falsy, Frozen, Refusing, Unprintable
from torch import nn
from torch.utils.data import DataLoader

from trackside.engine import KeyedLoader, Trainer
from trackside.events import CancelFitException
from trackside.handlers import (
    EMA,
    Checkpoint,
    History,
    Metrics,
    MixUp,
    OneCycle,
    Preemption,
    Unfreeze,
    WeightDecayGroups,
)

HANDLED = (signal.SIGTERM, signal.SIGUSR1)


class Stop(Exception):
    pass


class Refuses:
    """Refuses to resume: at `resumed`, when its scope opens, or when it loads its state."""

    def __init__(self, where="", error=Stop):
        self.where, self.error = where, error
        self.closed = []

    def _refuse(self, where):
        if where == self.where:
            raise self.error(where)

    def resumed(self, trainer, state):
        self._refuse("resumed")

    def within_epoch(self, trainer, state):
        self._refuse("scope")
        yield

    def state_dict(self):
        return {"some": 1}

    def load_state_dict(self, state):
        self._refuse("state")

    def after_fit(self, trainer, state):
        self.closed.append((state.phase, state.outcome, type(state.error)))


def loaders(batch_size=4):
    return KeyedLoader(Images(14), batch_size, shuffle=True, seed=1), KeyedLoader(Images(9), 5)


def everything_of(trainer, *given):
    """All that a fit changes, copied."""
    state, generator = copy.deepcopy(trainer.state_dict()), random.getstate()
    others = [numpy.random.get_state()[1].tolist(), *map(signal.getsignal, HANDLED)]
    positions = [loader.position for loader in given if isinstance(loader, KeyedLoader)]
    fields = [trainer.state.outcome, trainer.state.epoch, trainer.state.step, trainer.state.phase]
    options = [dict(group) for group in trainer.state.optimizer.param_groups]
    grads = [None if p.grad is None else p.grad.clone() for p in trainer.state.model.parameters()]
    modes = [module.training for module in trainer.state.model.modules()]
    used = [trainer.state.train_loader, trainer.state.valid_loader, trainer.state.cancel]
    return state, generator, others, positions, fields, options, grads, modes, [*map(id, used)]


def handlers_of(folder, refusing):
    return [
        Metrics(),
        History(),
        EMA(0.5),
        MixUp(),
        WeightDecayGroups(),
        Unfreeze(["5", "0"], lr_divisor=2.0),
        OneCycle(0.1),
        Checkpoint(folder, steps=2),
        Preemption(),
        refusing,
    ]


def saved_fit(folder):
    made = job(*handlers_of(folder, Refuses()))
    made.trainer.fit(*loaders(), epochs=2)


PLACES = ("resumed", "scope", "state")


@pytest.mark.parametrize("used", [False, True], ids=["new", "used"])
@pytest.mark.parametrize("where", PLACES)
def test_a_refused_resume_leaves_the_trainer_as_it_was(tmp_path, where, used):
    saved_fit(tmp_path / "a")
    refusing = Refuses()
    trainer = job(*handlers_of(tmp_path / "b", refusing)).trainer
    checkpoint = trainer.handlers[-3]
    given = loaders()
    if used:
        trainer.on("after_batch", once=True)(cancel)
        trainer.fit(*given)
    for parameter in trainer.state.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = everything_of(trainer, *given)
    refusing.where = where
    with pytest.raises(Stop, match=where):
        trainer.fit(*given, epochs=2, resume=tmp_path / "a")
    assert same(everything_of(trainer, *given), before)
    assert refusing.closed[-1] == ("cancelled" if used else "idle", "failed", Stop)
    assert not checkpoint._store._store._lock.is_held
    refusing.where = ""
    resumed = trainer.fit(*given, epochs=2, resume=tmp_path / "a")
    assert resumed.outcome == "completed"


def cancel(trainer, state):
    raise CancelFitException("enough")


def mistakes(folder):
    """Everyday mistakes: another batch size; another number of epochs of a planned schedule."""
    return {
        "batch size": (loaders(batch_size=2), 2, "batch_size was 4, is 2"),
        "epochs": (loaders(), 3, "OneCycle has planned 8 steps, and the fit has 12 now"),
    }


@pytest.mark.parametrize("mistake", mistakes(""))
def test_a_mistake_leaves_no_signal_handler_and_no_lock(tmp_path, mistake):
    saved_fit(tmp_path)
    given, epochs, message = mistakes(tmp_path)[mistake]
    trainer = job(*handlers_of(tmp_path, Refuses())).trainer
    before = everything_of(trainer, *given)
    with pytest.raises(ValueError, match=message):
        trainer.fit(*given, epochs=epochs, resume=tmp_path)
    assert same(everything_of(trainer, *given), before)
    again = job(*handlers_of(tmp_path, Refuses())).trainer
    assert again.fit(*loaders(), epochs=2, resume=tmp_path).outcome == "completed"


def test_another_batch_size_is_refused_before_a_handler_hears_of_it(tmp_path):
    saved_fit(tmp_path)
    heard = []
    trainer = job(*handlers_of(tmp_path, Refuses())).trainer
    trainer.on("resumed")(lambda trainer, state: heard.append("resumed"))
    with pytest.raises(ValueError, match="batch_size was 4, is 2"):
        trainer.fit(*loaders(batch_size=2), resume=tmp_path)
    assert heard == []


@pytest.mark.parametrize("where", PLACES)
def test_every_handler_is_closed_even_if_another_one_fails(where):
    class FailsToClose:
        def after_fit(self, trainer, state):
            raise OSError("cannot close")

    saved = stopped(Refuses())
    first, last = FailsToClose(), Refuses(where)
    trainer = trainer_of(first, last)
    with pytest.raises(Stop) as caught:
        trainer.fit(batches(3), resume=saved)
    assert any("cannot close" in note for note in caught.value.__notes__)
    assert len(last.closed) == 1


@pytest.mark.parametrize("closing", [Unprintable, Falsy, KeyboardInterrupt])
@pytest.mark.parametrize("first", [Frozen, Refusing, Unprintable])
def test_every_handler_is_closed_whatever_the_errors_refuse(first, closing):
    class FailsToClose:
        def after_fit(self, trainer, state):
            raise closing("cannot close")

    saved = stopped(Refuses())
    last = Refuses("resumed", first)
    trainer = trainer_of(FailsToClose(), FailsToClose(), last)
    with pytest.raises((first, KeyboardInterrupt)):
        trainer.fit(batches(3), resume=saved)
    assert len(last.closed) == 1
    assert trainer.state.phase == "idle"


def stopped(*handlers):
    trainer = trainer_of(*handlers)
    run = trainer.steps(batches(3))
    for transition in run:
        if transition.trigger == "after_batch":
            return copy.deepcopy(trainer.state_dict())
    raise AssertionError("no batch was trained")


def test_a_signal_during_a_refused_resume_ends_the_process_all_the_same(tmp_path):
    class Terminated(Refuses):
        def load_state_dict(self, state):
            os.kill(os.getpid(), signal.SIGTERM)
            raise Stop

    Terminated.__name__ = "Refuses"  # under which the state was saved
    saved_fit(tmp_path)
    trainer = job(*handlers_of(tmp_path, Terminated())).trainer
    before = [signal.getsignal(number) for number in HANDLED]
    with pytest.raises(SystemExit) as caught:
        trainer.fit(*loaders(), epochs=2, resume=tmp_path)
    assert caught.value.code == 128 + signal.SIGTERM
    assert isinstance(caught.value.__cause__, Stop)
    assert [signal.getsignal(number) for number in HANDLED] == before


def test_an_interrupt_while_resuming_leaves_the_trainer_as_it_was(tmp_path):
    saved = stopped(Refuses())
    trainer = trainer_of(Refuses("state", KeyboardInterrupt))
    before = everything_of(trainer)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(batches(3), resume=saved)
    assert same(everything_of(trainer), before)


def test_a_run_that_cannot_be_prepared_releases_what_handlers_took():
    def broken(activity):
        raise Stop("prepared")

    saved = stopped(Refuses())
    handler = Refuses()
    trainer = trainer_of(handler)
    trainer.on("resumed")(lambda trainer, state: trainer.wrap("step", broken))
    with pytest.raises(Stop, match="prepared"):
        trainer.fit(batches(3), resume=saved)
    assert trainer.state.phase == "idle"
    assert handler.closed == [("idle", "failed", Stop)]


def test_a_logger_is_opened_again_only_when_nothing_can_refuse_any_more():
    class Logger(Refuses):
        on_error = "detach"
        loaded = ()

        def load_state_dict(self, state):
            self.loaded = (state,)

    saved = stopped(Logger(), Refuses())
    logger = Logger()
    with pytest.raises(Stop):
        trainer_of(logger, Refuses("state")).fit(batches(3), resume=saved)
    assert logger.loaded == ()


def test_loading_a_state_dict_that_is_refused_changes_nothing():
    model = net()
    one_group = torch.optim.SGD(model.parameters(), 0.1)
    saved = copy.deepcopy(Trainer(model, nn.MSELoss(), one_group).state_dict())
    nn.init.zeros_(model[0].weight)
    groups = [{"params": [parameter]} for parameter in model.parameters()]
    trainer = Trainer(model, nn.MSELoss(), torch.optim.SGD(groups, 0.5))
    before = everything_of(trainer)
    with pytest.raises(ValueError, match="parameter groups"):
        trainer.load_state_dict(saved)
    assert same(everything_of(trainer), before)


@pytest.mark.filterwarnings("ignore:.*cannot save its position")
def test_a_generator_of_a_replayed_loader_is_restored():
    def loader():
        generator = torch.Generator().manual_seed(5)
        return DataLoader(Images(16), 4, shuffle=True, generator=generator)

    trainer = trainer_of(Refuses(), net=net())
    transitions = trainer.steps(loader())
    next(t for t in transitions if t.trigger == "after_batch")
    saved = copy.deepcopy(trainer.state_dict())
    given = loader()
    before = given.generator.get_state()
    with pytest.raises(Stop):
        trainer_of(Refuses("state"), net=net()).fit(given, resume=saved)
    assert torch.equal(given.generator.get_state(), before)

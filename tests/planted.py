"""Fits that do not go on as they should, each for another reason; `sound` is one that does."""

import os

import torch
from resumable import job

from trackside import handlers as h
from trackside.events import CancelTrainException


class Forgetful(h.EMA):
    def load_state_dict(self, state):
        super().load_state_dict({**state, "averaged": None})


class Counter:
    """Remembers something that matters three batches later, and has no state_dict."""

    def __init__(self):
        self.batches = 0

    def begin_batch(self, trainer, state):
        self.batches += state.training
        if self.batches == 4:
            state.xb = state.xb + 1


class Silent(Counter):
    """The same, and says that it has nothing to save."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Stops(Silent):
    """Ends the training where it should not."""

    def begin_batch(self, trainer, state):
        self.batches += state.training
        if self.batches == 2:
            self.batches += 1
            raise CancelTrainException("enough")


class Refuses(h.EarlyStopping):
    def load_state_dict(self, state):
        raise KeyError("best")


class Dies(h.History):
    def load_state_dict(self, state):
        os._exit(3)


class Breaks(Silent):
    def after_loss(self, trainer, state):
        raise OSError("no more")


def sound():
    return job(h.Metrics(), h.EMA(0.5), h.BatchTransform(lambda x, y: (x * torch.rand(()), y)))


def forgetful(api_key="", file=None):
    return job(Forgetful(0.5), *([] if file is None else [h.Recorder(file)]))


def counter():
    return job(Counter())


def silent():
    return job(Silent())


def stops():
    return job(Stops())


def refuses():
    return job(h.Metrics(), Refuses())


def dies():
    return job(Dies())


def breaks():
    return job(Breaks())


nothing = 3

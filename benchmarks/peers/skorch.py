"""skorch: a NeuralNet whose iterator yields the precomputed batches."""

from typing import Any

import torch
from job import Job, right
from skorch import NeuralNet
from skorch.callbacks import Callback

REQUIRES = ("skorch==1.4.0",)


def _net(job: Job, callbacks: Any) -> NeuralNet:
    return NeuralNet(
        lambda: job.model,
        criterion=lambda: job.loss_fn,
        optimizer=lambda *args, **kwargs: job.optimizer,
        iterator_train=lambda dataset, **kwargs: job.batches,
        train_split=None,
        callbacks=callbacks,
        max_epochs=1,
        verbose=0,
    )


def _fit(net: NeuralNet) -> None:
    net.initialize()
    net.partial_fit(torch.zeros(1, 1), torch.zeros(1))


def bare(job: Job) -> None:
    _fit(_net(job, "disable"))


class Callbacks(Callback):
    def __init__(self, job: Job) -> None:
        self.job = job

    def on_batch_begin(self, net: Any, **kwargs: Any) -> None:
        self.job.begin_batch()

    def on_batch_end(self, net: Any, **kwargs: Any) -> None:
        self.job.end_batch()


class Accuracy(Callback):
    """skorch computes scores after an epoch; running accuracy is a user callback."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.correct, self.seen = torch.zeros((), dtype=torch.long), 0

    def on_batch_end(self, net: Any, batch: Any, y_pred: Any, **kwargs: Any) -> None:
        self.correct += right(y_pred, batch[1])
        self.seen += len(batch[1])

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        net.history.record("accuracy", (self.correct / self.seen).item())


def equipped(job: Job) -> None:
    from skorch.callbacks import GradientNormClipping, LRScheduler, PassthroughScoring, ProgressBar

    callbacks = [
        PassthroughScoring("train_loss", on_train=True),
        ProgressBar(batches_per_epoch=len(job.batches)),
        Accuracy(),
        GradientNormClipping(job.max_norm),
        LRScheduler(policy=lambda optimizer, **_: job.schedule(optimizer), step_every="batch"),
        Callbacks(job),
    ]
    _fit(_net(job, callbacks))

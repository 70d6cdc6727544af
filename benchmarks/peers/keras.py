"""Keras on torch: compile and fit of a model that wraps the torch module.

Keras supports only its own optimizers, so its weights are not comparable bit for bit.
"""

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras
from job import Job
from torch import nn

REQUIRES = ("keras==3.15.1",)


class Wrapped(keras.Model):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = keras.layers.TorchModuleWrapper(model)

    def call(self, x: Any) -> Any:
        return self.inner(x)


def _compiled(job: Job, metrics: list[Any], **options: Any) -> keras.Model:
    keras.config.disable_traceback_filtering()
    model = Wrapped(job.model)
    kind = type(job.optimizer).__name__
    optimizer = getattr(keras.optimizers, kind)(job.optimizer.param_groups[0]["lr"], **options)
    model.compile(
        optimizer=optimizer,
        loss=lambda y, pred: job.loss_fn(pred, y.long()),
        metrics=metrics,
    )
    return model


def bare(job: Job) -> None:
    model = _compiled(job, [])
    model.fit(iter(job.batches), steps_per_epoch=len(job.batches), epochs=1, verbose=0)


def epoch(job: Any) -> None:
    _compiled(job, []).fit(job.batches, epochs=1, verbose=0)


def equipped(job: Job) -> None:
    class Callbacks(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            job.begin_batch()

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            job.end_batch()

    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    rate = job.optimizer.param_groups[0]["lr"]
    schedule = keras.optimizers.schedules.ExponentialDecay(rate, 100, 0.99, staircase=True)
    model = _compiled(job, [accuracy], global_clipnorm=job.max_norm)
    model.optimizer.learning_rate = schedule
    model.fit(
        iter(job.batches), steps_per_epoch=len(job.batches), epochs=1, callbacks=[Callbacks()]
    )

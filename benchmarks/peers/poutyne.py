"""Poutyne: its Model's fit_generator."""

from job import Job
from poutyne import Model

REQUIRES = ("poutyne==1.19.0",)


def bare(job: Job) -> None:
    model = Model(job.model, job.optimizer, job.loss_fn)
    model.fit_generator(job.batches, epochs=1, verbose=False)


def equipped(job: Job) -> None:
    from poutyne import Callback, ClipNorm

    class Callbacks(Callback):
        def on_train_batch_begin(self, batch_number: int, logs: dict[str, float]) -> None:
            job.begin_batch()

        def on_train_batch_end(self, batch_number: int, logs: dict[str, float]) -> None:
            schedule.step()
            job.end_batch()

    schedule = job.schedule(job.optimizer)
    model = Model(job.model, job.optimizer, job.loss_fn, batch_metrics=["accuracy"])
    callbacks = [ClipNorm(job.model.parameters(), job.max_norm), Callbacks()]
    model.fit_generator(job.batches, epochs=1, callbacks=callbacks)

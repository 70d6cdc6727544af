"""fastai: its Learner, which accepts any iterable as a loader."""

from collections.abc import Iterator
from typing import Any

from fastai.callback.core import Callback, TrainEvalCallback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from job import Batch, Job, Paired

REQUIRES = (
    "fastcore==2.2.38",
    "fastprogress==1.1.6",
    "fasttransform==0.0.5",
    "fastdownload==0.0.7",
    "cloudpickle",
    "matplotlib",
    "packaging",
    "pandas",
    "pillow",
    "pyyaml",
    "requests",
    "scikit-learn",
    "scipy",
)
# it requires torchvision and spacy, which only its vision and text parts use
WITHOUT_DEPENDENCIES = ("fastai==2.8.12",)


class Loader:
    n_inp, device = 1, None

    def __init__(self, batches: Paired | list[Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def to(self, device: Any) -> None:
        """Do nothing: batches are on the CPU already."""


def _given(job: Job) -> DataLoaders:
    return DataLoaders(Loader(job.batches), Loader([]))


def _learner(job: Job, loaders: Any, **options: Any) -> Learner:
    return Learner(
        loaders,
        job.model,
        job.loss_fn,
        opt_func=lambda *args, **kwargs: OptimWrapper(opt=job.optimizer),
        lr=job.optimizer.param_groups[0]["lr"],
        **options,
    )


def bare(job: Job) -> None:
    _learner(job, _given(job), default_cbs=False, cbs=TrainEvalCallback()).fit(1)


def epoch(job: Any) -> None:
    sets = job.dataset, job.dataset
    loaders = DataLoaders.from_dsets(*sets, bs=job.batch_size, num_workers=job.workers)
    _learner(job, loaders, default_cbs=False, cbs=TrainEvalCallback()).fit(1)


def equipped(job: Job) -> None:
    from fastai.callback.training import GradientClip
    from fastai.metrics import accuracy

    schedule = job.schedule(job.optimizer)

    class Callbacks(Callback):
        def before_batch(self) -> None:
            job.begin_batch()

        def after_step(self) -> None:
            schedule.step()

        def after_batch(self) -> None:
            job.end_batch()

    learner = _learner(
        job, _given(job), metrics=accuracy, cbs=[GradientClip(job.max_norm), Callbacks()]
    )
    learner.recorder.train_metrics = True
    learner.fit(1)

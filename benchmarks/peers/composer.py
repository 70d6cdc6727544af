"""Composer; it requires torch < 2.7.1, so it is installed without its dependencies."""

from typing import Any

from peers._torchvision import stand_in

stand_in()

from composer import Callback, ComposerModel, Trainer  # noqa: E402
from job import Job  # noqa: E402
from torch import nn  # noqa: E402

REQUIRES = (
    "torchmetrics==1.5.2",
    "torch-optimizer==0.3.0",
    "coolname",
    "importlib-metadata",
    "jinja2",
    "mosaicml-cli",
    "packaging",
    "pillow",
    "psutil",
    "py-cpuinfo",
    "pyyaml",
    "requests",
    "tabulate",
    "tqdm",
)
WITHOUT_DEPENDENCIES = ("mosaicml==0.32.1",)


class Model(ComposerModel):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model, self.loss_fn = job.model, job.loss_fn

    def forward(self, batch: Any) -> Any:
        return self.model(batch[0])

    def loss(self, outputs: Any, batch: Any) -> Any:
        return self.loss_fn(outputs, batch[1])


def _fit(job: Job, model: nn.Module, **options: Any) -> None:
    Trainer(
        model=model,
        train_dataloader=job.loader,
        optimizers=job.optimizer,
        max_duration="1ep",
        device="cpu",
        device_train_microbatch_size=len(job.batches.stretches[0][0][1]),
        auto_log_hparams=False,
        **options,
    ).fit()


def bare(job: Job) -> None:
    _fit(job, Model(job), progress_bar=False)


def equipped(job: Job) -> None:
    from composer.algorithms import GradientClipping
    from torchmetrics.classification import MulticlassAccuracy

    class Scored(Model):
        def __init__(self, job: Job) -> None:
            super().__init__(job)
            self.accuracy = MulticlassAccuracy(10, average="micro")

        def get_metrics(self, is_train: bool = False) -> Any:
            return {"accuracy": self.accuracy}

        def update_metric(self, batch: Any, outputs: Any, metric: Any) -> None:
            metric.update(outputs, batch[1])

    class Callbacks(Callback):
        def batch_start(self, state: Any, logger: Any) -> None:
            job.begin_batch()

        def batch_end(self, state: Any, logger: Any) -> None:
            job.end_batch()

    _fit(
        job,
        Scored(job),
        schedulers=job.schedule(job.optimizer),
        step_schedulers_every_batch=True,
        algorithms=[GradientClipping("norm", job.max_norm)],
        callbacks=[Callbacks()],
        progress_bar=True,
    )

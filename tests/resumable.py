"""A fit for each handler that can be stopped and gone on with: factories by name, as users have."""

import os
import random
from pathlib import Path

import numpy
import torch
from torch import nn
from torch.optim.lr_scheduler import CyclicLR
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from trackside import handlers as h
from trackside.engine import KeyedLoader, Trainer
from trackside.handlers.schedules.annealing import cosine
from trackside.views import Job

torch.set_num_threads(1)


def folder():
    """Where files are written; the tests set it, for fresh processes too."""
    return Path(os.environ["RESUMABLE_FOLDER"])


class Images:
    """Images that are turned, and made noisy, by all three generators; one of them is broken."""

    def __init__(self, count, bad=None):
        generator = torch.Generator().manual_seed(count)
        self.images = torch.randn(count, 1, 4, 4, generator=generator)
        self.targets = torch.randint(0, 3, (count,), generator=generator)
        if bad is not None:
            self.images[bad] = float("nan")

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        image = self.images[index] + torch.rand(()) / 10
        turned = torch.rot90(image, random.randrange(4), (1, 2)) * numpy.random.uniform(0.9, 1.1)
        return turned.float(), self.targets[index]


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(64, 3),
    )


def job(*handlers, model=None, bad=None, loss_fn=None):
    model = model or net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    trainer = Trainer(model, loss_fn or nn.CrossEntropyLoss(), optimizer, handlers)
    train = KeyedLoader(Images(14, bad), 4, shuffle=True, seed=1)
    return Job(trainer, train, KeyedLoader(Images(9), 5))


class Small(nn.Sequential):
    """A model that does not take more than two examples at a time."""

    def forward(self, images):
        if len(images) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return super().forward(images)


class NaNLoss(nn.CrossEntropyLoss):
    """One that is NaN for some batches, whichever they are."""

    def forward(self, pred, target):
        loss = super().forward(pred, target)
        return loss * (float("nan") if int(target.sum()) % 3 == 0 else 1)


def cyclic(optimizer):
    return CyclicLR(optimizer, 0.001, 0.1, step_size_up=2, cycle_momentum=False)


def accuracy():
    return {"accuracy": MulticlassAccuracy(3), "f1": MulticlassF1Score(3)}


MAKERS = {
    "ActivationCheckpointing": lambda: job(h.ActivationCheckpointing(nn.Conv2d)),
    "ActivationStats": lambda: job(h.ActivationStats(every=2, bins=4)),
    "Annealing": lambda: job(h.Annealing("lr", cosine(0.1, 0.0))),
    "BatchTransform": lambda: job(h.BatchTransform(lambda x, y: (x + torch.rand(()), y))),
    "CSVLogger": lambda: job(h.Metrics(), h.CSVLogger(folder() / "log.csv", every=2)),
    "ChannelsLast": lambda: job(h.ChannelsLast()),
    "Checkpoint": lambda: job(h.Checkpoint(folder() / "checkpoints", steps=2)),
    "Compile": lambda: job(h.Compile(backend="eager")),
    "CosineWarmup": lambda: job(h.CosineWarmup(warmup=0.4)),
    "CutMix": lambda: job(h.CutMix()),
    "Distributed": lambda: job(h.Distributed()),
    "EMA": lambda: job(h.EMA(0.7), h.Metrics()),
    "EarlyStopping": lambda: job(h.Metrics(), h.EarlyStopping(patience=1, min_delta=10.0)),
    "FlatCosine": lambda: job(h.FlatCosine(flat=0.3)),
    "Fuse": lambda: job(h.Fuse("eager", trial=1)),
    "GradientAccumulation": lambda: job(h.GradientAccumulation(3)),
    "GradientClip": lambda: job(h.GradientClip(0.1)),
    "GradientStats": lambda: job(h.GradientStats(every=2, bins=4)),
    "History": lambda: job(h.Metrics(), h.History()),
    "Interpretation": lambda: job(h.Interpretation()),
    "JSONLines": lambda: job(h.Metrics(), h.JSONLines(folder() / "log.jsonl", every=2)),
    "Journal": lambda: job(h.Journal(folder() / "run.jsonl")),
    "LRSchedule": lambda: job(h.LRSchedule(cyclic)),
    "LabelSmoothing": lambda: job(h.LabelSmoothing()),
    "LimitBatches": lambda: job(h.LimitBatches(train=3, valid=1)),
    "MLflow": lambda: job(h.Metrics(), h.MLflow("resumable", os.environ["RESUMABLE_MLFLOW"])),
    "Memory": lambda: job(h.Memory()),
    "Metrics": lambda: job(h.Metrics(**accuracy())),
    "MixUp": lambda: job(h.MixUp()),
    "MixedPrecision": lambda: job(h.MixedPrecision(torch.float16), h.GradientAccumulation(2)),
    "OneCycle": lambda: job(h.OneCycle(0.1)),
    "OpenTelemetry": lambda: job(h.Metrics(), h.OpenTelemetry(every=2)),
    "Preemption": lambda: job(h.Checkpoint(folder() / "checkpoints"), h.Preemption()),
    "Profiler": lambda: job(h.Profiler(folder() / "trace.json", wait=0, active=1)),
    "ProgressBar": lambda: job(h.ProgressBar()),
    "Prometheus": lambda: job(h.Metrics(), h.Prometheus()),
    "Recorder": lambda: job(h.Recorder(folder() / "run.loop", 256)),
    "ReduceOnPlateau": lambda: job(h.Metrics(), h.ReduceOnPlateau(patience=0, min_delta=10.0)),
    "RollbackOnSpike": lambda: job(h.Snapshots(3), h.RollbackOnSpike(window=3)),
    "SWA": lambda: job(h.SWA(start=0)),
    "Samples": lambda: job(h.Samples(7)),
    "SkipBadBatch": lambda: job(h.SkipBadBatch(), bad=3),
    "SkipEpochs": lambda: job(h.SkipEpochs(1)),
    "Snapshots": lambda: job(h.Snapshots(2)),
    "SplitOnOutOfMemory": lambda: job(h.SplitOnOutOfMemory(), model=Small(*net())),
    "StepLimit": lambda: job(h.StepLimit(6)),
    "StopOnNaN": lambda: job(h.StopOnNaN(), bad=3),
    "TensorBoard": lambda: job(h.Metrics(), h.TensorBoard(folder() / "runs", every=2)),
    "TimeLimit": lambda: job(h.TimeLimit(1e6)),
    "TokenLimit": lambda: job(h.TokenLimit(80), h.OneCycle(0.1)),
    "Unfreeze": lambda: job(h.Unfreeze(["5", "0"], lr_divisor=2.0)),
    "ValidateEvery": lambda: job(h.Metrics(), h.ValidateEvery(steps=2), h.History()),
    "WandB": lambda: job(h.Metrics(), h.WandB(dir=str(folder()))),
    "WeightDecayGroups": lambda: job(h.WeightDecayGroups(), h.Unfreeze(["5", "0"])),
}
"""A job for each handler."""


def everything():
    """Shuffling, augmentation, dropout, accumulation, schedule, EMA, MixUp, early stopping, AMP."""
    return job(
        h.Metrics(**accuracy()),
        h.History(),
        h.EMA(0.7),
        h.MixUp(),
        h.MixedPrecision(),
        h.GradientAccumulation(2),
        h.OneCycle(0.1),
        h.GradientClip(1.0),
        h.EarlyStopping(patience=3),
        h.ValidateEvery(steps=1),
    )


def two_of_a_kind():
    return job(h.EMA(0.5, validate=False), h.EMA(0.9, final="trained"), h.Metrics())


globals().update(MAKERS)  # where another process finds them

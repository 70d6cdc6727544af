"""Learn features of scikit-learn's digits without their labels: two views, and a teacher.

    trackside fit examples/self_supervised.py:job

The student predicts, from one view of an image, what the teacher sees in another one. The teacher
is an average of the student; a linear probe follows each epoch, in a scope of its own.
Source: Jean-Bastien Grill and others, "Bootstrap Your Own Latent", 2020
"""

import copy
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, one_hot
from torch.utils.data import DataLoader, TensorDataset

from trackside import Job, Trainer, TrainState
from trackside.engine import SUPERVISED
from trackside.events import TrainerProtocol

DECAY = 0.98
PROBE = [
    ("begin_probe", "fit.epoch.trained", "fit.epoch.probe.run"),
    ("after_cancel_probe", "fit.epoch.probe", "fit.epoch.probe.cancelled"),
    ("after_probe", "fit.epoch.probe", "fit.epoch.probed"),
]


@cache
def digits() -> list[Tensor]:
    """The 1797 images `(64,) float32`, from 0 to 1, and their digits."""
    images, labels = load_digits(return_X_y=True)
    return [torch.tensor(images / 16).float(), torch.tensor(labels)]


def view(images: Tensor) -> Tensor:
    """The images `(B, 64)` with noise, and a third of their pixels hidden."""
    return (images + 0.1 * torch.randn_like(images)) * (torch.rand_like(images) > 1 / 3)


def predict_teacher(state: TrainState) -> str:
    """Compute the similarity of what the student predicts, and what the teacher sees."""
    target = state.models["teacher"](view(state.xb))
    predicted = state.models["predictor"](state.models["student"](view(state.xb)))
    state.pred = cosine_similarity(predicted, target)
    return "after_pred"


@torch.no_grad()
def average(trainer: TrainerProtocol, state: TrainState) -> None:
    """Move the teacher a little to the student."""
    teacher, student = (state.models[name].parameters() for name in ("teacher", "student"))
    for mean, weights in zip(teacher, student, strict=True):
        mean.lerp_(weights, 1 - DECAY)


def probe(state: TrainState) -> str:
    """Classify by a linear function of the features, fitted to half of the labelled images."""
    images, labels = digits()
    features = state.models["student"].eval()(images.to(state.device)).double()
    weights = torch.linalg.lstsq(features[::2], one_hot(labels[::2]).double()).solution
    hits = (features[1::2] @ weights).argmax(1) == labels[1::2]
    state.report(probe_accuracy=hits.float().mean().item())
    return "after_probe"


def networks() -> dict[str, nn.Module]:
    """A student and a teacher of 16 features, and a predictor."""
    layers = nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 16)
    student = nn.Sequential(*layers)
    predictor = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
    teacher = copy.deepcopy(student).requires_grad_(False)
    return {"student": student, "predictor": predictor, "teacher": teacher}


def job() -> Job:
    """The networks, and the 1797 images."""
    torch.manual_seed(0)
    models = networks()
    trainer = Trainer(
        models=models,
        optimizer=torch.optim.Adam(nn.ModuleDict(models).parameters(), 0.002),
        loss_fn=lambda similarity: 1 - similarity.mean(),
        chart=SUPERVISED.cut("validate").plus(PROBE, roles={"probe": "evaluation"}),
        activities={
            "train.batch.forward": predict_teacher,
            "trained": lambda state: "begin_probe",
            "probe": probe,
            "probed": lambda state: "after_epoch",
        },
    )
    trainer.on("after_step")(average)
    return Job(trainer, DataLoader(TensorDataset(digits()[0]), 128, shuffle=True), epochs=20)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, epochs=todo.epochs).metrics)

"""Learn features of scikit-learn's digits without their labels: two views, and a teacher.

    trackside fit examples/self_supervised.py:job

The student predicts, from one view of an image, what the teacher sees in another one. The teacher
is an average of the student, made in a phase of its own; a linear probe follows each epoch.
Source: Jean-Bastien Grill and others, "Bootstrap Your Own Latent", 2020
"""

import copy

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, one_hot
from torch.utils.data import DataLoader, TensorDataset

from trackside import Job, Trainer, TrainState
from trackside.engine import SUPERVISED, update

DECAY = 0.98
DIGITS = [torch.tensor(part) for part in load_digits(return_X_y=True)]
DIGITS[0] = DIGITS[0].float() / 16
PROBE = [
    ("begin_probe", "fit.epoch.trained", "fit.epoch.probe.run"),
    ("after_cancel_probe", "fit.epoch.probe", "fit.epoch.probe.cancelled"),
    ("after_probe", "fit.epoch.probe", "fit.epoch.probed"),
]
CHART = (
    SUPERVISED.cut("validate")
    .replace("batch", update("student", of="student"))
    .plus(PROBE, roles={"probe": "evaluation"})
)


def view(images: Tensor) -> Tensor:
    """The images `(B, 64)` with noise, and a third of their pixels hidden."""
    return (images + 0.1 * torch.randn_like(images)) * (torch.rand_like(images) > 1 / 3)


def predict_teacher(state: TrainState) -> str:
    """Compute the similarity of what the student predicts, and what the teacher sees."""
    with torch.no_grad():
        target = state.models["teacher"](view(state.xb))
    predicted = state.models["predictor"](state.model(view(state.xb)))
    state.pred = cosine_similarity(predicted, target)
    return "after_pred"


@torch.no_grad()
def average(state: TrainState) -> str:
    """Move the teacher a little to the student."""
    teacher, student = state.models["teacher"], state.models["student"]
    for mean, weights in zip(teacher.parameters(), student.parameters(), strict=True):
        mean.lerp_(weights, 1 - DECAY)
    return "after_batch"


def probe(state: TrainState) -> str:
    """Classify by a linear function of the features, fitted to half of the labelled images."""
    images, labels = DIGITS
    features = state.models["student"].eval()(images.to(state.device))
    weights = torch.linalg.lstsq(features[::2], one_hot(labels[::2]).float()).solution
    hits = (features[1::2] @ weights).argmax(1) == labels[1::2]
    state.report(probe_accuracy=hits.float().mean().item())
    return "after_probe"


def job() -> Job:
    """Networks with 16 features, and the 1797 images."""
    torch.manual_seed(0)
    layers = nn.Linear(64, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 16)
    student = nn.Sequential(*layers)
    predictor = nn.Sequential(nn.Linear(16, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 16))
    trainer = Trainer(
        models={
            "student": student,
            "predictor": predictor,
            "teacher": copy.deepcopy(student).requires_grad_(False),
        },
        optimizers={
            "student": torch.optim.Adam([*student.parameters(), *predictor.parameters()], 0.002)
        },
        loss_fn=lambda similarity: 1 - similarity.mean(),
        chart=CHART,
        activities={
            "student.forward": predict_teacher,
            "student_done": average,
            "trained": lambda state: "begin_probe",
            "probe": probe,
            "probed": lambda state: "after_epoch",
        },
    )
    return Job(trainer, DataLoader(TensorDataset(DIGITS[0]), 128, shuffle=True), epochs=20)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, epochs=todo.epochs).metrics)

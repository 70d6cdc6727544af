"""Which of six handlers help a small network on scikit-learn's digits?

    trackside ablate examples/ablation.py:job --metric valid_accuracy --jobs 2

The command fits with all six and without each one, over three seeds: 21 fits of eight epochs.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics.classification import MulticlassAccuracy

from trackside import (
    EMA,
    GradientClip,
    Job,
    LabelSmoothing,
    Metrics,
    MixUp,
    OneCycle,
    Trainer,
    WeightDecayGroups,
)


def job(lr: float = 0.8) -> Job:
    """Train on a third of the 1797 images, validate on the rest."""
    images, targets = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))
    split = torch.Generator().manual_seed(0)  # the same images with every seed
    train, valid = random_split(data, [1 / 3, 2 / 3], split)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    handlers = [
        Metrics(accuracy=MulticlassAccuracy(10, average="micro")),
        MixUp(),
        LabelSmoothing(0.1),
        GradientClip(max_norm=1.0),
        OneCycle(),
        EMA(0.95),
        WeightDecayGroups(),
    ]
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=1e-3)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, handlers)
    return Job(trainer, DataLoader(train, 32, shuffle=True), DataLoader(valid, 512), epochs=8)


if __name__ == "__main__":
    from trackside import ablate

    print(ablate(job, metric="valid_accuracy", jobs=2, path="runs/ablation.db"))

"""Train with LBFGS on scikit-learn's digits: its step evaluates each batch several times.

    trackside fit examples/lbfgs.py:job
    python examples/lbfgs.py

The chart is that of any other optimizer, and so are the handlers. Whenever LBFGS asks for the loss
again, the activities forward, loss and backward run inside their wraps: here autocast.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import Job, Metrics, MixedPrecision, Trainer

Loader = DataLoader[tuple[Tensor, ...]]


def digits() -> tuple[Loader, Loader]:
    """Four fifths of the 1797 images in three large batches, and the rest for validation."""
    images, targets = load_digits(return_X_y=True)
    data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(targets))
    train, valid = random_split(data, [0.8, 0.2])
    return DataLoader(train, 480, shuffle=True), DataLoader(valid, 480)


def job() -> Job:
    """A linear classifier, and the digits."""
    torch.manual_seed(0)
    train, valid = digits()
    model = nn.Linear(64, 10)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=5, line_search_fn="strong_wolfe")
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, [MixedPrecision(), Metrics()])
    return Job(trainer, train, valid, epochs=5)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs).metrics)

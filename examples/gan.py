"""Train a generator and a discriminator on scikit-learn's digits; write the images it makes.

    trackside fit examples/gan.py:job
    python examples/gan.py digits.png

A batch is two updates; the generator is trained on every second batch only. Each update can be
cancelled by itself, `run.cancel("generator")`.
"""

import sys
from functools import partial

import torch
from matplotlib.image import imsave
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import softplus
from torch.utils.data import DataLoader, TensorDataset

from trackside import Job, Trainer, TrainState
from trackside.engine import SUPERVISED, update

CHART = SUPERVISED.cut("validate").replace(
    "batch", update("discriminator", of="d"), update("generator", of="g", every=2)
)


class Generator(nn.Module):
    """Called with a number of images: makes that many, `(B, 64) float32`, from 0 to 1."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Linear(16, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid()
        self.layers = nn.Sequential(*layers)

    def forward(self, count: int) -> Tensor:
        noise = torch.randn(count, 16, device=next(self.parameters()).device)
        images: Tensor = self.layers(noise)
        return images


def judge_both(state: TrainState) -> str:
    """Compute the logits of the digits, and those of generated images."""
    fake = state.models["g"](state.batch_size).detach()
    state.pred = state.model(state.xb), state.model(fake)
    return "after_pred"


def judge_generated(state: TrainState) -> str:
    """Compute the logits of generated images."""
    state.pred = state.models["d"](state.model(state.batch_size))
    return "after_pred"


def networks() -> dict[str, nn.Module]:
    """The generator and the discriminator."""
    return {
        "g": Generator(),
        "d": nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1)),
    }


def digits() -> TensorDataset:
    """The 1797 images `(64,) float32`, from 0 to 1."""
    return TensorDataset(torch.tensor(load_digits().data, dtype=torch.float32) / 16)


def job() -> Job:
    """Two networks, an optimizer and a loss for each, and the images."""
    torch.manual_seed(0)
    models = networks()
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(0.5, 0.99))
    trainer = Trainer(
        models=models,
        optimizers={name: adam(net.parameters()) for name, net in models.items()},
        loss_fns={
            "g": lambda fake: softplus(-fake).mean(),
            "d": lambda pred: softplus(-pred[0]).mean() + softplus(pred[1]).mean(),
        },
        chart=CHART,
        activities={"discriminator.forward": judge_both, "generator.forward": judge_generated},
    )
    return Job(trainer, DataLoader(digits(), 64, shuffle=True), epochs=25)


def write_images(path: str, images: Tensor) -> None:
    """Write 64 images `(64, 64)` as a square of 8 × 8."""
    square = images.reshape(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)
    imsave(path, square.numpy(), cmap="gray", vmin=0, vmax=1)


if __name__ == "__main__":
    todo = job()
    nets = todo.trainer.fit(todo.train_loader, epochs=todo.epochs).models
    write_images(sys.argv[1] if sys.argv[1:] else "digits.png", nets["g"](64).detach())

"""Learn to draw scikit-learn's digits by removing noise, without their labels; write some.

    trackside fit examples/diffusion.py:job
    python examples/diffusion.py digits.png

Each batch gets noise of random strength, and the network says which noise it was. Images are made
from noise alone, with the averaged weights, in STEPS steps.
Source: Jonathan Ho and others, "Denoising Diffusion Probabilistic Models", 2020
"""

import sys

import torch
from matplotlib.image import imsave
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from trackside import EMA, BatchTransform, Job, Metrics, Trainer
from trackside.engine import SUPERVISED

STEPS = 40
BETA = torch.linspace(1e-3, 0.2, STEPS)  # the share of noise that a step adds
KEPT = (1 - BETA).cumprod(0)  # the share of the image that is left after so many steps


class Denoiser(nn.Module):
    """The noise `(B, 64)` in images `(B, 64)` after `(B,)` of STEPS steps."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(STEPS, 256)
        self.read = nn.Linear(64, 256)
        self.layers = nn.Sequential(
            nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU()
        )
        self.write = nn.Linear(256, 64)

    def forward(self, noisy: Tensor, step: Tensor) -> Tensor:
        noise: Tensor = self.write(self.layers(self.read(noisy) + self.embed(step)))
        return noise


def add_noise(images: Tensor, _: None) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Make of images `(B, 64)` the inputs and targets of a batch."""
    step, noise = torch.randint(STEPS, (len(images),)), torch.randn_like(images)
    kept = KEPT[step, None]
    return (kept.sqrt() * images + (1 - kept).sqrt() * noise, step), noise


@torch.no_grad()
def sample(model: nn.Module, count: int) -> Tensor:
    """Make images `(count, 64)`, about from -1 to 1."""
    images = torch.randn(count, 64)
    for step in reversed(range(STEPS)):
        noise = model(images, torch.full((count,), step))
        images = images - BETA[step] / (1 - KEPT[step]).sqrt() * noise
        images = images / (1 - BETA[step]).sqrt()
        if step:
            images = images + BETA[step].sqrt() * torch.randn_like(images)
    return images


def digits() -> DataLoader[tuple[Tensor, ...]]:
    """The 1797 images, from -1 to 1."""
    images = torch.tensor(load_digits().data, dtype=torch.float32) / 8 - 1
    return DataLoader(TensorDataset(images), 64, shuffle=True)


def job() -> Job:
    """The network and the images."""
    torch.manual_seed(0)
    model = Denoiser()
    trainer = Trainer(
        model,
        nn.MSELoss(),
        torch.optim.Adam(model.parameters(), lr=2e-3),
        [BatchTransform(add_noise), EMA(0.99), Metrics()],
        chart=SUPERVISED.cut("validate"),
    )
    return Job(trainer, digits(), epochs=60)


if __name__ == "__main__":
    todo = job()
    model = todo.trainer.fit(todo.train_loader, epochs=todo.epochs).model  # now with the average
    square = sample(model, 64).reshape(8, 8, 8, 8).transpose(1, 2).reshape(64, 64)
    imsave(sys.argv[1] if sys.argv[1:] else "digits.png", square, cmap="gray", vmin=-1, vmax=1)

"""Fine-tune a vision transformer of the `transformers` library on scikit-learn's digits.

    pip install 'trackside[examples]'
    trackside fit examples/fine_tune.py:job
    python examples/fine_tune.py

Its batches and outputs go through as they come: batches are dicts, which the model is called with;
the output carries the loss, so there is no `loss_fn`. The head is trained alone for an
epoch, then all of it. The model is made from a config; with weights it would be
`ViTForImageClassification.from_pretrained(…)`.
"""

from typing import Any

import torch
from sklearn.datasets import load_digits
from torch.utils.data import DataLoader, Dataset, random_split
from transformers import ViTConfig, ViTForImageClassification

from trackside import GradientClip, Job, Metrics, Trainer, Unfreeze


class Digits(Dataset[dict[str, Any]]):
    """The 1797 images `(1, 8, 8)`, by the names that the model has for its inputs."""

    def __init__(self) -> None:
        images, labels = map(torch.tensor, load_digits(return_X_y=True))
        self.images, self.labels = images.float().reshape(-1, 1, 8, 8) / 16, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self.images[index], "labels": self.labels[index]}


def network() -> ViTForImageClassification:
    """A small transformer over the 16 patches of an image."""
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=8,
        patch_size=2,
        num_channels=1,
        id2label={digit: str(digit) for digit in range(10)},
    )
    return ViTForImageClassification(config)


def job() -> Job:
    """The network, four fifths of the images, and the rest for validation."""
    torch.manual_seed(0)
    model = network()
    train, valid = random_split(Digits(), [0.8, 0.2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    handlers = [Unfreeze(["classifier", "vit"]), GradientClip(1.0), Metrics()]
    trainer = Trainer(model, optimizer=optimizer, handlers=handlers)
    return Job(trainer, DataLoader(train, 32, shuffle=True), DataLoader(valid, 120), epochs=6)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, todo.valid_loader, todo.epochs).metrics)

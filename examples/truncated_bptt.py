"""Train a recurrent language model on a text, by truncated backpropagation through time.

    trackside fit examples/truncated_bptt.py:job
    python examples/truncated_bptt.py

The hidden state is carried from batch to batch in a state class of its own, so it is saved with
every checkpoint; gradients end at the batch.
"""

from dataclasses import dataclass
from pydoc_data.topics import topics

import torch
from torch import Tensor, nn

from trackside import GradientClip, Job, Metrics, Trainer, TrainState
from trackside.engine import SUPERVISED
from trackside.events import TrainerProtocol

BATCH = 16  # parts of the text, read side by side
LENGTH = 32  # characters in a batch, of each part

Batch = tuple[Tensor, Tensor]


@dataclass(slots=True, eq=False, repr=False)
class RecurrentState(TrainState):
    """Also has what the model remembers: `(1, B, H) float32`; None at the start of the text."""

    hidden: Tensor | None = None


def forward(state: RecurrentState) -> str:
    """Compute `pred`, and keep the hidden state for the next batch."""
    state.pred, hidden = state.model(state.xb, state.hidden)
    state.hidden = hidden.detach()
    return "after_pred"


def forget(trainer: TrainerProtocol, state: RecurrentState) -> None:
    """Start a pass over the text without a hidden state."""
    state.hidden = None


class Network(nn.Module):
    """Predicts the next of 128 characters, `(B, 128, T) float32`, from those so far, `(B, T)`."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(128, 32)
        self.recur = nn.GRU(32, 64, batch_first=True)
        self.read_out = nn.Linear(64, 128)

    def forward(self, characters: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        outputs, hidden = self.recur(self.embed(characters), hidden)
        assert hidden is not None
        return self.read_out(outputs).transpose(1, 2), hidden


def batches(text: str) -> list[Batch]:
    """The text as batches `(B, T) int64` of characters and of those that follow them."""
    codes = torch.tensor([min(ord(character), 127) for character in text])
    size = (len(codes) - 1) // BATCH
    inputs, targets = (codes[i : i + size * BATCH].reshape(BATCH, size) for i in (0, 1))
    return list(zip(torch.split(inputs, LENGTH, 1), torch.split(targets, LENGTH, 1), strict=True))


def job() -> Job:
    """A network of 64 hidden units, and 48,000 characters of Python's own documentation."""
    torch.manual_seed(0)
    model = Network()
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        torch.optim.Adam(model.parameters(), lr=0.01),
        [GradientClip(1.0), Metrics()],
        chart=SUPERVISED.cut("validate"),
        activities={"forward": forward},
        state=RecurrentState,
    )
    trainer.on("begin_train")(forget)
    return Job(trainer, batches(" ".join(topics.values())[:48_000]), epochs=3)


if __name__ == "__main__":
    todo = job()
    print(todo.trainer.fit(todo.train_loader, epochs=todo.epochs).metrics)

"""Charts of one's own beside their plain loops: `python benchmarks/charts.py`, or `make bench`.

GAN: the chart of `examples/gan.py`, two updates a batch, both of them in every batch.
Language model: a small transformer on packed tokens, an epoch of steps, with the standard chart.

Beside every stretch of batches of the trainer, the plain loop runs the same number of batches on
models of its own; both are timed by the CPU time of the process (see `job.Paired`). The weights are
equal bit for bit at the end. `results/charts.json` has the figures of the last run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from job import Paired
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from trackside.engine import SUPERVISED, Trainer, update
from trackside.events import TrainState

Trainer.verbose = False  # a bar takes time

RESULTS = Path(__file__).with_name("results") / "charts.json"
LIMIT = 1.03
LATENT = 16
TOKENS, WIDTH, LENGTH = 128, 64, 64


class Generator(nn.Module):
    """Makes a number of images `(B, 64)`."""

    def __init__(self) -> None:
        super().__init__()
        layers = nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid()
        self.layers = nn.Sequential(*layers)

    def forward(self, count: int) -> Tensor:
        images: Tensor = self.layers(torch.randn(count, LATENT))
        return images


class LanguageModel(nn.Module):
    """The logits of the next token, `(B·T, 128)`, from those so far, `(B, T)`."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True)
        self.tokens = nn.Embedding(TOKENS, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, TOKENS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.encoder(self.tokens(tokens), mask=self.mask, is_causal=True)
        logits: Tensor = self.head(hidden)
        return logits.flatten(0, 1)


def loss_of_generator(fake: Tensor) -> Tensor:
    return softplus(-fake).mean()


def loss_of_discriminator(pred: tuple[Tensor, Tensor]) -> Tensor:
    return softplus(-pred[0]).mean() + softplus(pred[1]).mean()


class GAN:
    """Two networks, trained by a plain loop or by a chart."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.g = Generator()
        self.d = nn.Sequential(nn.Linear(64, 128), nn.LeakyReLU(0.2), nn.Linear(128, 1))
        self.optimizers = {
            name: torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.99))
            for name, net in (("g", self.g), ("d", self.d))
        }

    def parameters(self) -> list[Tensor]:
        return [*self.g.parameters(), *self.d.parameters()]

    def run(self, batches: Iterable[tuple[Tensor]]) -> None:
        """The plain loop; as in ours, an update computes the gradients of its own model only."""
        g, d = self.g, self.d
        own = {"g": [*g.parameters()], "d": [*d.parameters()]}
        for (images,) in batches:
            count = len(images)
            fake = g(count).detach()
            loss_of_discriminator((d(images), d(fake))).backward(inputs=own["d"])
            self.optimizers["d"].step()
            self.optimizers["d"].zero_grad()
            loss_of_generator(d(g(count))).backward(inputs=own["g"])
            self.optimizers["g"].step()
            self.optimizers["g"].zero_grad()

    def trainer(self) -> Trainer:
        return Trainer(
            models={"g": self.g, "d": self.d},
            optimizers=self.optimizers,
            loss_fns={"g": loss_of_generator, "d": loss_of_discriminator},
            chart=SUPERVISED.cut("validate").replace(
                "batch", update("discriminator", of="d"), update("generator", of="g")
            ),
            activities={
                "discriminator.forward": judge_both,
                "generator.forward": judge_generated,
            },
        )

    @staticmethod
    def batches(count: int) -> list[tuple[Tensor]]:
        return [(torch.rand(64, 64),) for _ in range(count)]


def judge_both(state: TrainState) -> str:
    fake = state.models["g"](state.batch_size).detach()
    state.pred = state.model(state.xb), state.model(fake)
    return "after_pred"


def judge_generated(state: TrainState) -> str:
    state.pred = state.models["d"](state.model(state.batch_size))
    return "after_pred"


class Language:
    """A language model, trained by a plain loop or by the standard chart."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = LanguageModel()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    def parameters(self) -> list[Tensor]:
        return [*self.model.parameters()]

    def run(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """The plain loop."""
        for inputs, targets in batches:
            cross_entropy(self.model(inputs), targets).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def trainer(self) -> Trainer:
        return Trainer(self.model, cross_entropy, self.optimizer, chart=SUPERVISED.cut("validate"))

    @staticmethod
    def batches(count: int) -> list[tuple[Tensor, Tensor]]:
        parts = (torch.randint(0, TOKENS, (8, LENGTH + 1)) for _ in range(count))
        return [(tokens[:, :-1], tokens[:, 1:].flatten()) for tokens in parts]


LOOPS: dict[str, tuple[Callable[[], Any], int]] = {
    "gan": (GAN, 10),
    "language_model": (Language, 4),
}
"""The class of each loop, and the number of batches that are timed together."""


def beside_the_plain_loop(name: str, pairs: int) -> dict[str, Any]:
    """The median of the ratios of the pairs, its quartiles, and whether the weights are equal."""
    make, stretch = LOOPS[name]
    plain, ours = make(), make()
    batches = Paired(make.batches(stretch * pairs), stretch, plain)
    ours.trainer().fit(batches)
    measured = batches.us_a_batch[pairs // 10 :]  # the first ones warm up
    low, middle, high = statistics.quantiles([own / bare for own, bare in measured], n=4)
    return {
        "ratio": round(middle, 4),
        "ratio_quartiles": [round(low, 4), round(high, 4)],
        "plain_us_a_batch": round(statistics.median(bare for _, bare in measured), 1),
        "limit": LIMIT,
    }


def weights_equal(name: str) -> bool:
    """Whether both loops end with the same weights, if they draw the same random numbers."""
    make, _ = LOOPS[name]
    plain, ours = make(), make()
    data = make.batches(20)
    for run in (plain.run, ours.trainer().fit):
        torch.manual_seed(1)
        run(data)
    return all(map(torch.equal, plain.parameters(), ours.parameters()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=400)
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures: dict[str, Any] = {"python": sys.version.split()[0], "torch": torch.__version__}
    for name in LOOPS:
        found = beside_the_plain_loop(name, arguments.pairs)
        figures[name] = {**found, "weights_equal": weights_equal(name)}
        low, high = found["ratio_quartiles"]
        print(f"{name:16} {found['ratio']:.3f} × the plain loop", end="")
        print(f" (quartiles {low:.3f} to {high:.3f}; {found['plain_us_a_batch']:.0f} µs a batch)")
    if arguments.write:
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()

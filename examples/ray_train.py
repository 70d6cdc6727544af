"""Train in two workers of Ray Train; when one fails, Ray starts both again and the fit goes on.

    pip install 'trackside[ray]'
    python examples/ray_train.py runs/ray --fail-at 30

Ray starts the workers and their process group, which `Distributed` uses. An error on one rank is a
`PeerError` on the others, so all workers fail at once, and nobody waits; Ray starts the group again
(`max_failures`), and `resume="auto"` goes on from the last checkpoint. `--fail-at` shows it: rank 1
fails once, at that step. Without it nothing fails.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from torch import nn
from torch.utils.data import TensorDataset

from trackside import Checkpoint, Distributed, KeyedLoader, Metrics, Trainer, TrainState
from trackside.events import TrainerProtocol


class FailOnce:
    """Fails on rank 1 at a step, if it has not yet left `file`."""

    def __init__(self, step: int | None, file: Path) -> None:
        self.step = step
        self.file = file

    def after_step(self, trainer: TrainerProtocol, state: TrainState) -> None:
        if state.rank == 1 and state.step == self.step and not self.file.exists():
            self.file.touch()
            raise RuntimeError(f"rank 1 fails at step {self.step}, to show what follows")


def train_loop_per_worker(config: dict[str, Any]) -> None:
    """What each worker runs, each time that the group is started."""
    folder = Path(config["folder"])
    torch.manual_seed(0)
    x = torch.randn(512, 8)
    data = TensorDataset(x, x.sum(1, keepdim=True))
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    trainer = Trainer(
        model,
        nn.MSELoss(),
        torch.optim.Adam(model.parameters(), lr=0.01),
        [
            Distributed(),
            Metrics(),
            Checkpoint(folder / "checkpoints", steps=10),
            FailOnce(config["fail_at"], folder / "failed"),
        ],
    )
    begun = []
    trainer.on("resumed")(lambda trainer, state: begun.append(state.step))
    state = trainer.fit(KeyedLoader(data, 16, shuffle=True, seed=1), epochs=4, resume="auto")
    if state.is_main:
        loss = float(state.metrics["train_loss"])
        print(f"resumed at {begun}, ended at step {state.step}, loss {loss:.6f}")


def main() -> None:
    """Train with what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="for checkpoints and Ray's own files")
    parser.add_argument("--fail-at", type=int, metavar="STEP", help="rank 1 fails there, once")
    options = parser.parse_args()
    folder = options.folder.resolve()
    trainer = TorchTrainer(
        train_loop_per_worker,
        train_loop_config={"folder": str(folder), "fail_at": options.fail_at},
        scaling_config=ScalingConfig(num_workers=2),
        run_config=RunConfig(
            name="ray", storage_path=str(folder), failure_config=FailureConfig(max_failures=2)
        ),
        torch_config=TorchConfig(backend="gloo"),
    )
    trainer.fit()


if __name__ == "__main__":
    main()

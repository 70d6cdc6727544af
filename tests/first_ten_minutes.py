"""What a newcomer does, timed: `python tests/first_ten_minutes.py`.

In an empty folder, with the wheel of this checkout in a new environment: install, a first fit, a
handler of one's own, a mistake of each common kind, the page, stop and go on. Prints how many
commands and seconds each took, and fails if one of them does not do what a newcomer expects.
With `--environment FOLDER` all but the installation, in an environment that has the wheel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

FACTORY = """
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from trackside import Checkpoint, Metrics, Recorder, Trainer

images, digits = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(images / 16).float(), torch.tensor(digits))


def job():
    torch.manual_seed(0)
    train, valid = (DataLoader(part, 64, shuffle=True) for part in random_split(data, [0.8, 0.2]))
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, [Metrics()]), train, valid
"""

FIT = """
from first import job
trainer, train, valid = job()
state = trainer.fit(train, valid, epochs=3)
print(state.outcome, state.metrics)
assert state.metrics["valid_loss"] < 1
"""

HANDLER = """
from first import job
from trackside import CancelFitException


class StopAt:
    def __init__(self, loss):
        self.loss = loss

    def after_epoch(self, trainer, state):
        if state.metrics["valid_loss"] < self.loss:
            raise CancelFitException("good enough")


trainer, train, valid = job()
trainer.attach(StopAt(0.3))
state = trainer.fit(train, valid, epochs=20)
print(state.outcome, state.epoch, state.cancel)
assert state.outcome == "cancelled"
"""

RECORDED = """
from first import Recorder, job
trainer, train, valid = job()
trainer.attach(Recorder("runs/first.trackside"))
trainer.fit(train, valid, epochs=3)
"""

STOPPED = """
import os, signal
from first import Checkpoint, job
trainer, train, valid = job()
trainer.attach(Checkpoint("runs/stopped"))

@trainer.on("begin_epoch")
def killed(trainer, state):
    if state.epoch == 2:
        os.kill(os.getpid(), signal.SIGKILL)

trainer.fit(train, valid, epochs=4)
"""

RESUMED = """
from first import Checkpoint, job
trainer, train, valid = job()
trainer.attach(Checkpoint("runs/stopped"))
begun = []
trainer.on("begin_epoch")(lambda trainer, state: begun.append(state.epoch))
state = trainer.fit(train, valid, epochs=4, resume="auto")
print(state.outcome, "after the epochs", begun)
assert begun == [2, 3]
"""

MISTAKES = {
    "a hook with the name of another library": (
        "class Mine:\n    def on_epoch_end(self, trainer, state): ...\ntrainer.attach(Mine())",
        "it is after_epoch here",
    ),
    "a misspelt signal": ("trainer.on('after_los')", "did you mean after_loss?"),
    "a class in place of an instance": (
        "from trackside import EMA\ntrainer.attach(EMA)",
        "did you forget ()?",
    ),
    "targets of the wrong type": (
        "trainer.fit([(x, y.float()) for x, y in train])",
        "raised by activity fit.epoch.train.batch.loss in",
    ),
    "a shape that does not fit the model": (
        "trainer.fit([(x[:, :60], y) for x, y in train])",
        "raised by activity fit.epoch.train.batch.forward in",
    ),
    "epochs that are no number": ("trainer.fit(train, epochs='3')", "found a str; allowed: an int"),
    "a metric that nobody computes": (
        "from trackside import EarlyStopping\ntrainer.attach(EarlyStopping('valid_acuracy'))\n"
        "trainer.fit(train, valid)",
        "did you mean valid_loss?",
    ),
}


class Step(NamedTuple):
    """What was done, by how many commands, and in which time."""

    what: str
    commands: int
    seconds: float


class Newcomer:
    """Runs commands in an empty folder, with the programs of a new environment."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self.folder = folder
        self.bin = environment / "bin"
        self.steps: list[Step] = []
        hidden = {"PYTHONPATH", "VIRTUAL_ENV"}
        self.environment = {n: value for n, value in os.environ.items() if n not in hidden}

    def does(self, what: str, *commands: list[str], fails: str | None = None) -> None:
        """Run commands; with `fails`, each has to fail, and to name this."""
        begun = time.perf_counter()
        for command in commands:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
            told = done.stdout + done.stderr
            if (done.returncode != 0) != (fails is not None) or (fails or "") not in told:
                raise SystemExit(f"{what}: {command} ended with {done.returncode}:\n{told}")
        self.note(Step(what, len(commands), time.perf_counter() - begun))

    def note(self, step: Step) -> None:
        self.steps.append(step)
        print(f"{step.commands:3} {step.seconds:8.1f} s  {step.what}", flush=True)

    def python(self, program: str) -> list[str]:
        return [str(self.bin / "python"), "-c", program]

    def looks_at_the_page(self) -> None:
        begun = time.perf_counter()
        server = subprocess.Popen(
            [self.bin / "trackside", "watch", "runs/first.trackside", "--port", "0"],
            cwd=self.folder,
            env={**self.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert server.stdout is not None
            address = next(
                word for line in server.stdout for word in line.split() if "http://" in word
            )
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(address.rstrip(".,;")) as answer:
                assert "trackside" in answer.read().decode()
        finally:
            server.terminate()
            server.wait()
        self.note(Step("the page of a run", 1, time.perf_counter() - begun))


def install(new: Newcomer) -> None:
    """Make the environment, and install the wheel into it."""
    built = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", ".", str(ROOT)]
    new.does("the wheel (not the newcomer's)", built)
    wheel = next(new.folder.glob("*.whl"))
    new.does(
        "a new environment, and the installation",
        [sys.executable, "-m", "venv", str(new.bin.parent)],
        [
            str(new.bin / "python"),
            *("-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")),
            f"{wheel}[demo,watch]",
        ],
    )


def use(new: Newcomer) -> None:
    """All that comes after the installation."""
    (new.folder / "first.py").write_text(FACTORY)
    new.does("a first fit", new.python(FIT))
    new.does("the same on the command line", [str(new.bin / "trackside"), "fit", "first.py:job"])
    new.does("a handler of one's own", new.python(HANDLER))
    for mistake, (program, named) in MISTAKES.items():
        job = "from first import job\ntrainer, train, valid = job()\n"
        new.does(f"mistake: {mistake}", new.python(job + program), fails=named)
    new.does("a recorded fit", new.python(RECORDED))
    new.looks_at_the_page()
    new.does("a fit that is killed", new.python(STOPPED), fails="")
    new.does("going on", new.python(RESUMED))


def main(folder: Path, environment: Path | None) -> None:
    new = Newcomer(folder, environment or folder / "env")
    if environment is None:
        install(new)
    use(new)
    steps = new.steps
    print(f"{sum(s.commands for s in steps):3} {sum(s.seconds for s in steps):8.1f} s  all")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, help="one that has the wheel already")
    given = parser.parse_args().environment
    with tempfile.TemporaryDirectory() as place:
        main(Path(place), given and given.resolve())

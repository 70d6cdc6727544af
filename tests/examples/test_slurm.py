"""`examples/slurm.sh`, with a `srun` and a `scontrol` that act on this machine."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SRUN = """#!/bin/bash
status=0
for rank in $(seq 0 $((SLURM_NTASKS - 1))); do
    SLURM_PROCID=$rank SLURM_LOCALID=$rank "$@" & ranks+=($!)
done
for rank in "${ranks[@]}"; do wait "$rank"; found=$?; ((found > status)) && status=$found; done
exit $status
"""

SCONTROL = """#!/bin/bash
if [ "$1" = show ]; then echo localhost; else echo "$@" >> "$(dirname "$0")/requeued"; fi
"""

ENVIRONMENT = """
import json, os, sys
names = "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"
with open(os.path.join(sys.argv[1], os.environ["RANK"]), "w") as file:
    json.dump([os.environ[name] for name in names], file)
sys.exit(int(sys.argv[2]))
"""

FIT = """
import os, signal, sys, torch
from torch.utils.data import TensorDataset
from trackside import Checkpoint, Distributed, KeyedLoader, Preemption, Trainer

data = TensorDataset(torch.randn(64, 3), torch.randn(64, 1))
model = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
saves = Checkpoint(sys.argv[1], on_cancel=True)
handlers = [Distributed(timeout=60), saves, Preemption()]
trainer = Trainer(model, torch.nn.MSELoss(), optimizer, handlers=handlers)
first = not os.listdir(sys.argv[1])

@trainer.on("after_step")
def preempt(trainer, state):
    if first and state.step == 5 and state.rank == 1:
        os.kill(os.getpid(), signal.SIGUSR1)

trainer.fit(KeyedLoader(data, 4, seed=1), epochs=2, resume="auto")
print("steps", trainer.state.step, trainer.state.outcome)
"""


def sbatch(folder, script, *arguments, **job):
    """The end of a job of two ranks; `folder` gets the commands of Slurm."""
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("python", python)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    (folder / "script.py").write_text(script)
    job |= {"SLURM_JOB_ID": "12345", "SLURM_JOB_NODELIST": "localhost", "SLURM_NTASKS": "2"}
    path = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        ["bash", ROOT / "examples" / "slurm.sh", folder / "script.py", *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **job, **path},
        timeout=240,
        check=False,
        capture_output=True,
        text=True,
    )


def requeued(folder):
    file = folder / "requeued"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.parametrize(
    ("status", "ends", "again"), [(138, 0, 1), (143, 0, 1), (0, 0, 0), (1, 1, 0)]
)
def test_a_job_is_requeued_if_its_ranks_were_preempted(tmp_path, status, ends, again):
    assert sbatch(tmp_path, ENVIRONMENT, tmp_path, status).returncode == ends
    assert requeued(tmp_path) == ["requeue 12345"] * again
    for rank in "01":
        expected = [rank, rank, "2", "localhost", "22345"]
        assert json.loads((tmp_path / rank).read_text()) == expected


@pytest.mark.parametrize(("restarts", "ends", "again"), [("2", 0, 1), ("3", 143, 0)])
def test_a_job_is_requeued_a_limited_number_of_times(tmp_path, restarts, ends, again):
    counts = {"SLURM_RESTART_COUNT": restarts, "MOST_RESTARTS": "3"}
    assert sbatch(tmp_path, ENVIRONMENT, tmp_path, 143, **counts).returncode == ends
    assert requeued(tmp_path) == ["requeue 12345"] * again


@pytest.mark.long
def test_a_preempted_fit_goes_on_when_its_job_runs_again(tmp_path):
    saves = tmp_path / "saves"
    saves.mkdir()
    first = sbatch(tmp_path, FIT, saves)
    assert (first.returncode, requeued(tmp_path)) == (0, ["requeue 12345"]), first.stderr
    assert "steps" not in first.stdout
    again = sbatch(tmp_path, FIT, saves)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines() == ["steps 16 completed"] * 2
    assert len(requeued(tmp_path)) == 1

import csv
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trackside.views.jobs.demo_job import digits

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As in the command: more threads do not help, and are slow if tests run in parallel."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def demo(run_in, tmp_path_factory):
    """A folder, and the finished demo command, with fewer epochs than the default."""
    folder = tmp_path_factory.mktemp("demo")
    done = run_in(folder, "demo", "--epochs", "5")
    assert done.returncode == 0, done.stderr
    return folder, done


def test_the_demo_learns_the_digits(demo):
    folder, _ = demo
    with (folder / "runs" / "demo" / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert float(rows[-1]["valid_accuracy"]) >= 0.97


def test_the_demo_prints_a_table_of_epochs(demo):
    _, done = demo
    names, *epochs = done.stdout.splitlines()[1:7]
    assert names.split()[:3] == ["epoch", "step", "lr"]
    assert names.split()[3:] == ["train_loss", "train_accuracy", "valid_loss", "valid_accuracy"]
    assert [line.split()[0] for line in epochs] == ["1", "2", "3", "4", "5"]


def test_the_demo_writes_a_report_and_prints_the_next_steps(demo):
    folder, done = demo
    report = folder / "runs" / "demo" / "report.html"
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "open runs/demo/report.html in a browser" in done.stdout
    assert "trackside watch runs/demo`" in done.stdout


def test_the_demo_shows_its_progress(demo):
    _, done = demo
    assert done.stderr


def test_the_weights_of_the_demo_can_be_loaded(demo):
    folder, _ = demo
    weights = torch.load(folder / "runs" / "demo" / "model.pt", weights_only=True)
    job = digits()
    job.trainer.state.model.load_state_dict(weights)
    assert job.trainer.validate(job.valid_loader)["valid_accuracy"] >= 0.97


def test_the_demo_draws_its_chart_with_receivers(demo):
    folder, _ = demo
    picture = (folder / "runs" / "demo" / "loop.svg").read_text(encoding="utf-8")
    assert 'data-phase="fit.epoch.train.batch.forward"' in picture
    assert "ProgressBar." in picture


def test_the_weights_depend_only_on_the_seed():
    def trained(seed):
        job = digits(seed)
        job.trainer.fit(job.train_loader, epochs=1)
        return torch.cat([p.detach().flatten() for p in job.trainer.state.model.parameters()])

    before = torch.get_rng_state()
    first = trained(seed=1)
    assert torch.equal(first, trained(seed=1))
    assert not torch.equal(first, trained(seed=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_example_trains_the_network_of_the_demo(run_in, tmp_path):
    example = f"{ROOT / 'examples' / 'digits.py'}:digits"
    done = run_in(tmp_path, "fit", example, "--epochs", "1", "--device", "cpu", "--out", "run")
    assert done.returncode == 0, done.stderr
    weights = torch.load(tmp_path / "run" / "model.pt", weights_only=True)
    digits().trainer.state.model.load_state_dict(weights)


def test_without_scikit_learn_the_error_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['sklearn'] = None; "
        "from trackside.views.commands.main import main; "
        "sys.exit(main(['demo']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        "trackside: the images of the demo need scikit-learn: pip install 'trackside[demo]'\n"
    )

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest
from forked import Forked

from trackside.views.commands.main import main

INTERRUPTIBLE = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests may ignore it
from trackside.views.commands.main import main
sys.exit(main())
"""

ENDLESS = """
import itertools

import torch
from trackside.engine import Trainer
from trackside.views import Job


class Reports:
    def after_batch(self, trainer, state):
        if state.batch_index == 3:
            print("training", flush=True)

    def after_epoch(self, trainer, state):
        print("epoch", state.outcome, flush=True)

    def after_fit(self, trainer, state):
        print("fit", state.outcome, flush=True)


def endless():
    model = torch.nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, torch.nn.MSELoss(), optimizer, [Reports()])
    return Job(trainer, itertools.repeat((torch.ones(3, 4), torch.ones(3, 2))))
"""


def test_version_is_that_of_the_package(command):
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout == f"trackside {version('trackside')}\n"


def test_help_lists_the_commands(command):
    done = command("--help")
    assert done.returncode == 0
    assert "demo" in done.stdout
    assert "fit" in done.stdout


def test_a_usage_error_does_not_import_torch(tmp_path):
    code = (
        "import sys; from trackside.views.commands.main import main; "
        "assert main(['fit', 'nowhere:job']) == 2; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_the_module_is_the_same_command(tmp_path):
    run = [sys.executable, "-m", "trackside", "--version"]
    done = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("trackside ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["train"], "'train' is no command; see trackside --help"),
        (["fitt"], "'fitt' is no command; did you mean fit?; see trackside --help"),
        (["fit"], "required: factory; see trackside fit --help"),
        (["fit", "jobs:job", "--epoch", "3"], "did you mean --epochs?; see trackside fit jobs:job"),
        (["fit", "--lr", "3", "jobs:job"], "options of a factory follow it"),
        (["fit", "jobs:job", "--epochs", "-1"], "found '-1'; allowed: a whole number from 0"),
        (["fit", "jobs:job", "--epochs", "1.5"], "found '1.5'; allowed: a whole number from 0"),
        (["demo", "--seed", "one"], "found 'one'; allowed: a whole number from 0"),
        (["demo", "--seed", 2**64], f"found '{2**64}'; allowed: a whole number from 0"),
        (["demo", "--epoch", "1"], "--epoch 1; did you mean --epochs?; see trackside demo --help"),
    ],
)
def test_an_invalid_argument_is_refused_in_one_line(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "jobs_to_refuse.py").write_text("def job():\n    pass\n")
    assert main([str(word).replace("jobs:", "jobs_to_refuse:") for word in arguments]) == 2
    printed, error = capsys.readouterr()
    assert message.replace("jobs:", "jobs_to_refuse:") in error
    assert (printed, error.count("\n")) == ("", 1)


@pytest.mark.parametrize("words", [["handlers"], ["--help"], ["fit", "--help"]])
def test_an_output_that_cannot_be_written_is_one_line_and_a_code(words):
    run = [sys.executable, "-m", "trackside", *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    read, write = os.pipe()
    os.close(read)
    for output, why in ((write, "Broken pipe"), (os.open("/dev/full", os.O_WRONLY), "No space")):
        done = subprocess.run(
            run, stdout=output, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
        os.close(output)
        assert done.returncode == 1
        assert done.stderr.startswith(f"trackside: cannot write the output: {why}")
        assert done.stderr.count("\n") == 1


def test_an_interrupt_closes_the_scopes_and_exits_with_130(tmp_path):
    (tmp_path / "jobs.py").write_text(ENDLESS)
    run = [sys.executable, "-c", INTERRUPTIBLE, "fit", "jobs:endless", "--out", "run"]
    with Forked(
        run, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "training\n"
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
    assert process.returncode == 130, stderr
    # between two transitions it is the loop around the fit that is interrupted, and leaves it
    how = "cancelled" if "fit cancelled" in stdout else "failed"
    assert stdout.splitlines()[:2] == [f"epoch {how}", f"fit {how}"]
    names, row = stdout.splitlines()[2:4]
    assert names.split()[:2] == ["epoch", "step"]
    assert (row.split()[0], row.split()[-1]) == ("1", how)
    assert stderr.count("interrupted") == 1
    assert "Traceback" not in stderr
    assert (tmp_path / "run" / "history.csv").is_file()
    assert (tmp_path / "run" / "model.pt").is_file()

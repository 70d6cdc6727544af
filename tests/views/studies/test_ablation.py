import csv
import os
import re
import subprocess
import sys
import warnings

import optuna
import psutil
import pytest
import studied
from forked import Forked

from trackside import ablate
from trackside.views.commands.main import main
from trackside.views.jobs.named_job import JobSource
from trackside.views.output.usage_error import UsageError
from trackside.views.studies.ablation import Asked, StudyRun
from trackside.views.studies.study_file import study_facts
from trackside.views.studies.trial import run_trial
from trackside.views.studies.trial_result import Trial
from trackside.views.studies.worker_pool import WorkerPool


@pytest.fixture(scope="module")
def pool():
    """Real workers, which take seconds to start: one for most tests."""
    with WorkerPool("studied:job", jobs=1) as started:
        yield started


@pytest.fixture
def study_of(pool, tmp_path):
    def made(handlers=None, metric="train_loss", seeds=(0,), vary=None, epochs=None):
        asked = Asked(handlers, metric, seeds, False, False, vary or {}, epochs, 1)
        with StudyRun(pool, asked, tmp_path / "study.db") as run:
            fits = [*run.fits()]
            return fits, run.study()

    return made


def values(study):
    return {line.variation.label: dict(line.values) for line in study.lines}


def undisturbed(without, seed):
    """The value of a fit that is made here."""
    trial = Trial(without, (), seed)
    return run_trial(JobSource(studied.job, "studied:job"), trial, "train_loss", None)["rows"][-1][
        "train_loss"
    ]


def test_a_killed_study_leaves_no_process_and_goes_on_to_the_same_table(tmp_path, capsys):
    file = str(tmp_path / "study.db")
    arguments = ["ablate", "studied:job", "--seeds", "0,1", "--metric", "train_loss"]
    arguments += ["--file", file]
    command = [sys.executable, "-m", "trackside", *arguments, "--jobs", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "STUDIED_STANDS": "1"}
    with Forked(command, env=environment, stdout=subprocess.PIPE) as process:
        first = [process.stdout.readline() for _ in range(4)]  # the others do not end
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
    assert all(line.endswith(b", seed 0: completed\n") for line in first)
    assert children
    assert psutil.wait_procs(children, timeout=60)[1] == []

    table, page = str(tmp_path / "t.csv"), str(tmp_path / "t.html")
    capsys.readouterr()
    assert not main([*arguments, "--csv", table, "--html", page])
    made_now = re.findall(r"^.*, seed \d: completed$", capsys.readouterr().out, re.MULTILINE)
    assert len(made_now) == 4
    with open(table) as lines:
        rows = [*csv.DictReader(lines)]
    assert [(row["variation"], float(row["seed 0"]), float(row["seed 1"])) for row in rows] == [
        ("all handlers", undisturbed((), 0), undisturbed((), 1)),
        *(
            (f"without {name}", undisturbed((name,), 0), undisturbed((name,), 1))
            for name in ("Noise", "Halves", "GradientClip")
        ),
    ]
    assert os.path.getsize(page)
    assert not main(["facts", file])
    assert re.search(r"^seed +1$", capsys.readouterr().out, re.MULTILINE)


def test_the_facts_have_the_command_of_the_study_and_its_file_no_secret(tmp_path, monkeypatch):
    command = ["ablate", "studied:with_secret", "--api_key", "NotToBeKept", "--seeds", "0"]
    command += ["--epochs", "1", "--file", str(tmp_path / "study.db")]
    monkeypatch.setattr(sys, "orig_argv", ["trackside", *command])
    assert main(command) == 0
    assert b"NotToBeKept" not in (tmp_path / "study.db").read_bytes()
    kept = study_facts(tmp_path / "study.db")["command"]
    assert kept == ["trackside", *(word.replace("NotToBeKept", "***") for word in command)]


def test_a_metric_that_no_fit_reports_is_refused_after_one_epoch(study_of):
    with pytest.raises(UsageError, match="no metric 'valid_los' after epoch 1; did you mean valid"):
        study_of(["Noise"], metric="valid_los")
    assert [*values(study_of(["Noise"])[1])] == ["all handlers", "without Noise"]
    with pytest.raises(UsageError, match="the study found no metric 'valid_los' after epoch 2"):
        study_of(["Noise"], metric="valid_los")


def test_a_fit_that_fails_is_a_line_and_is_made_again_when_the_study_is(study_of):
    vary = {"lr": [0.1, -1.0]}
    fits, study = study_of(vary=vary)
    assert [result["outcome"] for _, _, result in fits] == ["completed", "failed"]
    assert [(one.label, one.reason) for one in study.failures] == [
        ("lr=-1.0", "ValueError: Invalid learning rate: -1.0")
    ]
    assert "Traceback" in study.failures[0].error
    assert [variation.label for variation, _, _ in study_of(vary=vary)[0]] == ["lr=-1.0"]


def test_a_fit_whose_process_dies_is_made_again_once(study_of, tmp_path):
    fits, _ = study_of(seeds=(1, 13), vary={"dies_in": [str(tmp_path)]}, epochs=1)
    results = {seed: (result["outcome"], result["reason"]) for _, seed, result in fits}
    assert (tmp_path / "died").exists()
    assert results == {
        1: ("completed", ""),
        13: ("failed", "its process died twice: signal 9"),
    }


def test_a_worker_that_dies_is_replaced(pool):
    pool._workers[0]._process.kill()
    answer = pool.ask({"probe": True, "seed": 0, "arguments": {}})
    assert answer["handlers"] == ["Noise", "Halves", "GradientClip", "Metrics"]


def test_a_parameter_that_the_factory_does_not_have_is_refused(study_of):
    with pytest.raises(UsageError, match="job has no parameter 'lrr'; did you mean lr"):
        study_of(vary={"lrr": [0.1, 0.2]})


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (studied.ends, "calling studied:ends ended its process: exit code 1"),
        (studied.needs_another, "Needs requires Halves, which the trainer does not have"),
    ],
)
def test_a_factory_that_no_fit_can_be_made_of_is_refused(factory, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        ablate(factory, metric="train_loss", path=tmp_path / "study.db")


def test_a_study_of_python_is_shown_and_exported_by_the_command(tmp_path, capsys, monkeypatch):
    file, storage = tmp_path / "study.db", f"sqlite:///{tmp_path / 'optuna.db'}"
    study = ablate("studied:job", ["Noise"], metric="train_loss", seeds=(0,), epochs=1, path=file)
    assert [*values(study)] == ["all handlers", "without Noise"]
    words = ["ablate", "studied:job", "--handlers", "Noise", "--metric", "train_loss"]
    words += ["--seeds", "0", "--epochs", "1", "--file", str(file)]
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    with warnings.catch_warnings(action="ignore"):  # of optuna
        assert main([*words, "--optuna", storage, "--maximize"]) == 0
    printed = capsys.readouterr().out
    assert "\x1b[" in printed
    assert printed.endswith(f"exported to {storage}\n")
    [name] = optuna.get_all_study_names(storage)
    loaded = optuna.load_study(study_name=name, storage=storage)
    assert loaded.direction == optuna.study.StudyDirection.MAXIMIZE
    assert sorted(one.value for one in loaded.trials) == sorted(
        value for line in study.lines for value in line.values.values()
    )
    assert main([*words, "--csv", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"trackside: cannot write {tmp_path}: Is a directory\n"


def test_the_command_without_rich_names_the_extra(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert main(["ablate", "studied:job"]) == 2
    assert capsys.readouterr().err.endswith("needs rich: pip install 'trackside[study]'\n")


def test_a_system_that_cannot_fork_is_told(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(RuntimeError, match=r"a study needs os\.fork, which this system does not"):
        WorkerPool("studied:job", 1)


def test_a_factory_that_cannot_be_imported_is_refused():
    with pytest.raises(UsageError, match="cannot find 'jobb' in studied; did you mean job"):
        ablate("studied:jobb")


def test_a_function_that_no_other_process_can_import_is_refused():
    with pytest.raises(UsageError, match="<lambda> in another process; expected a top-level"):
        ablate(lambda: None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seeds": (0, 1, 1)}, r"ablate\(seeds=\(0, 1, 1\)\): 1 is there twice; allowed: diff"),
        ({"seeds": ()}, "there is none; allowed: different ints"),
        ({"seeds": (-1,)}, "allowed: an int, from 0"),
        ({"jobs": 0}, r"ablate\(jobs=0\): allowed: an int, from 1"),
        ({"epochs": 0}, r"ablate\(epochs=0\): allowed: an int, from 1"),
        ({"vary": {"lr": [1.0, 1.0]}}, "1.0 is there twice; allowed: different values"),
        ({"vary": {"lr": []}}, "allowed: a sequence of values"),
        ({"vary": {"lr": [object]}}, "allowed: values of type str, bool, int, float, or None"),
        ({"vary": {"seed": [1, 2]}}, "allowed: other parameters; the seeds are seeds="),
        ({"vary": {"lr": [1, 2]}, "pairs": True}, "allowed: one of both"),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_imported(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ablate("no_such_module:job", **arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seeds", "1,1"], "1 is there twice"),
        (["--seeds", "1,x"], "found 'x'; allowed: a whole number"),
        (["--vary", "lr"], "found 'lr'; allowed: a parameter and values, lr=1,2"),
        (["--vary", "lr=1", "--vary", "lr=2"], "--vary has one parameter twice"),
        (["--vary", "seed=1,-2.5e-1,x"], "{'seed': ['1', '-2.5e-1', 'x']}): allowed: other"),
    ],
)
def test_the_command_refuses_wrong_options_in_one_line(options, message, capsys):
    assert main(["ablate", "studied:job", *options]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line

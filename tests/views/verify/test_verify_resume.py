import os
import subprocess
import sys
import warnings

import planted
import pytest

from trackside.views.commands.main import main
from trackside.views.output.usage_error import UsageError
from trackside.views.verify.resume_worker import ResumeCheck
from trackside.views.verify.verify_resume import verify_resume


def names(verification):
    return {difference.name for difference in verification.differences}


def test_a_correct_fit_resumes_exactly_from_every_boundary(monkeypatch):
    monkeypatch.setattr(sys.modules[verify_resume.__module__], "subprocess", subprocess)
    verification = verify_resume(planted.sound, epochs=1, batches=2)
    assert verification.boundaries == 11
    assert verification.differences == ()
    assert str(verification) == "11 resumed fits equal the uninterrupted one, bit for bit"


def resume_at_each_boundary(make, folder, epochs=2):
    """The baseline, and the result of each resumed fit, in this process."""
    baseline = ResumeCheck(make(), folder, ()).run_baseline(epochs)
    numbers = range(len(baseline["boundaries"]))
    with warnings.catch_warnings(action="ignore"):
        return baseline, [
            ResumeCheck(make(), folder, ()).resume(number, baseline) for number in numbers
        ]


def test_unsaved_state_is_detected_when_it_has_an_effect(tmp_path):
    baseline, results = resume_at_each_boundary(planted.counter, tmp_path)
    assert [warning.partition(":")[0] for warning in baseline["warnings"]] == [
        "handler Counter keeps batches and cannot save it"
    ]
    after_four = results[4]  # the counter would have changed the next batch
    assert after_four == {
        "difference": "position: loss",
        "where": "fit.epoch.train.fetch of epoch 1, after 4 batches",
    }


def test_the_first_difference_of_the_journals_names_who_wrote_it(capsys):
    assert main(["verify-resume", "planted:silent", "--epochs", "1", "--batches", "4"]) == 1
    (line,) = [x for x in capsys.readouterr().out.splitlines() if x.startswith("first difference")]
    assert line == (
        "first difference (A: uninterrupted, B: resumed) at step 3, begin_batch (epoch 1, batch 4)"
        ": xb differs; written by Silent.begin_batch in run A only"
    )


def test_state_that_a_handler_hides_is_detected(tmp_path):
    baseline, results = resume_at_each_boundary(planted.silent, tmp_path)
    assert baseline["warnings"] == []
    assert {result["difference"] for result in results} >= {"position: loss"}


def test_a_signal_that_differs_is_named(tmp_path):
    _, results = resume_at_each_boundary(planted.stops, tmp_path)
    differences = {result["difference"] for result in results}
    assert "signal after_pred instead of after_batch" in differences


def test_an_error_in_a_resumed_fit_is_raised(tmp_path):
    with pytest.raises(KeyError, match="best"):
        resume_at_each_boundary(planted.refuses, tmp_path)


def test_the_death_of_a_process_is_reported():
    verification = verify_resume(planted.dies, epochs=1, batches=1)
    assert names(verification) == {"the process died with exit code 3"}


def test_a_failing_uninterrupted_fit_is_an_error():
    with pytest.raises(RuntimeError, match="the uninterrupted fit failed: OSError: no more"):
        verify_resume(planted.breaks, epochs=1, batches=1)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: None, "another process"),
        ("planted", "expected module:factory"),
        ("planted:soundd", "did you mean sound"),
        ("planted:nothing", "is a int"),
    ],
)
def test_a_factory_that_another_process_cannot_import_is_refused(factory, message):
    with pytest.raises(UsageError, match=message):
        verify_resume(factory)


def test_a_system_that_cannot_fork_is_told(monkeypatch):
    monkeypatch.delattr(os, "fork")
    with pytest.raises(RuntimeError, match=r"verify_resume needs os\.fork, which this system does"):
        verify_resume(planted.sound)


def test_the_command_names_the_parameter_that_a_handler_did_not_save(tmp_path, monkeypatch, capsys):
    command = ["verify-resume", "planted:forgetful", "--api_key", "NotToBeKept"]
    command += ["--file", str(tmp_path / "run.loop"), "--epochs", "1", "--batches", "1"]
    monkeypatch.setattr(sys, "orig_argv", ["trackside", *command])
    assert main(command) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "9 of 9 resumed fits differ from the uninterrupted one"
    assert (
        "stopped in fit.epoch.train.fetch of epoch 1, after 1 batches: "
        "handler Forgetful: averaged of 0.weight differs, at once"
    ) in lines
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"planted:forgetful" in kept, "the fits record the command that was typed"
    assert b"NotToBeKept" not in kept, "without its secret"

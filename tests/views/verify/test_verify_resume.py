import warnings

import planted
import pytest

from trackside.views.commands.main import main
from trackside.views.output.usage_error import UsageError
from trackside.views.verify.resume_worker import Check
from trackside.views.verify.verify_resume import verify_resume


def names(found):
    return {difference.name for difference in found.differences}


def test_a_sound_fit_goes_on_from_every_boundary_in_fresh_processes():
    found = verify_resume(planted.sound, epochs=1, batches=2)
    assert found.boundaries == 11
    assert found.differences == ()
    assert str(found) == "11 resumed fits equal the one that was not stopped, bit for bit"


def rests(make, folder, epochs=2):
    """What came of going on at each boundary, in this process."""
    whole = Check(make(), folder, ()).whole(epochs)
    numbers = range(len(whole["boundaries"]))
    with warnings.catch_warnings(action="ignore"):
        return whole, [Check(make(), folder, ()).rest(number, whole) for number in numbers]


def test_what_only_matters_later_is_found_when_it_does_and_who_keeps_it_is_told(tmp_path):
    whole, found = rests(planted.counter, tmp_path)
    assert [told.partition(":")[0] for told in whole["warnings"]] == [
        "handler Counter keeps batches and cannot save it"
    ]
    third = found[4]  # it would have changed the next batch
    assert third == {
        "difference": "position: loss",
        "where": "fit.epoch.train.fetch of epoch 0, after 4 batches",
    }


def test_a_handler_that_hides_what_it_keeps_is_found_out(tmp_path):
    whole, found = rests(planted.silent, tmp_path)
    assert whole["warnings"] == []
    assert {rest["difference"] for rest in found} >= {"position: loss"}


def test_a_signal_that_differs_is_named(tmp_path):
    _, found = rests(planted.stops, tmp_path)
    told = {rest["difference"] for rest in found}
    assert "signal after_pred instead of after_batch" in told


def test_what_is_raised_in_a_resumed_fit_escapes(tmp_path):
    with pytest.raises(KeyError, match="best"):
        rests(planted.refuses, tmp_path)


def test_a_process_that_dies_is_told():
    found = verify_resume(planted.dies, epochs=1, batches=1)
    assert names(found) == {"the process died with exit code 3"}


def test_a_fit_that_fails_by_itself_is_an_error():
    with pytest.raises(RuntimeError, match="nothing stops has failed: OSError: no more"):
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
def test_what_no_other_process_could_find_is_refused(factory, message):
    with pytest.raises(UsageError, match=message):
        verify_resume(factory)


def test_the_command_names_what_a_handler_forgot_down_to_the_parameter(capsys):
    assert main(["verify-resume", "planted:forgetful", "--epochs", "1", "--batches", "1"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "9 of 9 resumed fits differ from the one that was not stopped"
    assert (
        "stopped in fit.epoch.train.fetch of epoch 0, after 1 batches: "
        "handler Forgetful: averaged of 0.weight differs, at once"
    ) in told

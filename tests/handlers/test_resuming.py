"""Every handler goes on after a stop as if nothing had happened; a fit for each is resumable.py."""

import pytest
import resumable
from helpers import sample

from trackside import handlers
from trackside.views.verify.resume_worker import ResumeCheck
from trackside.views.verify.verify_resume import MEASURED, verify_resume

SAMPLE = 3


def test_there_is_a_fit_for_every_handler():
    assert {*resumable.MAKERS} == {*handlers.__all__} - {"LRFinder"}  # which makes a fit of its own


def check(make, folder):
    return ResumeCheck(make(), folder, MEASURED)


each = pytest.mark.parametrize("prepared", resumable.MAKERS, indirect=True)


@each
def test_a_fit_with_it_goes_on_at_any_boundary(prepared, folder):
    make = resumable.MAKERS[prepared]
    whole = check(make, folder).run_baseline(epochs=2)
    assert [told for told in whole["warnings"] if "cannot save" in told] == []
    for number in sample(range(len(whole["boundaries"])), SAMPLE):
        found = check(make, folder).resume(number, whole)
        assert (number, found["difference"]) == (number, "")


def test_all_together_go_on_at_every_boundary(folder):
    whole = check(resumable.everything, folder).run_baseline(epochs=2)
    assert len(whole["boundaries"]) > 30
    for number in range(len(whole["boundaries"])):
        found = check(resumable.everything, folder).resume(number, whole)
        assert (number, found["difference"]) == (number, "")


@pytest.mark.parametrize(("name", "file"), [("CSVLogger", "log.csv"), ("JSONLines", "log.jsonl")])
def test_a_log_has_every_row_once(name, file, folder):
    make = resumable.MAKERS[name]
    whole = check(make, folder).run_baseline(epochs=2)
    rows = (folder / file).read_bytes()
    for number in (1, 5, 9, 15, 20, 24):
        check(make, folder).resume(number, whole)
        assert (folder / file).read_bytes() == rows


@pytest.mark.long
@each
def test_a_fit_with_it_goes_on_in_a_fresh_process_at_every_boundary(prepared):
    assert verify_resume(f"resumable:{prepared}").differences == ()


@pytest.mark.long
@pytest.mark.parametrize("name", ["everything", "two_of_a_kind"])
def test_several_go_on_in_a_fresh_process_at_every_boundary(name):
    assert verify_resume(f"resumable:{name}").differences == ()

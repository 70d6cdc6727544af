import pytest


@pytest.mark.parametrize("out", ["jobs.py", "jobs.py/below", "/dev/null"])
def test_a_place_that_cannot_be_written_is_refused_in_one_line(refused, out):
    assert f"cannot write to --out {out}: " in refused("fit", "jobs:job", "--out", out)

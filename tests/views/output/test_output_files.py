import pytest


@pytest.mark.parametrize("out", ["jobs.py", "jobs.py/below", "/dev/null"])
def test_an_unwritable_out_folder_is_refused_in_one_line(refused, out):
    assert f"cannot write to --out {out}: " in refused("fit", "jobs:job", "--out", out)

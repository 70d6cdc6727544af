"""`examples/ray_train.py`, in a Ray of this machine; needs the extra `ray`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.long
def test_ray_starts_the_workers_again_and_the_fit_goes_on_to_the_same_end(tmp_path):
    pytest.importorskip("ray")
    ends = {}
    for name, options in (("whole", []), ("failing", ["--fail-at", "25"])):
        done = subprocess.run(
            [sys.executable, ROOT / "examples" / "ray_train.py", tmp_path / name, *options],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
            timeout=540,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        output = done.stdout + done.stderr
        ends[name] = re.search(r"resumed at (.*), ended at step (\d+), loss (\S+)", output).groups()
    assert ends["whole"][:2] == ("[]", "64")
    assert ends["failing"] == ("[20]", "64", ends["whole"][2])
    assert "PeerError" in output

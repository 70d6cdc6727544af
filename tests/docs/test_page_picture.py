"""`make picture` takes the picture of the live page."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest
from browsers import chromium

SCRIPT = Path(__file__).parents[2] / "docs" / "page_picture.py"


@pytest.mark.long
def test_the_picture_shows_the_page_in_its_usual_size(tmp_path):
    with chromium():
        pass  # there is one
    picture = tmp_path / "watch.png"
    command = [sys.executable, SCRIPT, "--picture", picture, "--seconds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert struct.unpack(">II", picture.read_bytes()[16:24]) == (1440, 900)

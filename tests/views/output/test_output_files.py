import os
from pathlib import Path

import pytest

from trackside.views.output.output_files import write_atomically


@pytest.mark.parametrize("out", ["jobs.py", "jobs.py/below", "/dev/null"])
def test_an_unwritable_out_folder_is_refused_in_one_line(refused, out):
    assert f"cannot write to --out {out}: " in refused("fit", "jobs:job", "--out", out)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, lambda path: path.write_text("a line", encoding="utf-8"))
    assert os.read(reader, 100) == b"a line"
    os.close(reader)
    assert pipe.is_fifo()


def test_an_open_file_by_its_number_is_written_to(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        out = Path(f"/dev/fd/{file.fileno()}")
        write_atomically(out, lambda path: path.write_text("a line", encoding="utf-8"))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "a line"


def test_a_folder_in_the_place_of_an_output_file_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, lambda path: path.write_text("", encoding="utf-8"))
    assert [*tmp_path.iterdir()] == []

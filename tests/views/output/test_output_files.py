import os
import sys
from pathlib import Path

import pytest
from forked import WITH_TEST_HELPERS, run_forked

from trackside.views.output.output_files import is_stream, print_written, write_atomically

FULL = """
import sys
from pathlib import Path
from trackside.views.output.output_files import write_atomically
from trackside.views.output.standard_output import OutputError
try:
    write_atomically(Path("/dev/stdout"), lambda path: path.write_text("a line"))
except OutputError:
    sys.exit(3)
"""


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


WRITES = """
from pathlib import Path
from trackside.views.output.output_files import write_atomically
print("before")
write_atomically(Path("/dev/stdout"), lambda path: path.write_text("a line\\n", encoding="utf-8"))
print("after")
"""


def test_standard_output_goes_on_where_it_is_a_file(tmp_path):
    with (tmp_path / "out").open("w") as file:
        file.write("first\n")
        file.flush()
        run_forked([sys.executable, "-c", WRITES], stdout=file, env=WITH_TEST_HELPERS)
    assert (tmp_path / "out").read_text() == "first\nbefore\na line\nafter\n"


def test_standard_output_that_nobody_reads_is_no_usage_error():
    with open("/dev/full", "w") as full:
        done = run_forked([sys.executable, "-c", FULL], stdout=full, env=WITH_TEST_HELPERS)
    assert done.returncode == 3


def test_a_regular_file_below_dev_is_none_of_its_devices():
    assert not is_stream(Path("/dev/shm/a.svg"))


def test_nothing_is_printed_between_what_a_stream_gets(tmp_path, capsys):
    print_written(Path("/dev/stdout"))
    print_written(tmp_path / "a.svg")
    assert capsys.readouterr().out == f"wrote {tmp_path / 'a.svg'}\n"


def test_a_folder_in_the_place_of_an_output_file_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError):
        write_atomically(tmp_path, lambda path: path.write_text("", encoding="utf-8"))
    assert [*tmp_path.iterdir()] == []

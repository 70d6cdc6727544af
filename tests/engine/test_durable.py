import hashlib
import os

import psutil
import pytest
from trackside.engine.durable import (
    Written,
    commit,
    discard,
    hash_file,
    is_temporary,
    make_folder,
    temporary_in,
    write_file,
)


@pytest.mark.parametrize("sizes", [[], [0], [5, 7], [1 << 20, 3, (1 << 25) + 1], [(1 << 24) + 9]])
def test_a_file_holds_what_was_written_and_its_hash_is_right(tmp_path, sizes):
    pieces = [os.urandom(size) for size in sizes]
    written = write_file(tmp_path / "f", lambda file: [file.write(piece) for piece in pieces])
    whole = b"".join(pieces)
    assert (tmp_path / "f").read_bytes() == whole
    assert written == Written(len(whole), hashlib.sha256(whole).hexdigest())
    assert hash_file(tmp_path / "f") == written


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "f").write_text("kept")
    with pytest.raises(FileExistsError):
        write_file(tmp_path / "f", lambda file: file.write(b"new"))
    assert (tmp_path / "f").read_text() == "kept"


def test_an_error_while_it_is_filled_escapes_and_leaves_no_file_open(tmp_path):
    def fill(file):
        file.write(b"half")
        raise ValueError("no more")

    before = psutil.Process().num_fds()
    with pytest.raises(ValueError, match="no more"):
        write_file(tmp_path / "f", fill)
    assert psutil.Process().num_fds() == before


def test_a_folder_and_those_above_it_are_made(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_gets_its_name_when_it_is_finished(tmp_path):
    folder = temporary_in(tmp_path)
    folder.mkdir()
    (folder / "f").write_text("x")
    assert is_temporary(folder)
    commit(folder, tmp_path / "named")
    assert [path.name for path in tmp_path.iterdir()] == ["named"]
    assert not is_temporary(tmp_path / "named")


def test_a_folder_is_discarded_with_all_that_it_holds(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("x")
    discard(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_made_here_is_taken_for_temporary(tmp_path):
    for name in (".tmp-mine", ".tmp-1-abc", "tmp-1-0123abcd"):
        (tmp_path / name).mkdir()
        assert not is_temporary(tmp_path / name)
    (tmp_path / ".tmp-1-0123abcd").symlink_to(tmp_path)
    assert not is_temporary(tmp_path / ".tmp-1-0123abcd")

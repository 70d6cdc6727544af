import hashlib
import os

import pytest

from trackside.engine.checkpoint.atomic_directory import (
    Draft,
    Written,
    discard,
    hash_file,
    is_temporary,
    make_folder,
    temporary_in,
)


@pytest.mark.parametrize("sizes", [[], [0], [5, 7], [1 << 20, 3, (1 << 25) + 1], [(1 << 24) + 9]])
def test_a_file_holds_what_was_written_and_its_hash_is_right(tmp_path, sizes):
    pieces = [os.urandom(size) for size in sizes]
    with Draft(tmp_path) as draft:
        written = draft.write("f", lambda file: [file.write(piece) for piece in pieces])
        draft.commit(tmp_path / "named")
    whole = b"".join(pieces)
    assert (tmp_path / "named" / "f").read_bytes() == whole
    assert written == Written(len(whole), hashlib.sha256(whole).hexdigest())
    assert hash_file(tmp_path / "named" / "f") == written


def test_a_folder_gets_its_name_when_it_is_finished(tmp_path):
    with Draft(tmp_path) as draft:
        draft.write("f", lambda file: file.write(b"x"))
        assert is_temporary(draft.path)
        assert os.listdir(tmp_path) == [draft.path.name]
        draft.commit(tmp_path / "named")
    assert os.listdir(tmp_path) == ["named"]
    assert not is_temporary(tmp_path / "named")


def test_a_folder_that_is_not_committed_is_deleted(tmp_path):
    with Draft(tmp_path) as draft:
        draft.write("f", lambda file: file.write(b"x"))
    assert os.listdir(tmp_path) == []


def test_a_name_that_is_taken_is_not_overwritten(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "kept").touch()
    with pytest.raises(OSError, match="named"), Draft(tmp_path) as draft:
        draft.commit(tmp_path / "named")
    assert os.listdir(tmp_path) == ["named"]
    assert os.listdir(tmp_path / "named") == ["kept"]


def test_a_file_is_not_written_twice(tmp_path):
    with Draft(tmp_path) as draft:
        draft.write("f", lambda file: file.write(b"x"))
        with pytest.raises(FileExistsError):
            draft.write("f", lambda file: file.write(b"y"))


def test_an_error_while_a_file_is_filled_escapes_and_leaves_nothing(tmp_path):
    def fill(file):
        file.write(bytes(1 << 21))
        raise ValueError("no more")

    draft = Draft(tmp_path)
    with pytest.raises(ValueError, match="no more"), draft:
        draft.write("f", fill)
    assert os.listdir(tmp_path) == []
    assert not any(thread.is_alive() for thread in draft._helpers._threads)
    for file in draft._unsynced:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_a_folder_and_those_above_it_are_made(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_discarded_with_all_that_it_holds(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("x")
    discard(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_made_here_is_taken_for_temporary(tmp_path):
    for name in (".tmp-mine", ".tmp-1-abc", "tmp-1-0123abcd"):
        (tmp_path / name).mkdir()
        assert not is_temporary(tmp_path / name)
    made = temporary_in(tmp_path)
    made.mkdir()
    assert is_temporary(made)
    (tmp_path / ".tmp-1-0123abcd").symlink_to(tmp_path)
    assert not is_temporary(tmp_path / ".tmp-1-0123abcd")

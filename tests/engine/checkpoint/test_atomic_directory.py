import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trackside.engine.checkpoint import atomic_directory
from trackside.engine.checkpoint.atomic_directory import (
    AtomicDirectory,
    FileDigest,
    discard,
    hash_file,
    is_temporary,
    make_folder,
    temporary_path,
)


@pytest.mark.parametrize("sizes", [[], [0], [5, 7], [1 << 20, 3, (1 << 25) + 1], [(1 << 24) + 9]])
def test_a_file_contains_what_was_written_and_the_digest_matches(tmp_path, sizes):
    pieces = [os.urandom(size) for size in sizes]
    with AtomicDirectory(tmp_path) as directory:
        written = directory.write("f", lambda file: [file.write(piece) for piece in pieces])
        directory.commit(tmp_path / "named")
    whole = b"".join(pieces)
    assert (tmp_path / "named" / "f").read_bytes() == whole
    assert written == FileDigest(len(whole), hashlib.sha256(whole).hexdigest())
    assert hash_file(tmp_path / "named" / "f") == written


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system cannot be told")
def test_the_disk_begins_with_each_large_part_before_the_next_one_is_written(tmp_path, monkeypatch):
    told, begun, advise = [], [], os.posix_fadvise

    def tell(file, offset, size, advice):
        told.append((offset, size))
        advise(file, offset, size, advice)

    def fill(file):
        for size in (1 << 21, 5):
            file.write(bytes(size))
            begun.append([*told])

    monkeypatch.setattr(os, "posix_fadvise", tell)
    with AtomicDirectory(tmp_path) as directory:
        directory.write("f", fill)
    assert begun == [[(0, 1 << 21)]] * 2
    assert told == [(0, 1 << 21), (0, 0)]  # last the rest


def test_a_folder_gets_its_name_at_commit(tmp_path):
    with AtomicDirectory(tmp_path) as directory:
        directory.write("f", lambda file: file.write(b"x"))
        assert is_temporary(directory.path)
        assert os.listdir(tmp_path) == [directory.path.name]
        directory.commit(tmp_path / "named")
    assert os.listdir(tmp_path) == ["named"]
    assert not is_temporary(tmp_path / "named")


def test_a_folder_that_is_not_committed_is_deleted(tmp_path):
    with AtomicDirectory(tmp_path) as directory:
        directory.write("f", lambda file: file.write(b"x"))
    assert os.listdir(tmp_path) == []


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "named").mkdir()
    (tmp_path / "named" / "kept").touch()
    with pytest.raises(OSError, match="named"), AtomicDirectory(tmp_path) as directory:
        directory.commit(tmp_path / "named")
    assert os.listdir(tmp_path) == ["named"]
    assert os.listdir(tmp_path / "named") == ["kept"]


def test_a_file_is_not_written_twice(tmp_path):
    with AtomicDirectory(tmp_path) as directory:
        directory.write("f", lambda file: file.write(b"x"))
        with pytest.raises(FileExistsError):
            directory.write("f", lambda file: file.write(b"y"))


def test_an_error_while_a_file_is_written_escapes_and_leaves_nothing(tmp_path):
    def fill(file):
        file.write(bytes(1 << 21))
        raise ValueError("no more")

    directory = AtomicDirectory(tmp_path)
    with pytest.raises(ValueError, match="no more"), directory:
        directory.write("f", fill)
    assert os.listdir(tmp_path) == []
    assert not any(thread.is_alive() for thread in directory._threads._threads)
    for file in directory._unsynced:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(file)


def test_a_folder_and_its_parents_are_created(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_discarded_with_its_content(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "f").write_text("x")
    discard(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_only_folders_with_a_generated_name_are_temporary(tmp_path):
    for name in (".tmp-mine", ".tmp-1-abc", "tmp-1-0123abcd"):
        (tmp_path / name).mkdir()
        assert not is_temporary(tmp_path / name)
    made = temporary_path(tmp_path)
    made.mkdir()
    assert is_temporary(made)
    (tmp_path / ".tmp-1-0123abcd").symlink_to(tmp_path)
    assert not is_temporary(tmp_path / ".tmp-1-0123abcd")


def test_when_no_more_threads_are_started_the_work_is_done_here():
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    done = []
    future = atomic_directory._submit(threads, done.append, "hashed")
    assert future.done()
    assert done == ["hashed"]


def test_a_folder_that_another_process_makes_meanwhile_is_no_error(tmp_path, monkeypatch):
    folder = tmp_path / "a"
    folder.mkdir()
    seen = iter([False])
    monkeypatch.setattr(Path, "is_dir", lambda path: next(seen, True))
    make_folder(folder)

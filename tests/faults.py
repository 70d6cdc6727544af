"""Every file operation of this process under a folder: logged, and stopped or broken at one.

The log can be played back to the disk as a power cut would leave it: see `power_cut`.
"""

import os
import random
import threading
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch


class Files:
    """Stands between `os` and the code under test for whatever happens below `root`.

    Args:
        at: the number of the operation, from 0, before which, in the middle of which or after
            which `fault(step)` is called, step "before", "middle" or "after".
        fault: it may kill the process or raise.

    Attributes:
        log: tuples: the name of the operation, its path, and what it needs besides.
    """

    def __init__(self, root, at=None, fault=None):
        self.root = str(root)
        self.at, self.fault = at, fault
        self.log = []
        self.paths = {}
        self.one_at_a_time = threading.RLock()
        self.real = {name: getattr(os, name) for name in OPERATIONS}

    def __enter__(self):
        self._undo = ExitStack()
        for name in OPERATIONS:
            self._undo.enter_context(patch.object(os, name, getattr(self, f"_{name}")))
        return self

    def __exit__(self, *raised):
        self._undo.close()

    def acknowledge(self, path):
        """Note that whoever asked for it has been told that `path` is safe."""
        self.log.append(("acknowledged", str(path)))

    def _is_here(self, path):
        return path == self.root or path.startswith(self.root + os.sep)

    def _do(self, entry, real, torn=lambda: None):
        if not self._is_here(entry[1]):
            return real()
        with self.one_at_a_time:
            broken = len([e for e in self.log if e[0] != "acknowledged"]) == self.at
            if broken:
                self.at = None
                self.fault("before")
                torn()
                self.fault("middle")
            done = real()
            self.log.append(entry)
            if broken:
                self.fault("after")
            return done

    def _path(self, path, dir_fd=None):
        path = os.fspath(path)
        return path if dir_fd is None else os.path.join(self.paths[dir_fd], path)

    def _open(self, path, flags, mode=0o777, *, dir_fd=None):
        full = self._path(path, dir_fd)

        def real():
            file = self.real["open"](path, flags, mode, dir_fd=dir_fd)
            self.paths[file] = full
            return file

        return self._do(("create", full), real) if flags & os.O_CREAT else real()

    def _write(self, file, data):
        if file not in self.paths:
            return self.real["write"](file, data)
        held = bytes(data)
        return self._do(
            ("write", self.paths[file], held),
            lambda: self.real["write"](file, held),
            lambda: self.real["write"](file, held[: len(held) // 2]),
        )

    def _fsync(self, file):
        return self._do(("sync", self.paths[file]), lambda: self.real["fsync"](file))

    def _rename(self, old, new):
        entry = ("rename", self._path(old), self._path(new))
        return self._do(entry, lambda: self.real["rename"](old, new))

    def _mkdir(self, path, mode=0o777, *, dir_fd=None):
        entry = ("mkdir", self._path(path, dir_fd))
        return self._do(entry, lambda: self.real["mkdir"](path, mode, dir_fd=dir_fd))

    def _unlink(self, path, *, dir_fd=None):
        entry = ("remove", self._path(path, dir_fd))
        return self._do(entry, lambda: self.real["unlink"](path, dir_fd=dir_fd))

    def _rmdir(self, path, *, dir_fd=None):
        entry = ("remove", self._path(path, dir_fd))
        return self._do(entry, lambda: self.real["rmdir"](path, dir_fd=dir_fd))


OPERATIONS = ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir")


class File:
    def __init__(self):
        self.written = self.safe = b""


class Folder:
    """Names now, and the changes of them that have not been synced yet."""

    def __init__(self):
        self.names = {}
        self.safe = {}
        self.pending = []

    def change(self, changes):
        """Changes: name → file or folder, None where it is gone; they hold together or not."""
        self.pending.append(changes)
        apply(self.names, changes)


def apply(names, changes):
    names.update(changes)
    for name in [name for name, what in names.items() if what is None]:
        del names[name]


def replay(log, root):
    """The tree that a log of operations makes, with what is safe in it and what is not."""
    tree = Folder()

    def find(path):
        found = tree
        for part in Path(path).relative_to(root).parts:
            found = found.names[part]
        return found

    for operation, path, *rest in log:
        folder, name = (
            (None, "") if path == str(root) else (find(Path(path).parent), Path(path).name)
        )
        match operation:
            case "create":
                folder.change({name: folder.names.get(name) or File()})
            case "mkdir":
                folder.change({name: Folder()})
            case "write":
                folder.names[name].written += rest[0]
            case "remove":
                folder.change({name: None})
            case "rename":
                folder.change({name: None, Path(rest[0]).name: folder.names[name]})
            case "sync":
                sync(find(path))
    return tree


def sync(what):
    if isinstance(what, File):
        what.safe = what.written
    else:
        what.safe, what.pending = dict(what.names), []


KEEPS = ("nothing", "names", "everything", "anything")


def power_cut(log, root, target, keeps, seed=0):
    """Write to `target` what a power cut after the operations of `log` may leave of `root`.

    keeps: of what was not synced: "nothing"; "names", with empty files; "everything"; "anything":
    some names, some files whole, some torn, some empty.
    """
    draw = random.Random(seed)

    def put(what, path):
        if isinstance(what, File):
            path.write_bytes(content(what))
            return
        path.mkdir(exist_ok=True)
        for name, inner in surviving(what).items():
            put(inner, path / name)

    def content(file):
        rest = file.written[len(file.safe) :]
        kept = {"nothing": 0, "names": 0, "everything": len(rest)}.get(keeps)
        if kept is None:
            kept = draw.choice([0, len(rest), draw.randint(0, len(rest))])
        lost = draw.choice([0, len(rest) - kept]) if keeps == "anything" else 0
        return file.safe + rest[:kept] + bytes(lost)

    def surviving(folder):
        names = dict(folder.safe)
        for changes in folder.pending:
            if keeps in ("names", "everything") or (keeps == "anything" and draw.random() < 0.5):
                apply(names, changes)
        return names

    put(replay(log, root), target)

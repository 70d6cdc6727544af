"""`python …` within milliseconds: forked from a process that has imported torch and trackside.

Importing torch takes seconds of a processor. `Forked` and `run_forked` take the place of
`subprocess.Popen` and `subprocess.run` where a test is about what a process does, and not about its
start. The process id, streams, folder, environment, signals and exit code are those of a process of
its own. A test needs a new interpreter for: what is imported on use, environment variables that are
read when torch is imported, options of `python`.
"""

import atexit
import contextlib
import functools
import importlib
import json
import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import pytest

import trackside

COMMAND = os.path.join(sysconfig.get_path("scripts"), "trackside")
"""The installed `trackside`."""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}  # more threads do not help models this small
HELPERS = filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))
WITH_TEST_HELPERS = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(HELPERS)}
OF_THE_SERVER = {**ENVIRONMENT, "JE_ARROW_MALLOC_CONF": "background_thread:false"}  # of pyarrow
PATHS = [str(Path(trackside.__file__).parents[1]), str(Path(__file__).parent)]
LARGEST = 1 << 20


@functools.cache
def server():
    """The socket of the one server of this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, Path(__file__).with_name("fork_server.py")]
    null = subprocess.DEVNULL
    with theirs:
        process = subprocess.Popen(
            [*command, str(theirs.fileno()), json.dumps(PATHS)],
            env={name: OF_THE_SERVER[name] for name in OF_THE_SERVER if name != "PYTHONPATH"},
            pass_fds=[theirs.fileno()],
            stdin=null,
            stdout=null,
        )
    atexit.register(_end, ours, process, os.getpid())
    return ours


def _end(ours, process, owner):
    """End the server, which reads to the end of the socket; a fork of its owner leaves it alone."""
    if os.getpid() == owner:
        ours.shutdown(socket.SHUT_RDWR)  # to close it is not enough: a fork may have a copy
        process.wait()


class ServerError(RuntimeError):
    """The server has ended, so that nobody forks, or tells how a process has ended."""

    def __init__(self):
        super().__init__("tests/fork_server.py has ended; what it wrote to stderr says why")


def received(channel, flags=0):
    """What the server says of a process; raises ServerError if it is gone."""
    with contextlib.suppress(ConnectionResetError):
        if said := channel.recv(LARGEST, flags):
            return int(said)
    channel.close()
    raise ServerError


class Forked(subprocess.Popen):
    """A running process: `[sys.executable, …]`, or a script that Python runs, and its arguments.

    It replaces private parts of `Popen`, those that start a process and wait for it, so that pipes,
    `communicate` and timeouts are those of `Popen`: tests/test_forked.py runs both.
    """

    def __init__(self, command, **options):
        command = [os.fspath(word) for word in command]
        if command[0] != sys.executable:
            command.insert(0, sys.executable)
        if command[1].startswith("-") and command[1] not in ("-c", "-m"):
            raise ValueError(f"python {command[1]}: options need a new interpreter: subprocess")
        super().__init__(command, **options)

    def _execute_child(self, *given):
        """Have it forked, in place of fork and exec; the arguments are those of `Popen`."""
        names = subprocess.Popen._execute_child.__code__.co_varnames
        of = dict(zip(names[1:], given, strict=False))
        pipes = [of[name] for name in ("p2cread", "c2pwrite", "errwrite")]
        streams = [number if pipe == -1 else pipe for number, pipe in enumerate(pipes)]
        request = {
            "args": self.args,
            "cwd": os.fspath(of["cwd"] or os.getcwd()),
            "env": {**os.environ} if of["env"] is None else {**of["env"]},
            "new_session": of["start_new_session"],
        }
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                words = json.dumps(request).encode()
                socket.send_fds(server(), [words], [theirs.fileno(), *streams])
            self.pid = received(self.channel)
            self._child_created = True
        except BrokenPipeError:
            self.channel.close()
            raise ServerError from None
        finally:
            ends = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
            self._close_pipe_fds(*(of[name] for name in ends))

    def _try_wait(self, flags):
        """As `os.waitpid`: the process id and the status; 0 and 0 if it runs and may not wait."""
        try:
            code = received(self.channel, socket.MSG_DONTWAIT if flags & os.WNOHANG else 0)
        except BlockingIOError:
            return 0, 0
        self.channel.close()
        self._status = -code if code < 0 else code << 8
        return self.pid, self._status

    def _internal_poll(self, *ignored, **also_ignored):
        """The exit code, or None while it runs, or while another thread waits for it."""
        if self.returncode is None and self._waitpid_lock.acquire(False):
            try:
                if self._try_wait(os.WNOHANG)[0]:
                    self._handle_exitstatus(self._status)
            finally:
                self._waitpid_lock.release()
        return self.returncode


def run_forked(
    command, *, check=False, timeout=None, text=True, capture_output=True, input=None, **options
):
    """Run it to its end; a `subprocess.CompletedProcess`, with its output."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    with Forked(command, text=text, **options) as process:
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


@contextlib.contextmanager
def forked_workers():
    """Let `verify_resume` and studies fork the processes that they start."""
    ours = SimpleNamespace(run=run_forked, Popen=Forked, PIPE=subprocess.PIPE)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("verify.verify_resume", "studies.worker_pool"):
            patch.setattr(importlib.import_module(f"trackside.views.{name}"), "subprocess", ours)
        yield

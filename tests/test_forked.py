"""The processes of tests/forked.py behave like those of `subprocess`."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from forked import COMMAND, Forked, ServerError, received, run_forked

WAYS = [subprocess.run, run_forked]
OPTIONS = {"capture_output": True, "text": True}
CODE = """
import atexit, json, os, sys
atexit.register(print, "at the end")
seen = [sys.argv, __name__, os.getcwd(), os.environ["COLOUR"], sys.stdin.read()]
print(json.dumps(seen), sys.path[:2], os.getpid() != int(sys.argv[1]))
print("an error", file=sys.stderr)
"""


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "sys.exit('text')", "1 / 0"])
def test_code_runs_as_in_a_new_interpreter(tmp_path, end):
    command = [sys.executable, "-c", CODE + end, str(os.getpid())]
    environment = {**os.environ, "COLOUR": "green", "PYTHONPATH": str(tmp_path)}
    (tmp_path / "input").write_text("one line\n")
    found = []
    for run in WAYS:
        with open(tmp_path / "input") as file:
            done = run(command, cwd=tmp_path, env=environment, stdin=file, **OPTIONS, check=False)
        lines = done.stderr.splitlines()
        found.append((done.returncode, done.stdout, lines[:1], lines[-1:]))
    assert found[0] == found[1]
    assert "at the end" in found[0][1]


@pytest.mark.parametrize("what", [["-m", "json.tool", "--help"], [COMMAND, "--version"]])
def test_modules_and_scripts_run_as_in_a_new_interpreter(what):
    command = what if what[0] == COMMAND else [sys.executable, *what]
    one, other = (run(command, **OPTIONS, check=True).stdout for run in WAYS)
    assert one == other


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_process_as_it_ends_any(number):
    code = "import time; print('here', flush=True); time.sleep(600)"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked([sys.executable, "-c", code], text=True, **pipes) as process:
        assert process.stdout.readline() == "here\n"
        assert process.poll() is None
        process.send_signal(number)
        assert process.wait(300) == -number
    assert process.poll() == -number


def test_processes_are_not_alike_in_what_they_draw():
    code = "import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(1))"
    one, other = (run_forked([sys.executable, "-c", code]).stdout.split() for _ in range(2))
    assert all(drawn != again for drawn, again in zip(one, other, strict=True))


def test_options_of_python_are_refused():
    with pytest.raises(ValueError, match="python -W: options need a new interpreter"):
        Forked([sys.executable, "-W", "error", "-c", ""])


@pytest.fixture
def own_server(monkeypatch):
    """A socket in place of that of the server, and its other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr("forked.server", lambda: ours)
    with ours, theirs:
        yield ours, theirs


def test_a_server_that_has_ended_is_named(own_server):
    _, theirs = own_server
    theirs.close()
    with pytest.raises(ServerError, match=r"fork_server\.py has ended"):
        run_forked([sys.executable, "-c", ""])


def test_a_server_that_ends_before_its_process_is_named(own_server):
    ours, theirs = own_server
    theirs.sendall(b"17")
    assert received(ours) == 17
    theirs.close()
    with pytest.raises(ServerError):
        received(ours)


ENDS = """
import os, sys
sys.path.insert(0, sys.argv[1])
import forked
forked.run_forked([sys.executable, "-c", ""])
read, write = os.pipe()
if os.fork() == 0:  # it has a copy of the socket, and lives until its parent has gone
    os.close(write)
    os.read(read, 1)
    os._exit(0)
if os.fork() == 0:
    sys.exit()  # with the exit handlers of its parent
os.wait()
print(forked.run_forked([sys.executable, "-c", "print('still there')"]).stdout)
"""


def test_the_server_ends_with_its_process_alone():
    command = [sys.executable, "-c", ENDS, os.path.dirname(__file__)]
    done = subprocess.run(command, **OPTIONS, check=True, timeout=300)
    assert done.stdout.split("\n") == ["still there", "", ""]

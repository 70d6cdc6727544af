import os
import subprocess
import sys

import psutil
import pytest

from trackside.handlers.recording import process_identity as process


@pytest.fixture
def child():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield child
    child.kill()
    child.communicate()


def test_a_process_has_the_start_time_of_the_system(child):
    ticks = process.start_time(child.pid)
    seconds = psutil.boot_time() + ticks / os.sysconf("SC_CLK_TCK")
    assert seconds == pytest.approx(psutil.Process(child.pid).create_time(), abs=1.5)
    assert process.start_time(child.pid) == ticks


def test_an_ended_process_has_no_start_time(child):
    child.kill()
    child.wait()
    assert process.start_time(child.pid) is None


def test_without_proc_a_process_that_is_asked_is_there_or_not(child):
    assert process._alive(child.pid) == 0
    child.kill()
    child.wait()
    assert process._alive(child.pid) is None


def test_a_zombie_has_no_start_time(child):
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process.start_time(child.pid) is None


def test_a_name_with_brackets_and_spaces_is_parsed(tmp_path):
    program = tmp_path / "a) Z 1 2 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "600"])
    ticks = process.start_time(child.pid)
    child.kill()
    child.communicate()
    assert ticks == pytest.approx(process.start_time(os.getpid()), abs=1e7)
    assert ticks > 0


def test_two_processes_of_a_machine_have_the_same_boot_and_namespace(child):
    code = (
        "from trackside.handlers.recording import process_identity as p; "
        "print(p.boot(), p.pid_namespace())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [process.boot(), process.pid_namespace()]

"""Ctrl-C while Python imports."""

import signal
import sys
import textwrap

import pytest
from forked import WITH_TEST_HELPERS, run_forked

CTRL_C = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


def run(folder, module, block):
    """A block in which Ctrl-C comes while `module` is imported, and what is heard later."""
    (folder / "asked.py").write_text(module)
    code = f"""
        import signal, sys, time
        from trackside.views.output.interrupts import interrupts_after_imports

        sys.path.insert(0, {str(folder)!r})
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with interrupts_after_imports():
                {block}
        except KeyboardInterrupt:
            print("raised", flush=True)
        time.sleep(0.05)
        print(signal.getsignal(signal.SIGALRM) is signal.SIG_DFL, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return run_forked(command, cwd=folder, env=WITH_TEST_HELPERS)


@pytest.mark.parametrize("block", ["import asked", "import asked; time.sleep(60)"])
def test_it_is_raised_once_when_the_import_has_ended(tmp_path, block):
    done = run(tmp_path, CTRL_C, block)
    assert (done.returncode, done.stdout, done.stderr) == (0, "raised\nTrue\n", "")


def test_it_comes_in_place_of_an_exit(tmp_path):
    done = run(tmp_path, CTRL_C, "import asked; sys.exit(2)")
    assert (done.returncode, done.stdout) == (0, "raised\nTrue\n")


def test_a_second_one_within_the_import_ends_the_process(tmp_path):
    done = run(tmp_path, CTRL_C + CTRL_C + "print('goes on')", "import asked")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")

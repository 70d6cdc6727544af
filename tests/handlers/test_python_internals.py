"""The private part of Python that handlers use: what it promises."""

import subprocess
import sys

EXITING = """
import threading
from trackside.handlers._python_internals import call_before_exit

waits = threading.Event()
threading.Thread(target=waits.wait).start()
call_before_exit(waits.set)
print("the end", flush=True)
"""


def test_a_function_is_called_before_the_exit_waits_for_threads():
    done = subprocess.run(
        [sys.executable, "-c", EXITING], capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("the end\n", "")

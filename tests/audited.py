"""Do something when a folder is about to be listed, as another process could at that moment."""

import contextlib
import sys

_when_listed = []


def _hook(event, arguments):
    if event == "os.scandir":
        for action in [*_when_listed]:
            action(str(arguments[0]))


@contextlib.contextmanager
def when_listed(action):
    """Call `action(path)` in this block before each listing of a folder."""
    if not _installed:
        sys.addaudithook(_hook)  # for good: Python has no way to remove one
        _installed.append(True)
    _when_listed.append(action)
    try:
        yield
    finally:
        _when_listed.remove(action)


_installed: list[bool] = []

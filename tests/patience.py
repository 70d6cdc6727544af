"""Waiting for what another process does."""

import time


def until(condition, seconds=300):
    """Poll `condition` until it holds; fail after a bound that no sound machine reaches."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it did not come true in {seconds} s"
        time.sleep(0.02)

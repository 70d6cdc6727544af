"""Damaged and forged recordings, read by everything that reads one, also by the page.

`python tests/fuzzed_recordings.py SEED` repeats one; a failure names its seed.
"""

import fuzzed_recordings
import pytest
from helpers import drawn


def check(seeds, folder):
    for seed in seeds:
        try:
            fuzzed_recordings.attack(seed, folder)
        except BaseException as error:
            done = "; ".join(fuzzed_recordings.Fuzz(seed).done)
            raise AssertionError(f"recording {seed}: {done}: {error}") from error


@pytest.mark.parametrize("first", range(0, 240, 40))
def test_a_damaged_or_forged_recording_gives_records_or_our_error(first, tmp_path):
    check(range(first, first + 40), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize("number", range(25))
def test_a_hundred_thousand_recordings_give_records_or_our_error(number, tmp_path):
    check(drawn(number, 4000), tmp_path)

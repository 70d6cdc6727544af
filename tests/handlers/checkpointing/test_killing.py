"""A fit that is killed many times ends like an undisturbed one."""

import contextlib
import random
import signal
import subprocess
import time

import crash
import killed
import pytest
import torch
from states import same

from trackside.engine import latest, read_checkpoint


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The result of a fit that is not killed, and the seconds that its process takes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    crash.run(killed.fit, folder)  # the first process is slower
    folder = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert crash.run(killed.fit, folder) == 0
    return result_of(folder), time.monotonic() - started


def result_of(folder):
    return torch.load(folder / "result.pt", weights_only=True)


def check_nothing_acknowledged_is_lost(folder):
    """Check that the newest checkpoint is intact, and no older than the last acknowledged one.

    Returns its name.
    """
    acknowledged = (folder / "told").read_text().split() if (folder / "told").exists() else []
    if not acknowledged and not any((folder / "runs").glob("step-*")):
        return None
    path = latest(folder / "runs")
    step = int(acknowledged[-1].removeprefix("step-").partition(".")[0]) if acknowledged else 0
    assert read_checkpoint(path)["position"]["step"] >= step
    return path.name


def storm(tmp_path, undisturbed, kills, workers):
    """Kill processes at random times; begin another fit when one has ended.

    Returns the number of fits.
    """
    expected, patience = undisturbed
    draw = random.Random(kills)
    fits = count = 0
    while count < kills:
        fits += 1
        folder = tmp_path / f"{fits}"
        folder.mkdir()
        async_save, exit_code, saved = fits % 2 == 0, None, None
        while exit_code != 0:
            process = crash.started(killed.fit, folder, async_save, draw.choice(workers))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(draw.uniform(0, patience) if count < kills else None)
            process.kill()
            exit_code = process.wait()
            assert exit_code in (0, -signal.SIGKILL)
            count += exit_code != 0
            # half of the processes make progress, on a slow machine, too
            before, saved = saved, check_nothing_acknowledged_is_lost(folder)
            patience *= 1.1 if saved == before else 0.9
        assert same(result_of(folder), expected)
    return fits


def test_a_fit_killed_at_random_times_ends_like_an_undisturbed_one(tmp_path, undisturbed):
    storm(tmp_path, undisturbed, kills=20, workers=[0])


@pytest.mark.long
def test_a_fit_killed_at_300_random_times_ends_like_an_undisturbed_one(tmp_path, undisturbed):
    fits = storm(tmp_path, undisturbed, kills=300, workers=[0, 0, 0, 2])
    print(f"300 kills in {fits} fits")


def killed_at(folder, number, step, undisturbed):
    """Kill a fit at one file operation; the next process completes it."""
    folder.mkdir()
    assert crash.run(killed.fit_with_a_fault, folder, number, step) == -signal.SIGKILL
    check_nothing_acknowledged_is_lost(folder)
    assert crash.run(killed.fit, folder) == 0
    assert same(result_of(folder), undisturbed[0])


def operations(tmp_path):
    """Numbers of the file operations of two saves in the middle of a fit, with their deletions."""
    folder = tmp_path / "counted"
    folder.mkdir()
    assert crash.run(killed.count_operations, folder) == 0
    middle = int((folder / "operations").read_text()) // 2
    return range(middle, middle + 50)


def test_a_fit_killed_at_some_file_operations_ends_like_an_undisturbed_one(tmp_path, undisturbed):
    draw = random.Random(0)
    numbers = operations(tmp_path)
    for step in ("before", "middle", "after"):
        for number in draw.sample(numbers, 2):
            killed_at(tmp_path / f"{step}-{number}", number, step, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("step", ["before", "middle", "after"])
def test_a_fit_killed_at_every_file_operation_ends_like_an_undisturbed_one(
    tmp_path, undisturbed, step
):
    for number in operations(tmp_path):
        killed_at(tmp_path / f"{number}", number, step, undisturbed)

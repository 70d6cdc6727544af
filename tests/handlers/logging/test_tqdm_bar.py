"""The parts of tqdm that `_tqdm_bar.py` uses beyond its documentation, one test for each."""

import inspect
import io

import pytest
import tqdm.asyncio
import tqdm.auto
import tqdm.std


@pytest.fixture
def bar():
    with tqdm.std.tqdm(total=2, file=io.StringIO(), mininterval=0, miniters=1) as bar:
        yield bar


def test__instances_is_a_set_of_the_open_bars(bar):
    assert bar in tqdm.std.tqdm._instances
    bar.close()
    assert bar not in tqdm.std.tqdm._instances
    tqdm.std.tqdm._instances.discard(bar)


def test_get_lock_returns_one_reentrant_lock_for_all_bars(bar):
    assert bar.get_lock() is tqdm.std.tqdm.get_lock()
    with bar.get_lock(), bar.get_lock():
        bar.refresh(nolock=True)


def test_refresh_has_the_parameter_nolock_and_does_not_lock_with_it(bar, monkeypatch):
    assert "nolock" in inspect.signature(tqdm.std.tqdm.refresh).parameters
    monkeypatch.delattr(tqdm.std.tqdm, "_lock")
    bar.refresh(nolock=True)


def test_update_draws_by_the_method_refresh(bar, monkeypatch):
    drawn = []
    monkeypatch.setattr(bar, "refresh", lambda *args, **kwargs: drawn.append(bar.n))
    bar.update()
    assert drawn == [1]


def test_postfix_is_the_text_that_is_drawn(bar):
    bar.postfix = "loss=0.5"
    bar.refresh()
    assert "loss=0.5" in bar.fp.getvalue()


def test_disable_is_false_while_a_bar_is_open(bar):
    assert bar.disable is False
    bar.close()
    assert bar.disable is True


def test_monitor_interval_0_starts_no_monitor(monkeypatch):
    monkeypatch.setattr(tqdm.std.tqdm, "monitor", None)

    class Unmonitored(tqdm.std.tqdm):
        monitor_interval = 0

    Unmonitored(file=io.StringIO()).close()
    assert Unmonitored.monitor is None


def test_auto_is_the_class_of_asyncio_outside_of_a_notebook():
    assert tqdm.auto.tqdm is tqdm.asyncio.tqdm
    assert issubclass(tqdm.auto.tqdm, tqdm.std.tqdm)

"""The screen of `top`: which run is drawn, and which lines of its picture."""

import io
import os
import signal
import sys

import pytest
from recordings import recorded, started
from rich.console import Console
from rich.text import Text

from trackside.views import Recording, status
from trackside.views.terminal.keyboard import Keyboard, name_of, open_keyboard
from trackside.views.terminal.top_screen import TopScreen, running_first
from trackside.views.terminal.top_view import TopView


class Picture:
    """A view of numbered lines."""

    def __init__(self, title, lines, now):
        self.title, self.lines, self.now = title, lines, now

    def status(self):
        return self.now

    def render(self, width):
        return Text("\n".join(f"{self.title}-{number}" for number in range(self.lines)))


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    path = tmp_path_factory.mktemp("ended") / "run.loop"
    recorded(path).close()
    with Recording(path) as recording:
        yield status(recording)


def lines(screen, width=60, height=10):
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    console.print(screen.render(console))
    return [line.rstrip() for line in console.export_text().splitlines()]


def pressed(screen, *keys):
    for key in keys:
        screen.press(key)
    return lines(screen)


def test_one_run_fills_the_screen_above_the_keys(ended):
    screen = TopScreen([Picture("a", 30, ended)])
    found = lines(screen)
    assert found[:-1] == [f"a-{number}" for number in range(9)]
    assert found[-1] == "↑↓ scroll  ←→ run  q ends  lines 1 to 9 of 30"


@pytest.mark.parametrize(
    ("keys", "first"),
    [
        (["down"], 1),
        (["down", "down", "up"], 1),
        (["up"], 0),
        (["page down"], 9),
        (["page down", "page up"], 0),
        (["end"], 21),
        (["end", "down"], 21),
        (["end", "home"], 0),
        (["x", ""], 0),
    ],
)
def test_keys_scroll_within_the_picture(ended, keys, first):
    screen = TopScreen([Picture("a", 30, ended)])
    lines(screen)
    assert pressed(screen, *keys)[0] == f"a-{first}"


def test_a_picture_that_has_become_shorter_is_shown_to_its_end(ended):
    view = Picture("a", 30, ended)
    screen = TopScreen([view])
    lines(screen)
    screen.press("end")
    view.lines = 12
    assert lines(screen)[0] == "a-3"
    view.lines = 2
    assert lines(screen) == ["a-0", "a-1", "↑↓ scroll  ←→ run  q ends  lines 1 to 2 of 2"]


def test_another_run_is_chosen_and_shown_from_its_top(ended):
    screen = TopScreen([Picture(name, 30, ended) for name in "abc"])
    assert lines(screen)[:4] == ["▸1 a  completed", " 2 b  completed", " 3 c  completed", "a-0"]
    screen.press("down")
    assert pressed(screen, "right")[1:4] == ["▸2 b  completed", " 3 c  completed", "b-0"]
    assert pressed(screen, "left", "left")[2:4] == ["▸3 c  completed", "c-0"]
    assert pressed(screen, "2")[3] == "b-0"
    assert pressed(screen, "9")[3] == "b-0"


def test_of_many_runs_those_around_the_chosen_one_are_listed(ended):
    screen = TopScreen([Picture(f"run{number}", 30, ended) for number in range(20)])
    lines(screen)
    found = pressed(screen, *["right"] * 10)
    assert [line.split()[1] for line in found[:6]] == [f"run{number}" for number in range(7, 13)]
    assert found[3].startswith("▸11 run10")
    assert found[6] == "run10-0"


def test_no_line_is_longer_than_the_terminal_is_wide(ended):
    screen = TopScreen([Picture("a\nb" * 60, 30, ended), Picture("c", 3, ended)])
    assert all(len(line) <= 40 for line in lines(screen, width=40))
    assert len(lines(screen, width=40, height=12)) == 12


def test_runs_that_go_on_are_first(tmp_path):
    recorded(tmp_path / "old.loop", name="old").close()
    process = started(tmp_path / "run.loop", "__import__('time').sleep(600)")
    recorded(tmp_path / "new.loop", name="new").close()
    try:
        with (
            Recording(tmp_path / "old.loop") as old,
            Recording(tmp_path / "run.loop") as run,
            Recording(tmp_path / "new.loop") as new,
        ):
            found = running_first([TopView(old), TopView(new), TopView(run)])
            assert [view.recording for view in found] == [run, old, new]
    finally:
        process.kill()
        process.communicate()


def test_keys_are_known_by_what_terminals_send():
    sent = {"\x1b[A": "up", "\x1bOB": "down", "\x1b[5~": "page up", "G": "end", "q": "q"}
    assert {keys: name_of(keys) for keys in sent} == sent


def test_keys_that_come_together_are_told_apart():
    reader, writer = os.pipe()
    os.write(writer, b"j\x1b[B\x1b[6~q\xff")
    keyboard = Keyboard(reader)
    assert keyboard.keys(0) == ["down", "down", "page down", "q"]
    assert keyboard.keys(0) == []
    os.close(writer)
    assert keyboard.keys(0) == []
    assert not keyboard.is_there
    os.close(reader)


def test_without_a_terminal_there_is_no_keyboard(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with open_keyboard() as keyboard:
        assert not keyboard.is_there
        assert keyboard.keys(0) == []


def test_on_a_system_without_terminals_there_is_no_keyboard(monkeypatch):
    monkeypatch.setitem(sys.modules, "termios", None)
    with open_keyboard() as keyboard:
        assert not keyboard.is_there


def test_a_signal_that_ends_the_process_leaves_the_block_first(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as caught, open_keyboard():
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before

import io
import itertools
import re
import signal
import subprocess
import sys
import threading
from contextlib import redirect_stdout

import pytest
from helpers import CANCELS, batches, raise_at, trainer_of
from recordings import recorded, recorded_ranks, started
from rich.console import Console
from terminals import trackside

from trackside.handlers import EMA, Journal, Metrics, Recorder, StepLimit
from trackside.views import Recording, compare_ranks, totals
from trackside.views.commands.main import main
from trackside.views.output.units import format_duration
from trackside.views.terminal.rank_table import RankTable
from trackside.views.terminal.top_view import TopView


def drawn(recording, width=100):
    """The picture as plain text."""
    console = Console(record=True, width=width, file=io.StringIO())
    console.print(TopView(recording).render(width))
    return console.export_text()


def line_of(text, name):
    (line,) = [x for x in text.splitlines() if re.match(rf"│ +{re.escape(name)} ", x)]
    return line.strip("│ ").split()


def test_the_view_shows_status_phase_times_and_handler_costs(tmp_path):
    trainer = trainer_of(EMA(), Metrics(), Recorder(tmp_path / "run.loop", timing=True, name="mlp"))
    raise_at(trainer, "after_loss", CANCELS["batch"])
    trainer.fit(batches(5), batches(2), epochs=2)
    with Recording(tmp_path / "run.loop") as recording:
        text, current = drawn(recording), totals(recording)
    assert "mlp · rank 0" in text
    assert "completed" in text
    assert "step 9 of 9 · 40 samples" in text
    assert "train_loss" in text
    assert line_of(text, "zero_grad")[-5] == "9"
    assert line_of(text, "EMA.after_step")[1:3] == ["trackside.handlers.averaging.ema", "9"]
    assert line_of(text, "after_cancel_batch")[-1] == "1"
    assert line_of(text, "fit")[-3:-2] == ["100%"]
    assert sum(total.count for total in current.transitions.values()) > 0


def test_names_from_a_recording_are_shown_as_plain_text(tmp_path):
    class Odd:
        def after_loss(self, trainer, state):
            pass

    Odd.__name__ = Odd.after_loss.__name__ = "[red]x\x1b[2J\n"
    trainer = trainer_of(Odd(), Recorder(tmp_path / "run.loop", timing=True, name="[bold]\x1b]0;x"))
    trainer.fit(batches(2))
    with Recording(tmp_path / "run.loop") as recording:
        text = drawn(recording)
    assert "[bold]" in text
    assert "[red]x" in text
    assert "\x1b" not in text


def test_without_a_terminal_the_view_is_drawn_once(command, tmp_path):
    recorded(tmp_path / "one.loop", name="first").close()
    recorded(tmp_path / "two.loop", name="second").close()
    done = command("top", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed") == 2
    assert done.stdout.index("first") < done.stdout.index("second")


@pytest.fixture
def running(tmp_path):
    process = started(tmp_path / "run.loop", "__import__('time').sleep(600)")
    yield process, tmp_path / "run.loop"
    process.kill()
    process.communicate()


def test_in_a_terminal_the_view_is_updated_until_the_process_dies(running):
    process, path = running
    top = trackside("top", path)
    drawn = " in fit › epoch › train › batch"  # after a second: stuck there
    assert drawn in top.until(drawn)
    process.kill()
    assert f"died{drawn}" in top.until(f"died{drawn}")
    assert top.process.poll() is None
    top.press("q")
    assert top.process.wait(timeout=300) == 0
    top.close()


def test_an_interrupt_stops_the_view_and_not_the_fit(running):
    process, path = running
    top = trackside("top", path)
    drawn = " in fit › epoch › train › batch"
    assert drawn in top.until(drawn)
    top.process.send_signal(signal.SIGINT)
    assert top.process.wait(timeout=300) == 0
    assert "Traceback" not in top.text
    assert process.poll() is None
    top.close()


def test_without_rich_the_error_names_the_extra(tmp_path):
    code = (
        "import sys; sys.modules['rich'] = None; "
        "from trackside.views.commands.main import main; "
        "sys.exit(main(['top', 'run.loop']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "trackside: trackside top needs rich: pip install 'trackside[top]'\n"


def test_the_view_shows_the_planned_steps(tmp_path):
    trainer = trainer_of(StepLimit(3), Recorder(tmp_path / "run.loop"))
    trainer.fit(itertools.cycle(batches(2)))
    with Recording(tmp_path / "run.loop") as recording:
        assert "step 3 of 3" in drawn(recording)


def test_the_ranks_of_a_run_are_shown_side_by_side(tmp_path, monkeypatch):
    def run(rank, trainer):
        trainer.fit(batches(3), epochs=2)

    recordings = recorded_ranks(tmp_path, monkeypatch, run)
    console = Console(record=True, width=240, file=io.StringIO())
    console.print(RankTable(recordings).render(100))
    text = console.export_text()
    assert "run · 2 ranks" in text
    assert line_of(text, "mean of each")[-4:] == ["rank", "0", "rank", "1"]
    assert line_of(text, "now")[1:] == ["completed", "completed"]
    compared = compare_ranks(recordings).ranks
    means = [format_duration(one.phases["fit.epoch.train.batch.forward"].mean) for one in compared]
    assert " ".join(line_of(text, "train › batch › forward")[5:]) == " ".join(means)
    waited = [format_duration(one.waited / 1e9) for one in compared]
    assert " ".join(line_of(text, "waited")[1:]) == " ".join(waited)


def test_ranks_that_are_missing_or_have_no_room_are_counted(tmp_path, monkeypatch):
    recordings = recorded_ranks(
        tmp_path, monkeypatch, lambda rank, trainer: trainer.fit(batches(3))
    )

    def shown(some, width):
        console = Console(record=True, width=240, file=io.StringIO())
        console.print(RankTable(some).render(width))
        return console.export_text()

    assert "recordings of 1 of 2 ranks" in shown(recordings[1:], 100)
    assert "1 of 2 ranks are shown" in shown(recordings, 40)
    assert " of 2 ranks" not in shown(recordings, 100)


def test_the_reason_of_the_end_is_shown(tmp_path):
    trainer = trainer_of(Recorder(tmp_path / "run.loop"))
    raise_at(trainer, "after_loss", CANCELS["fit"])
    trainer.fit(batches(3))
    with Recording(tmp_path / "run.loop") as recording:
        assert "CancelFitException('at after_loss')" in drawn(recording, 160)


def test_without_a_keyboard_the_view_is_drawn_until_the_run_ends(tmp_path, monkeypatch):
    begun, drawn_once = threading.Event(), threading.Event()

    class Waits:
        def after_loss(self, trainer, state):
            begun.set()
            assert drawn_once.wait(timeout=300)

    class Screen(io.StringIO):
        def write(self, text):
            drawn_once.set()
            return super().write(text)

    monkeypatch.setenv("FORCE_COLOR", "1")  # as a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    run = trainer_of(Recorder(tmp_path / "run.loop"), Waits()).start(batches(2))
    assert begun.wait(timeout=300)
    with redirect_stdout(Screen()) as screen:
        assert main(["top", str(tmp_path)]) == 0
    assert run.result().outcome == "completed"
    assert "\x1b[?1049h" in screen.getvalue()
    assert screen.getvalue().endswith("run · rank 0  completed\n")
    with redirect_stdout(io.StringIO()) as once:
        assert main(["top", str(tmp_path)]) == 0
    assert "\x1b[?1049h" not in once.getvalue()


def test_top_shows_the_ranks_of_a_folder(tmp_path, monkeypatch):
    recorded_ranks(tmp_path, monkeypatch, lambda rank, trainer: trainer.fit(batches(3), epochs=1))
    with redirect_stdout(io.StringIO()) as printed:
        assert main(["top", str(tmp_path)]) == 0
    shown = printed.getvalue()
    assert shown.index("run · 2 ranks") < shown.index("run · rank 0") < shown.index("run · rank 1")


def test_at_60_columns_all_phases_and_numbers_are_whole(tmp_path):
    trainer = trainer_of(EMA(), Recorder(tmp_path / "run.loop", timing=True, name="mlp"))
    trainer.fit(batches(5), batches(2), epochs=2)
    with Recording(tmp_path / "run.loop") as recording:
        wide, narrow = drawn(recording, 100), drawn(recording, 60)
    assert max(map(len, narrow.splitlines())) == 60
    for name in ("differentiated", "zero_grad", "validated", "forward"):
        shown = [line for line in narrow.splitlines() if re.match(rf"│ +{name} ", line)]
        assert shown
        assert all("…" not in line for line in shown)
    assert line_of(narrow, "EMA.after_step")[-5:] == line_of(wide, "EMA.after_step")[-5:]
    assert "█" in wide
    assert "█" not in narrow


def test_at_60_columns_names_of_handlers_keep_both_ends(tmp_path):
    recorder = Recorder(tmp_path / "run.loop", timing=True)
    trainer_of(Journal(tmp_path / "run.journal"), recorder).fit(batches(2))
    with Recording(recorder.path) as recording:
        shown = re.findall(r"Journal\S* at \w+", drawn(recording, 60))
    assert "Journal.an…ition at after_loss" in shown
    assert len({*shown}) == len(shown)


def test_keys_scroll_choose_another_run_and_end_the_view(tmp_path, running):
    _, path = running
    recorded(path.with_name("ended.loop"), name="ended").close()
    top = trackside("top", path.parent, lines=20)
    assert "▸1 " in top.until("lines 1 to 17")
    first = top.text.partition("▸1 ")[2][:200]
    assert "ended" not in first.splitlines()[0]  # the one that runs is first
    top.press("jj\x1b[B")
    assert "lines 4 to 20" in top.until("lines 4 to 20")
    count = re.search(r"lines 1 to 17 of (\d+)", top.text)[1]  # this frame is read to its end
    top.press("G")
    assert f"to {count} of {count}" in top.until(f"to {count} of {count}")
    top.press("\t")
    assert "▸2 ended" in top.until("▸2 ended")
    top.press("q")
    assert top.process.wait(timeout=300) == 0
    assert "ended · rank 0  completed" in top.until("ended · rank 0  completed")
    top.close()

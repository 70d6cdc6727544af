import contextlib
import io
import itertools
import logging
import os
import pty
import sys
import termios
import threading

import pytest
import torch
import tqdm.auto
import tqdm.std
from helpers import (
    batches,
    cancelled_fit,
    early_or_late,
    equal,
    every_cancel,
    model,
    state_of,
    trainer_of,
    weights,
)

from trackside.events import CancelEpochException, CancelFitException
from trackside.handlers import EarlyStopping, Metrics, ProgressBar, StepLimit
from trackside.handlers.logging._tqdm_bar import LazyBar

NEVER = float("inf")


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def screen(self):
        """The lines on the screen at the end; checks that the cursor is on a new one."""
        lines, row, column = [[]], 0, 0
        for part in self.getvalue().replace("\x1b[A", "\v"):
            if part == "\n":
                row, column = row + 1, 0
                if row == len(lines):
                    lines.append([])
            elif part == "\r":
                column = 0
            elif part == "\v":
                row -= 1
            else:
                line = lines[row]
                line += " " * (column + 1 - len(line))
                line[column] = part
                column += 1
        shown = ["".join(line).rstrip() for line in lines]
        assert row == len([line for line in shown if line]), "the cursor is left inside a bar"
        return [line for line in shown if line]


class Counted(torch.Tensor):
    """Counts how often its value is read."""

    reads = 0

    def item(self):
        Counted.reads += 1
        return super().item()


class Unsized:
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        yield from self.data


def drawn(*, mininterval=0.0, handlers=(), **options):
    terminal = Terminal()
    bar = ProgressBar(terminal, mininterval)
    return trainer_of(Metrics(), bar, *handlers, **options), terminal


@pytest.fixture(autouse=True)
def no_word_of_a_terminal(monkeypatch):
    """Let no variable say what a terminal is: some libraries or who starts the tests set it."""
    for name in ("COLUMNS", "LINES", "TERM"):
        monkeypatch.delenv(name, raising=False)


def logged(*handlers):
    log = io.StringIO()
    return trainer_of(ProgressBar(log), Metrics(), *handlers), log


def open_bars():
    return [bar for bar in tqdm.std.tqdm._instances if not bar.disable]


def test_the_epoch_bar_stays_below_a_line_for_each_epoch():
    trainer, terminal = drawn()
    lines = []
    trainer.on("after_epoch")(lambda t, state: lines.append(", ".join(texts_of(state.metrics))))
    trainer.fit(batches(), batches(2), epochs=2)
    *above, bar = terminal.screen()
    assert above == [f"epochs {n}/2, {line}" for n, line in enumerate(lines, 1)]
    assert bar.startswith("epochs: 100%")
    assert "2/2" in bar
    assert bar.endswith(f"{lines[-1]}]")


def texts_of(metrics):
    return [f"{name}={value:.4g}" for name, value in metrics.items()]


METRICS = {"accuracy": 0.9125, "train_loss": 1.2345, "f1": 0.75, "valid_loss": 0.1235}


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (200, ["accuracy", "train_loss", "f1", "valid_loss"]),
        (100, ["train_loss", "valid_loss"]),
        (80, ["valid_loss"]),
        (60, ["valid_loss"]),
        (44, []),
    ],
)
def test_in_a_narrow_terminal_the_judged_metric_goes_last_and_ten_cells_stay(columns, shown):
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, (40, columns))
    trainer, terminal = drawn(handlers=[EarlyStopping(patience=9)])
    terminal.fileno = lambda: keyboard
    trainer.on("after_train")(lambda t, state: state.metrics.update(METRICS))
    trainer.fit(batches(), batches(), epochs=3)
    os.close(screen)
    os.close(keyboard)
    bar = terminal.screen()[-1]
    assert len(bar) <= columns
    assert bar.count("#") + bar.count("█") >= 10
    assert [name for name in METRICS if f"{name}=" in bar] == shown
    assert "3/3" in bar


def test_in_the_narrowest_terminal_a_bar_keeps_its_count():
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, (40, 20))
    trainer, terminal = drawn()
    terminal.fileno = lambda: keyboard
    trainer.fit(batches(), epochs=3)
    os.close(screen)
    os.close(keyboard)
    bar = terminal.screen()[-1]
    assert len(bar) <= 20
    assert bar.endswith("| 3/3")


def test_without_metrics_the_line_of_an_epoch_has_the_loss_of_its_last_training_batch():
    log, losses = io.StringIO(), []
    trainer = trainer_of(ProgressBar(log))
    trainer.on("after_train")(lambda t, state: losses.append(state.loss.item()))
    trainer.fit(batches(), batches(2), epochs=2)
    expected = [f"epochs {n}/2, loss={loss:.4g}" for n, loss in enumerate(losses, 1)]
    assert log.getvalue().splitlines() == expected


def test_a_cancelled_fit_leaves_a_line_with_the_reason_and_no_bar():
    trainer, terminal = drawn()
    trainer.on("after_epoch")(lambda t, state: t.request(CancelFitException("enough")))
    trainer.fit(batches(), epochs=3)
    assert [line.partition("loss=")[0] for line in terminal.screen()] == [
        "epochs 1/3, train_",
        "fit, cancelled (enough)",
    ]


def test_each_pass_has_a_batch_bar_that_is_removed_at_its_end():
    trainer, terminal = drawn()
    trainer.fit(batches(3), batches(2))
    text = terminal.getvalue()
    for shown in ("train:   0%", "1/3 [", "3/3 [", "validate:   0%", "1/2 [", "2/2 ["):
        assert shown in text
    assert "loss=" in text.split("1/3 [")[1].split("\r")[0]


def test_the_loss_is_read_only_when_a_bar_is_drawn():
    for mininterval, expected in ((NEVER, 2), (0.0, 2 * 3 + 2)):
        trainer, _ = drawn(mininterval=mininterval)
        trainer.on("after_loss")(
            lambda t, state: setattr(state, "loss", state.loss.as_subclass(Counted))
        )
        trainer.detach(trainer.handlers[0])  # Metrics, which reads once a pass
        Counted.reads = 0
        trainer.fit(batches(3), epochs=2)
        assert Counted.reads == expected


def test_batches_of_a_loader_without_a_length_are_counted():
    trainer, terminal = drawn()
    trainer.fit(Unsized(batches(3)), Unsized(batches(2)))
    assert "train: 3it [" in terminal.getvalue()
    assert "validate: 2it [" in terminal.getvalue()
    assert len(terminal.screen()) == 2


def test_epochs_that_a_handler_adds_are_counted():
    trainer, terminal = drawn()
    trainer.on("begin_epoch")(lambda t, state: setattr(state, "n_epochs", 3))
    trainer.fit(batches(1))
    assert "3/3" in terminal.screen()[-1]


@pytest.mark.parametrize(("job", "result"), [("validate", "valid_loss="), ("predict", "")])
def test_validate_and_predict_have_a_bar_that_stays(job, result):
    trainer, terminal = drawn()
    getattr(trainer, job)(batches(3))
    (line,) = terminal.screen()
    assert line.startswith(f"{job}: 100%")
    assert "3/3 [" in line
    assert result in line
    assert ("loss" in line) == bool(result)


def test_the_bar_of_a_paused_training_continues_at_its_position():
    trainer, terminal = drawn()

    @trainer.on("after_batch", when=lambda t, state: state.training and state.batch_index == 1)
    def validate_next(trainer, state):
        state.validate_next = True

    texts = []
    trainer.on("begin_train")(lambda t, state: texts.append(terminal.getvalue()))
    trainer.on("after_train")(lambda t, state: texts.append(terminal.getvalue()))
    trainer.fit(batches(3), batches(1))
    assert "2/3 [" in texts[2].rpartition("train:")[2]
    gone_on = texts[3].removeprefix(texts[2])
    assert "3/3 [" in gone_on
    assert "0/3 [" not in gone_on


def test_several_trainers_draw_at_the_same_time():
    terminal = Terminal()
    trainers = [trainer_of(ProgressBar(terminal, 0.0)) for _ in range(3)]
    runs = [trainer.steps(batches(2), batches(1), epochs=2) for trainer in trainers]
    for _ in zip(*runs, strict=True):
        pass
    assert terminal.getvalue().count("\repochs: 100%") >= 3
    assert open_bars() == []


def test_several_threads_draw_at_the_same_time():
    terminal = Terminal()
    trainers = [trainer_of(ProgressBar(terminal, 0.0)) for _ in range(3)]
    threads = [
        threading.Thread(target=trainer.fit, args=(batches(2), batches(1), 2))
        for trainer in trainers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [trainer.state.phase for trainer in trainers] == ["completed"] * 3
    assert open_bars() == []


def test_no_other_thread_reads_the_values(monkeypatch):
    monkeypatch.setattr(tqdm.auto.tqdm, "monitor", None)  # another library may have started one
    trainer, _ = drawn()
    trainer.fit(batches(1))
    assert LazyBar.monitor is None


def test_a_bar_checks_the_time_after_every_batch():
    bar = LazyBar(dict, total=100, file=Terminal(), mininterval=1e-9)
    for _ in range(50):
        bar.update()
    assert bar.miniters == 1
    bar.close()


def test_a_log_has_one_line_for_each_epoch():
    trainer, log = logged()
    lines = []
    trainer.on("after_epoch")(lambda t, state: lines.append(dict(state.metrics)))
    trainer.fit(batches(), batches(2), epochs=2)
    assert log.getvalue() == "".join(
        f"epochs {n}/2, train_loss={metrics['train_loss']:.4g}, "
        f"valid_loss={metrics['valid_loss']:.4g}\n"
        for n, metrics in enumerate(lines, 1)
    )


def test_a_log_has_the_outcome_of_a_cancelled_epoch():
    trainer, log = logged()

    @trainer.on("begin_batch", when=lambda t, state: state.batch_index == 1)
    def cancel(trainer, state):
        raise [CancelEpochException(), CancelFitException("it is\nlate")][state.epoch]

    trainer.fit(batches(), epochs=3)
    assert log.getvalue() == "epochs 1/3, cancelled\nepochs 2/3, cancelled (it is late)\n"


def test_a_log_has_the_outcome_of_a_failed_epoch():
    trainer, log = logged()
    trainer.on("after_loss")(fail)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches())
    assert log.getvalue().startswith("epochs 1/1, failed")
    assert log.getvalue().count("\n") == 1


def fail(trainer, state):
    raise ValueError("mine")


def test_a_log_has_a_line_for_validate_and_predict():
    trainer, log = logged()
    loss = trainer.validate(batches(2))["valid_loss"]
    trainer.predict(batches(3))
    assert log.getvalue() == f"validate 2 batches, valid_loss={loss:.4g}\npredict 3 batches\n"


@pytest.mark.parametrize(
    ("size", "term", "draws"),
    [((0, 0), "xterm", False), ((100, 40), "dumb", False), ((100, 40), "xterm", True)],
)
def test_a_terminal_without_a_size_or_a_cursor_shows_lines(monkeypatch, size, term, draws):
    monkeypatch.setenv("TERM", term)
    screen, keyboard = pty.openpty()
    termios.tcsetwinsize(keyboard, size[::-1])
    with open(keyboard, "w") as terminal:
        trainer_of(ProgressBar(terminal)).fit(batches())
    data = b""
    with contextlib.suppress(OSError):  # the end of what a closed terminal was given
        while True:
            data += os.read(screen, 1000)
    os.close(screen)
    text = data.decode()
    assert "epochs 1/1, loss=" in text
    assert ("epochs: " in text) == draws


def test_it_writes_to_stderr_by_default(capsys):
    trainer_of(ProgressBar()).fit(batches())
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("epochs 1/1, loss=")


def test_stderr_is_looked_up_at_each_write(monkeypatch):
    terminal, trainer = Terminal(), trainer_of(ProgressBar())
    monkeypatch.setattr(sys, "stderr", terminal)
    trainer.fit(batches())
    assert "epochs: 100%" in terminal.screen()[-1]


def test_values_that_are_not_numbers_are_not_shown():
    trainer, log = logged()
    trainer.on("after_train")(
        lambda t, state: state.metrics.update(matrix=torch.eye(2), name="x", one=torch.tensor(1.0))
    )
    trainer.fit(batches(1))
    assert log.getvalue().endswith(", one=1\n")
    assert "matrix" not in log.getvalue()


def test_an_error_leaves_no_bar_open_and_the_cursor_on_a_new_line():
    for signal in ("after_loss", "begin_validate", "after_epoch", "after_fit"):
        trainer, terminal = drawn()
        trainer.on(signal)(fail)
        with pytest.raises(ValueError, match="mine"):
            trainer.fit(batches(), batches())
        is_done = signal == "after_fit"
        assert any(line.startswith("epochs: ") for line in terminal.screen()) == is_done
        assert open_bars() == []


def test_a_failed_epoch_is_not_counted():
    trainer, terminal = drawn()
    trainer.on("after_loss")(fail)
    with pytest.raises(ValueError, match="mine"):
        trainer.fit(batches())
    assert "0/1 [" in terminal.getvalue()
    assert "1/1 [" not in terminal.getvalue()


def test_an_abandoned_run_leaves_no_bar_open():
    trainer, terminal = drawn()
    run = trainer.steps(batches(), epochs=2)
    for transition in run:
        if transition.trigger == "after_loss":
            break
    run.close()
    assert open_bars() == []
    assert not any(line.startswith("epochs: ") for line in terminal.screen())


def test_detached_during_a_fit_it_leaves_no_bar_open():
    terminal = Terminal()
    bar = ProgressBar(terminal, 0.0)
    trainer = trainer_of(bar)
    trainer.on("after_loss", once=True)(lambda t, state: t.detach(bar))
    trainer.fit(batches(), batches(), epochs=2)
    assert open_bars() == []
    assert len(terminal.screen()) == 1


def test_attached_during_a_fit_it_starts_at_the_next_scope():
    terminal = Terminal()
    bar = ProgressBar(terminal, 0.0)
    trainer = trainer_of()
    trainer.on("after_loss", once=True)(lambda t, state: t.attach(bar))
    trainer.fit(batches(), batches(), epochs=2)
    assert "train:" in terminal.getvalue()
    assert open_bars() == []


@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
@pytest.mark.parametrize("good", [0, 1, 5, 20])
def test_a_broken_stream_does_not_end_training(kind, good, caplog):
    class Broken(kind):
        written = 0

        def write(self, text):
            self.written += 1
            if self.written > good:
                raise OSError("no space left")

    trainer = trainer_of(ProgressBar(Broken(), 0.0))
    with caplog.at_level(logging.ERROR, "trackside"):
        trainer.fit(batches(), epochs=21)
    assert trainer.state.phase == "completed"
    assert trainer.handlers == []
    assert "ProgressBar." in caplog.text
    assert open_bars() == []


def test_works_on_a_hand_made_state():
    log = io.StringIO()
    state = state_of(epoch=0, n_epochs=2, metrics={"m": 0.123456})
    ProgressBar(log).after_epoch(None, state)
    assert log.getvalue() == "epochs 1/2, m=0.1235\n"


@pytest.mark.parametrize("wrong", [-0.1, float("nan")])
def test_wrong_intervals_are_refused(wrong):
    with pytest.raises(ValueError, match=r"ProgressBar\(mininterval="):
        ProgressBar(mininterval=wrong)


@pytest.mark.parametrize("file", [Terminal, io.StringIO])
def test_training_is_bitwise_unchanged(file):
    plain, watched = trainer_of(), trainer_of(ProgressBar(file(), 0.0))
    for trainer in (plain, watched):
        trainer.fit(batches(), batches(), epochs=2)
    assert equal(weights(plain), weights(watched))


def test_a_meta_loss_is_not_shown():
    trainer, terminal = drawn(net=model().to("meta"), device="meta")
    trainer.fit(batches(), batches(), epochs=2)
    assert trainer.state.phase == "completed"
    assert "loss" not in terminal.getvalue()


@every_cancel
@early_or_late
def test_after_any_cancel_no_bar_is_left_open(signal, scope, early):
    terminal = Terminal()
    trainer = cancelled_fit(ProgressBar(terminal, 0.0), signal, scope, early)
    assert open_bars() == []
    stays = trainer.state.outcome == "completed"
    assert sum(line.startswith("epochs: ") for line in terminal.screen()) == stays
    trainer.fit(batches(1))
    assert terminal.screen()[-1].startswith("epochs: 100%")


def test_a_limit_of_steps_gives_an_endless_pass_its_total():
    bar = ProgressBar(io.StringIO())
    trainer, totals = trainer_of(StepLimit(3), bar), []
    trainer.on("after_batch")(lambda trainer, state: totals.append(bar._batches.total))
    trainer.fit(itertools.cycle(batches(2)))
    assert totals == [3, 3, 3]


def test_the_line_of_an_epoch_counts_to_the_one_that_a_limit_of_steps_ends():
    stream = io.StringIO()
    trainer_of(StepLimit(6), ProgressBar(stream)).fit(batches(4), epochs=9)
    assert [line.split(",")[0] for line in stream.getvalue().splitlines()] == [
        "epochs 1/2",
        "epochs 2/2",
    ]

import asyncio
import copy
import io
import sys
import threading
import types

import pytest
from helpers import batches, equal, trainer_of, weights

from trackside import CancelFitException, ProgressBar, Trainer
from trackside.engine.hosting import shown_progress
from trackside.engine.hosting.shown_progress import is_watched
from trackside.events import AttachError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched(monkeypatch):
    """What a person in front of a terminal sees; called in the test, of which pytest says so."""
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.delenv("TERM", raising=False)  # who starts the tests may have none that draws
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    return seen


def test_a_fit_in_a_terminal_shows_a_bar_and_a_line_an_epoch(monkeypatch):
    terminal = watched(monkeypatch)
    trainer = trainer_of()
    trainer.fit(batches(), epochs=2)
    assert "epochs 2/2, loss=" in terminal.getvalue()
    assert "epochs: 100%" in terminal.getvalue()
    assert trainer.handlers == []


def test_verbose_of_fit_of_a_trainer_or_of_all_decides(monkeypatch):
    terminal = watched(monkeypatch)
    trainer_of().fit(batches(), verbose=False)
    one = trainer_of()
    one.verbose = False
    one.fit(batches())
    monkeypatch.setattr(Trainer, "verbose", False)
    trainer_of().fit(batches())
    assert terminal.getvalue() == ""
    trainer_of().fit(batches(), verbose=True)
    assert "epochs 1/1" in terminal.getvalue()


def test_a_trainer_with_a_bar_of_its_own_shows_that_one(monkeypatch):
    terminal = watched(monkeypatch)

    class Mine(ProgressBar):
        pass

    own = io.StringIO()
    trainer_of(Mine(own)).fit(batches())
    assert own.getvalue().startswith("epochs 1/1")
    assert terminal.getvalue() == ""


def test_a_pipe_a_thread_and_an_event_loop_see_nothing(monkeypatch):
    terminal = watched(monkeypatch)
    thread = threading.Thread(target=lambda: trainer_of().fit(batches()))
    thread.start()
    thread.join()
    trainer_of().start(batches()).result()

    async def host():
        trainer_of().fit(batches())

    asyncio.run(host())
    monkeypatch.setattr(terminal, "isatty", lambda: False)
    trainer_of().fit(batches())
    assert terminal.getvalue() == ""


def test_steps_and_rehearsals_show_nothing(monkeypatch):
    terminal = watched(monkeypatch)
    trainer = trainer_of()
    for _ in trainer.steps(batches()):
        pass
    trainer.rehearse(batches())
    assert terminal.getvalue() == ""


def test_tests_of_pytest_and_one_of_several_processes_see_nothing(monkeypatch):
    watched(monkeypatch)
    assert is_watched()
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not is_watched()
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setenv("PYTEST_CURRENT_TEST", "this one")
    assert not is_watched()


@pytest.mark.parametrize(
    ("shell", "seen"), [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False)]
)
def test_a_notebook_is_watched_without_a_terminal(shell, seen, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = type(shell, (), {})
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert is_watched() == seen


def test_the_bar_is_detached_after_an_error_and_after_a_cancel(monkeypatch):
    watched(monkeypatch)
    for raised in (ValueError("mine"), CancelFitException("enough")):
        trainer = trainer_of()

        @trainer.on("after_loss")
        def fail(trainer, state, raised=raised):
            raise raised

        if isinstance(raised, ValueError):
            with pytest.raises(ValueError, match="mine"):
                trainer.fit(batches())
        else:
            trainer.fit(batches())
        assert trainer.handlers == [fail]


def test_a_fit_that_was_seen_resumes_unseen_with_the_same_weights(monkeypatch):
    terminal = watched(monkeypatch)
    saved = []
    trainer = trainer_of()
    trainer.on("begin_epoch")(lambda t, state: saved.append(copy.deepcopy(t.state_dict())))
    trainer.fit(batches(), epochs=2)
    resumed = trainer_of()
    resumed.fit(batches(), epochs=2, resume=saved[1], verbose=False)
    assert "epochs 2/2" in terminal.getvalue()
    assert equal(weights(trainer), weights(resumed))


def test_where_no_bar_is_published_a_fit_shows_none_unless_it_is_asked_for(monkeypatch):
    monkeypatch.setattr(shown_progress, "_BAR", "no_such_bar")  # as in a checkout
    terminal = watched(monkeypatch)
    assert trainer_of().fit(batches()).outcome == "completed"
    assert terminal.getvalue() == ""
    with pytest.raises(AttachError, match="no_such_bar"):
        trainer_of().fit(batches(), verbose=True)

"""Each sentence of docs/explanation/embedding.md has a test; those without one elsewhere are here.

And that each sentence of docs/explanation/reliability.md has one.
"""

import ast
import copy
import pickle
import re
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from forked import run_forked
from helpers import batches, equal, model, trainer_of, weights
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trackside.engine import BusyError
from trackside.events import CancelEpochException

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "explanation" / "embedding.md"
RELIABILITY = PAGE.with_name("reliability.md")
LONG = 300

# the page


def statements(page=PAGE):
    """(sentence or row, its tests) for each line of the page that makes a statement.

    Not headings, the head of the table, and lines that introduce the next one.
    """
    for line in page.read_text(encoding="utf-8").splitlines():
        text, _, comment = line.partition("<!--")
        heading = line.startswith(("#", "| |", "|---"))
        if (
            text.strip()
            and not heading
            and not text.rstrip().endswith(("promises.", "system.", "not."))
        ):
            yield text.strip(), comment.removesuffix("-->").split()


def existing_tests():
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{path.name}::{node.name}"


def test_every_sentence_names_existing_tests():
    exist = {*existing_tests()}
    assert [sentence for sentence, named in statements() if not named] == []
    assert [name for _, named in statements() for name in named if name not in exist] == []
    assert len([*statements()]) > 50


def test_every_sentence_of_the_page_about_reliability_names_existing_tests():
    exist = {*existing_tests()}
    sentences = [*statements(RELIABILITY)]
    assert len(sentences) > 15
    assert [sentence for sentence, named in sentences if not named] == []
    assert [name for _, named in sentences for name in named if name not in exist] == []


def test_every_line_of_the_page_is_one_sentence_or_one_row():
    several = [text for text, _ in statements() if re.search(r"\. [A-Z`]", text)]
    assert several == []
    assert all(text.endswith((".", "|")) for text, _ in statements())


def test_every_test_of_this_file_is_named_by_a_sentence():
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    names = {f"{Path(__file__).name}::{node.name}" for node in tree.body if is_test(node)}
    of_the_page = {name for name in names if "_page" in name or "_this_file_" in name}
    assert names - {name for _, named in statements() for name in named} == of_the_page


def is_test(node):
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


# what a trainer changes, and who receives its signals


def test_a_data_loader_draws_from_the_global_generator_unless_it_has_its_own():
    data = TensorDataset(*batches(1)[0])
    for options, draws in (({}, True), ({"generator": torch.Generator()}, False)):
        before = torch.get_rng_state()
        trainer_of(net=NET).fit(DataLoader(data, 2, **options))
        assert torch.equal(before, torch.get_rng_state()) is not draws


NET = model()


def test_a_module_can_subscribe_to_all_trainers_with_the_signals_alone():
    done = python("""
from trackside.events import begin_fit
@begin_fit.connect
def hear(trainer, state):
    print(type(trainer).__name__, trainer.name)
from helpers import batches, trainer_of
trainer_of(name="detector").fit(batches(1))
trainer_of().fit(batches(1))
""")
    assert done == "Trainer detector\nTrainer \n"


def python(code):
    """Run code in a new process that can import the test modules; return its output."""
    done = run_forked([sys.executable, "-c", code], cwd=TESTS)
    assert done.returncode == 0, done.stderr
    return done.stdout


# threads


def dropping():
    return nn.Sequential(*model(1), nn.Dropout(0.5))


def test_models_that_draw_random_numbers_share_the_global_generator():
    alone, first, second = (trainer_of(net=dropping()) for _ in range(3))
    torch.manual_seed(0)
    alone.fit(batches(4))
    torch.manual_seed(0)
    for _ in zip(first.steps(batches(4)), second.steps(batches(4)), strict=True):
        pass
    assert not equal(weights(alone), weights(first))


def test_an_autocast_around_start_does_not_apply_to_the_fit():
    found = {}
    trainer = trainer_of()
    trainer.on("after_pred")(lambda trainer, state: found.setdefault(how, state.pred.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        how = "fit"
        trainer.fit(batches(1))
        how = "start"
        trainer.start(batches(1)).result(LONG)
    assert found == {"fit": torch.bfloat16, "start": torch.float32}


# other processes


def test_a_forked_child_has_its_own_copy_of_the_subscriptions():
    heard = python("""
import os
from helpers import batches, trainer_of
from trackside.events import begin_fit
process = os.getpid()
heard = []
begin_fit.connect(lambda trainer, state: heard.append(os.getpid() == process))
trainer = trainer_of()
trainer.fit(batches(1))
child = os.fork()
if child == 0:
    begin_fit.connect(lambda trainer, state: heard.append("new"))
    assert trainer.fit(batches(1)).outcome == "completed"
    assert heard == [True, False, "new"], heard
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
trainer.fit(batches(1))
print(heard)
""")
    assert heard == "[True, True]\n"


def test_a_trainer_running_in_another_thread_stays_busy_in_a_forked_child():
    python("""
import os
from helpers import batches, trainer_of
from trackside.engine import BusyError
trainer = trainer_of()
with trainer.start(batches(1), epochs=10**9) as run:
    run.pause()
    while not run.status().paused:
        pass
    child = os.fork()
    if child == 0:
        try:
            trainer.fit(batches(1))
        except BusyError:
            os._exit(0 if trainer_of().fit(batches(1)).outcome == "completed" else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""")


SUBSCRIBER = """
from trackside.events import begin_fit

@begin_fit.connect
def of_the_module(trainer, state):
    print("of the module", flush=True)
"""

SPAWNING = """
import multiprocessing, sys
import subscriber
from trackside.events import begin_fit

def work():
    from helpers import batches, trainer_of
    trainer_of().fit(batches(1))

if __name__ == "__main__":
    begin_fit.connect(lambda trainer, state: print("of the parent", flush=True))
    child = multiprocessing.get_context("spawn").Process(target=work)
    child.start()
    child.join()
    sys.exit(child.exitcode)
"""


def test_a_spawned_process_has_the_subscriptions_of_its_imports(tmp_path):
    (tmp_path / "subscriber.py").write_text(SUBSCRIBER)
    (tmp_path / "spawning.py").write_text(SPAWNING)
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; import runpy; "
    heard = python(code + f"runpy.run_path({str(tmp_path / 'spawning.py')!r}, run_name='__main__')")
    assert heard == "of the module\n"


@pytest.mark.parametrize(
    "way", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda way: way.__name__
)
@pytest.mark.parametrize("phase", ["idle", "fit.ready", "cancelled"])
def test_pickling_or_copying_a_trainer_is_refused_with_the_reason(way, phase):
    trainer = trainer_of()
    run = trainer.steps(batches(1))
    if phase != "idle":
        next(run)
    if phase == "cancelled":
        run.close()
    message = rf"cannot pickle or copy a Trainer, here in {phase}: its machine, its lock"
    with pytest.raises(TypeError, match=message):
        way(trainer)
    assert trainer.state.phase == phase


# what may be called from where


class Place:
    """Calls a function during a fit in the background; `outcome` is its result or error."""

    def __init__(self, trainer, call):
        self.trainer, self.call = trainer, call
        self.outcome = None

    def once(self, *_):
        try:
            self.outcome = self.call()
        except Exception as error:
            self.outcome = error

    def a_handler(self, run):
        called = threading.Event()

        @self.trainer.on("after_loss", once=True)
        def hear(trainer, state):
            self.once()
            called.set()

        assert called.wait(LONG)

    def another_thread(self, run):
        thread = threading.Thread(target=self.once)
        thread.start()
        thread.join()

    def a_signal_handler(self, run):
        before = signal.signal(signal.SIGUSR1, self.once)
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, before)


PLACES = ["a_handler", "another_thread", "a_signal_handler"]


def called_from(place, call):
    """The result or error of `call(trainer, run)` in a fit that runs until it is cancelled."""
    trainer = trainer_of()
    with trainer.start(batches(2), batches(1), epochs=10**9) as run:
        caller = Place(trainer, lambda: call(trainer, run))
        getattr(caller, place)(run)
        run.resume()
        assert run.wait_for("fit.epoch.validate", LONG)
    return caller.outcome


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "call",
    [
        lambda trainer, run: trainer.request(CancelEpochException()),
        lambda trainer, run: run.cancel("batch") and None,
        lambda trainer, run: run.pause(),
        lambda trainer, run: run.resume(),
        lambda trainer, run: run.status() and None,
    ],
    ids=["request", "cancel", "pause", "resume", "status"],
)
def test_cancel_and_pause_are_allowed_from_everywhere(place, call):
    assert called_from(place, call) is None


def subscribe(trainer, run):
    trainer.on("after_loss")(hear)
    trainer.within("batch")(scope)
    trainer.detach(hear)
    trainer.detach(scope)


def hear(trainer, state):
    pass


def scope(trainer, state):
    yield


@pytest.mark.parametrize("place", PLACES[:2])
def test_subscribing_is_allowed_in_handlers_and_other_threads(place):
    assert called_from(place, subscribe) is None


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("tried", ["fit", "start", "steps", "validate", "predict"])
def test_a_second_run_is_refused_from_everywhere(place, tried):
    def call(trainer, run):
        result = getattr(trainer, tried)(batches(1))
        return next(result) if tried == "steps" else result

    assert isinstance(called_from(place, call), BusyError)

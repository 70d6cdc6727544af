"""Importing, fitting and dropping a trainer changes no global state and leaks nothing."""

import gc
import json
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import batches, equal, model, trainer_of, weights
from host import snapshot
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trackside.engine import Trainer
from trackside.events import SIGNALS, after_loss, any_transition
from trackside.events.bus.blinker_internals import TABLES
from trackside.handlers import EMA, GradientClip, History, MixedPrecision, OneCycle

ROOT = Path(__file__).parents[1]
PACKAGES = ("events", "engine", "handlers", "views")
MODULES = [
    ".".join(["trackside", *path.relative_to(ROOT).with_suffix("").parts])
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__init__.py"
]


def python(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "tests",
    )


# importing


LIBRARIES = """
import importlib, json, sys
for module in json.loads(sys.argv[1]):
    importlib.import_module(module)
print(json.dumps([name for name in sys.modules if name.partition(".")[0] != "trackside"]))
"""

IMPORTS = """
import contextlib, importlib, json, sys
modules, libraries = map(json.loads, sys.argv[1:])
for library in libraries:
    with contextlib.suppress(ImportError):
        importlib.import_module(library)
from host import snapshot
before = snapshot()
for module in modules:
    importlib.import_module(module)
after = snapshot()
loggers = after["loggers"]
assert loggers.pop("trackside") == (["NullHandler"], 0, True, False)
for name in before:
    assert before[name] == after[name], name
"""


def test_importing_any_module_changes_nothing_in_the_process():
    libraries = python(LIBRARIES, json.dumps(MODULES)).stdout
    done = python(IMPORTS, json.dumps(MODULES), libraries)
    assert (done.stdout, done.stderr) == ("", "")


# a fit


@pytest.fixture(scope="module", autouse=True)
def torch_at_work():
    """The first optimizer of a process makes torch import more modules, which log."""
    by_hand(model(), batches(1), epochs=1)


ENDS = ["completes", "is cancelled", "fails"]


def run(how, trainer, *loaders):
    """Run a fit of two epochs that ends in this way."""
    if how != "completes":
        error = {"is cancelled": KeyboardInterrupt, "fails": ZeroDivisionError}[how]
        trainer.on("after_loss", every=3)(lambda trainer, state: fail(error))
    try:
        trainer.fit(*loaders, epochs=2)
    except (KeyboardInterrupt, ZeroDivisionError):
        assert how != "completes"


def fail(error):
    raise error


def handlers():
    clip, schedule = GradientClip(1.0), OneCycle(0.1)
    return [MixedPrecision(), clip, schedule, EMA(0.9), History()]


@pytest.mark.filterwarnings("ignore:in eval mode before the fit")
@pytest.mark.parametrize("how", ENDS)
def test_a_fit_restores_the_global_state_of_the_process(how, capfd):
    nets = [model(n) for n in range(2)]
    nets[0].eval()
    nets[1][1].eval()
    before = snapshot(), [[m.training for m in net.modules()] for net in nets]
    run(how, trainer_of(net=nets[0]), batches(3), batches(1))
    run(how, trainer_of(*handlers(), net=nets[1]), batches(3), batches(1))
    assert before == (snapshot(), [[m.training for m in net.modules()] for net in nets])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("how", ENDS)
def test_a_fit_keeps_the_contexts_that_the_host_opened(how):
    flags = {"benchmark": True, "deterministic": True}
    with torch.autocast("cpu", torch.bfloat16), torch.backends.cudnn.flags(**flags):
        trainer, before = trainer_of(), snapshot()
        run(how, trainer, batches(3), batches(1))
        assert snapshot() == before
    with torch.no_grad():
        trainer, before = trainer_of(), snapshot()
        trainer.validate(batches(2))
        trainer.predict(batches(2))
        assert snapshot() == before


def test_between_two_steps_the_global_state_is_unchanged():
    trainer, before = trainer_of(*handlers()), snapshot()
    for _ in trainer.steps(batches(2), batches(1)):
        assert snapshot() == before


def test_only_the_loader_and_the_model_draw_random_numbers():
    net, other = dropping(), dropping()
    data = TensorDataset(*(torch.cat(part) for part in zip(*batches(4), strict=True)))
    torch.manual_seed(5)
    trainer_of(net=net).fit(DataLoader(data, 4, shuffle=True), epochs=2)
    drawn = torch.get_rng_state()
    torch.manual_seed(5)
    by_hand(other, DataLoader(data, 4, shuffle=True), epochs=2)
    assert torch.equal(drawn, torch.get_rng_state())
    assert equal(net.parameters(), other.parameters())


def dropping():
    return nn.Sequential(*model(1), nn.Dropout(0.5))


def by_hand(net, loader, epochs):
    optimizer, loss_fn = torch.optim.SGD(net.parameters(), lr=0.1), nn.CrossEntropyLoss()
    for _ in range(epochs):
        for xb, yb in loader:
            loss_fn(net(xb), yb).backward()
            optimizer.step()
            optimizer.zero_grad()


# several trainers


def recipe(seed):
    """A trainer and the arguments of its fit, which depend only on the seed."""
    net = model(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05 + seed / 100, momentum=0.9)
    trainer = trainer_of(GradientClip(0.5), EMA(0.9), net=net, optimizer=optimizer)
    return trainer, (batches(6, seed=seed), batches(2, seed=seed + 50), 3)


def alone(seed):
    trainer, arguments = recipe(seed)
    trainer.fit(*arguments)
    return weights(trainer)


def test_two_interleaved_trainers_give_the_weights_of_running_alone():
    (one, of_one), (other, of_other) = recipe(1), recipe(2)
    for _ in zip(one.steps(*of_one), other.steps(*of_other), strict=True):
        pass
    assert equal(weights(one), alone(1))
    assert equal(weights(other), alone(2))


def test_trainers_in_eight_threads_give_the_weights_of_running_alone():
    made = [recipe(seed) for seed in range(8)]
    runs = [trainer.start(*arguments) for trainer, arguments in made]
    for background in runs:
        background.result(60)
    for seed, (trainer, _) in enumerate(made):
        assert equal(weights(trainer), alone(seed))


# dropping


def use_and_drop():
    """Create a trainer, use it in most ways and drop it; return weak references to its parts."""
    handler = GradientClip(1.0)
    trainer = trainer_of(handler, name="dropped")
    trainer.on("after_loss", when=lambda trainer, state: True)(lambda trainer, state: None)
    trainer.within("batch")(scope)
    after_loss.connect(receive, sender=trainer)
    trainer.fit(batches(1))
    next(trainer.steps(batches(1)))
    return [weakref.ref(thing) for thing in (trainer, trainer.state, trainer.state.model, handler)]


def scope(trainer, state):
    yield


def receive(trainer, state):
    pass


def bytes_left_by(count):
    """The bytes left by `count` trainers, after checking that all objects are freed."""
    gone = []
    before = tracemalloc.get_traced_memory()[0]
    for number in range(count):
        gone += use_and_drop()
        if number % 10 == 9:  # else the tables of the bus grow with uncollected trainers
            gc.collect()
            assert {reference() for reference in gone} == {None}
            gone.clear()
    return tracemalloc.get_traced_memory()[0] - before


def class_counts():
    return Counter(type(thing).__name__ for thing in gc.get_objects())


def connected():
    """Entries in each table of the bus; a trainer of another test may still be alive."""
    tables = (*TABLES, "_routes")
    signals = (*SIGNALS.values(), any_transition)
    return Counter({(s.name, table): len(getattr(s, table)) for s in signals for table in tables})


def check_dropping(count):
    gc.collect()
    connected_before = connected()
    bytes_left_by(10)
    class_counts()  # the first call makes abc cache a reference to each mapping class
    before = class_counts()
    bytes_left_by(count)
    assert {name: n for name, n in (class_counts() - before).items() if n >= count / 2} == {}
    tracemalloc.start()
    try:
        bytes_left_by(10)
        assert bytes_left_by(count) < 120_000, "bytes: as much as one trainer has"
    finally:
        tracemalloc.stop()
    assert connected() - connected_before == Counter()


def test_dropped_trainers_leave_no_object_and_no_memory_behind():
    check_dropping(20)


@pytest.mark.long
def test_a_thousand_dropped_trainers_leave_no_object_and_no_memory_behind():
    check_dropping(1_000)


def test_runs_in_the_background_leave_no_thread_behind():
    before = {*threading.enumerate()}
    for _ in range(20):
        with trainer_of().start(batches(1), epochs=1_000):
            pass
    assert {*threading.enumerate()} <= before


def test_a_dropped_trainer_frees_its_handlers():
    references = use_and_drop()
    gc.collect()
    assert [reference() for reference in references] == [None] * 4
    assert isinstance(trainer_of(), Trainer)

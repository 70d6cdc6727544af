"""Fits and loaders in several threads, which share the global random number generators."""

import multiprocessing
import random
import sys
import threading
import warnings

import numpy
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from trackside.engine import KeyedLoader, Trainer
from trackside.engine.randomness import host_generators as module
from trackside.handlers import Checkpoint

_SEEDED = torch.Generator().manual_seed(0)  # a worker of another start method imports this anew
X, Y = (torch.randn(64, width, generator=_SEEDED) for width in (4, 1))
in_threads = pytest.mark.filterwarnings("ignore:KeyedLoader:RuntimeWarning")


@pytest.fixture(autouse=True)
def _threads_alternate_often():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


class Noisy:
    """Regression examples with a random number of each global generator added."""

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        noise = random.random() + numpy.random.normal() + torch.rand(())
        return X[index] + noise, Y[index]


class OwnNoise(Noisy):
    """The same from generators that it is given."""

    def random_getitem(self, index, generators):
        noise = generators.python.random() + generators.numpy.normal()
        return X[index] + noise + torch.rand((), generator=generators.torch), Y[index]


RECORDED = 0.9599880153318839, 0.3551009308118427, -0.1662133592635335, 0.9798933267593384

QUIET = {
    "tensors": TensorDataset(X, Y),
    "subset": Subset(TensorDataset(X, Y), [*range(40)]),
    "dict": {"x": X, "y": Y.numpy()},
    "list": list(zip(X, Y.tolist(), strict=True)),
    "own": OwnNoise(),
}


def trainer_of(number):
    torch.manual_seed(number)
    model = nn.Linear(4, 1)
    return Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), lr=0.01))


def fit(trainer, number):
    trainer.fit(KeyedLoader(Noisy(), 4, True, seed=number), epochs=2)
    return trainer.state.model.weight.tolist()


def in_eight_threads(function):
    start, found = threading.Barrier(8), {}

    def run(number):
        start.wait()
        found[number] = function(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found.get(number) for number in range(8)]


@in_threads
def test_eight_fits_in_threads_equal_the_same_fits_alone():
    alone = [fit(trainer_of(number), number) for number in range(8)]
    trainers = [trainer_of(number) for number in range(8)]
    assert in_eight_threads(lambda number: fit(trainers[number], number)) == alone


@in_threads
def test_eight_loaders_in_threads_leave_the_generators_unchanged():
    numpy.random.normal()  # leaves a second number for the next draw
    before = states()
    in_eight_threads(lambda number: list(KeyedLoader(Noisy(), 4, seed=number)))
    assert states() == before


def states():
    twister = numpy.random.get_state(legacy=False)
    twister["state"]["key"] = twister["state"]["key"].tolist()
    return random.getstate(), twister, torch.get_rng_state().tolist()


def host_draws():
    """Random numbers and initial weights, as a program draws them beside a fit."""
    for _ in range(300):
        yield random.random()
        yield numpy.random.normal()
        yield torch.rand(()).item()
        yield nn.Linear(2, 1).weight.tolist()


def seeded():
    random.seed(1)
    numpy.random.seed(1)
    torch.manual_seed(1)


@pytest.mark.parametrize("data", QUIET.values(), ids=QUIET)
def test_a_thread_beside_a_loader_draws_its_own_numbers(data):
    seeded()
    alone, beside = list(host_draws()), []
    seeded()
    host = threading.Thread(target=lambda: beside.extend(host_draws()))
    loader = KeyedLoader(data, 4, shuffle=True)
    host.start()
    while host.is_alive():
        list(loader)
    assert beside == alone


@pytest.mark.parametrize("workers", [0, 1])
def test_given_generators_make_the_same_batches_with_and_without_workers(workers):
    loader = KeyedLoader(OwnNoise(), 16, True)
    whole = [x for _ in range(2) for x, _ in loader]
    assert not torch.equal(whole[0], whole[4])
    loader = KeyedLoader(OwnNoise(), 16, True, num_workers=workers)
    loader.load_state_dict({**loader.state_dict(), "epoch": 0, "batch": 2})
    rest = [x for _ in range(2) for x, _ in loader]
    assert len(rest) == 6
    assert all(map(torch.equal, rest, whole[2:]))


def test_a_subset_passes_its_generators_on():
    whole = next(iter(KeyedLoader(OwnNoise(), 64)))
    subset = Subset(Subset(OwnNoise(), range(64)), range(64))
    assert torch.equal(next(iter(KeyedLoader(subset, 64)))[0], whole[0])


class Beside:
    """Another thread that is alive, and does nothing."""

    def __init__(self, daemon=False, name="host"):
        self.end = threading.Event()
        self.thread = threading.Thread(target=self.end.wait, name=name, daemon=daemon)

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *error):
        self.end.set()
        self.thread.join()


class Draws(Noisy):
    """Draws with one function."""

    def __init__(self, draw):
        self.draw = draw

    def __getitem__(self, index):
        return index + float(self.draw())


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (random.random, "Python"),
        (numpy.random.rand, "NumPy"),
        (lambda: torch.rand(()), "torch"),
    ],
)
def test_a_dataset_that_draws_beside_a_thread_is_warned_of_once(draw, name):
    loader = KeyedLoader(Draws(draw), 4)
    message = rf"KeyedLoader\(Draws\).* of {name} during.*\(host\).*num_workers=1.*random_getitem"
    with Beside():
        with pytest.warns(RuntimeWarning, match=message):
            next(iter(loader))
        list(loader)  # a second warning would be an error


def test_a_dataset_that_draws_alone_is_silent():
    list(KeyedLoader(Noisy(), 4))


def test_a_dataset_that_draws_beside_daemons_and_writers_is_silent():
    with Beside(daemon=True), Beside(name="trackside checkpoint_0"):
        list(KeyedLoader(Noisy(), 4))


def test_a_dataset_that_draws_while_a_checkpoint_is_written_is_silent(tmp_path):
    trainer = trainer_of(0)
    trainer.attach(Checkpoint(tmp_path, steps=1, async_save=True))
    trainer.fit(KeyedLoader(Noisy(), 4), epochs=2)


def test_a_dataset_that_does_not_draw_is_silent_beside_a_thread():
    with Beside():
        list(KeyedLoader(Draws(lambda: 0), 4))


def test_an_own_collate_fn_that_draws_is_warned_of():
    loader = KeyedLoader([1, 2], 2, collate_fn=lambda batch: random.random())
    with Beside(), pytest.warns(RuntimeWarning, match="of Python"):
        next(iter(loader))


def test_a_dataset_may_read_another_loader():
    class Outer(Noisy):
        def __getitem__(self, index):
            first = random.random()
            inner = next(iter(KeyedLoader(Noisy(), 1)))[0].sum()
            return first, inner, random.random()

    one, _, other = next(iter(KeyedLoader(Outer(), 1)))
    plain = next(iter(KeyedLoader(Draws(lambda: random.random() * 0 + random.random()), 1)))
    assert one != other
    assert other == plain  # the second number, as without the loader between


class HeldUp(Noisy):
    """Tells that a batch is being read, and waits."""

    def __init__(self):
        self.reads, self.goes_on = threading.Event(), threading.Event()

    def __getitem__(self, index):
        self.reads.set()
        self.goes_on.wait()
        return index


def read_a_batch():
    next(iter(KeyedLoader(Noisy(), 2)))


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_reads_while_a_thread_of_its_parent_does():
    data = HeldUp()
    thread = threading.Thread(target=lambda: next(iter(KeyedLoader(data, 1))))
    thread.start()
    data.reads.wait()
    child = multiprocessing.get_context("fork").Process(target=read_a_batch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside threads
        child.start()
    child.join(60)
    exit_code = child.exitcode
    child.kill()
    data.goes_on.set()
    thread.join()
    assert exit_code == 0


def test_the_random_numbers_of_a_key_stay_the_same_from_version_to_version():
    class Recorded(Noisy):
        def __getitem__(self, index):
            drawn = random.random(), numpy.random.rand(), numpy.random.normal(), torch.rand(())
            return torch.tensor([index, *map(float, drawn)], dtype=torch.float64)

    rows = torch.cat(list(KeyedLoader(Subset(Recorded(), range(7)), 3, True, seed=5)))
    assert rows[:, 0].tolist() == [4, 6, 1, 5, 3, 0, 2]
    assert rows[-1].tolist() == [2, *RECORDED]


def is_free():
    """Whether another thread can enter such a block."""
    found = []
    thread = threading.Thread(target=lambda: found.append(module._lock.acquire(blocking=False)))
    thread.start()
    thread.join()
    if found[0]:
        module._lock = threading.RLock()  # the one that the ended thread holds
    return found[0]


@pytest.mark.parametrize("broken_off", ["python_state", "seed_numpy", "_host_states"])
def test_an_interrupt_that_comes_while_the_block_is_entered_leaves_it(broken_off, monkeypatch):
    before = random.getstate(), numpy.random.get_state()[2], torch.get_rng_state()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, broken_off, interrupted)
        with pytest.raises(KeyboardInterrupt), module.KeyedHostGenerators(bytes(32)):
            raise AssertionError("not entered")
    assert random.getstate() == before[0]
    assert numpy.random.get_state()[2] == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert is_free()

import os
import random
import subprocess
import sys
from itertools import islice

import numpy
import psutil
import pytest
import torch
from forked import Forked
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import until
from torch.utils.data import IterableDataset, TensorDataset

from trackside.engine import KeyedLoader


class Augmented:
    """Examples that contain their index and a random number of each generator."""

    def __init__(self, examples):
        self.examples = examples
        self.touched = []

    def __len__(self):
        return self.examples

    def __getitem__(self, index):
        self.touched.append(index)
        drawn = [random.random(), numpy.random.rand(), torch.rand(()).item()]
        return torch.tensor([index, *drawn], dtype=torch.float64)


def noisy(examples):
    """A collate_fn that draws a random number."""
    return torch.stack(examples) + torch.rand(())


def stream(loader, until=3):
    """(position after it, batch) of all batches before epoch `until`."""
    found = []
    while loader.position < (until, 0):
        found += [(loader.position, batch) for batch in loader]
    return found


def equal(one, other):
    return len(one) == len(other) and all(
        p == q and torch.equal(a, b) for (p, a), (q, b) in zip(one, other, strict=True)
    )


def at(position, loader):
    epoch, batch = position
    loader.load_state_dict({**loader.state_dict(), "epoch": epoch, "batch": batch})
    return loader


shapes = st.fixed_dictionaries(
    {"batch_size": st.integers(1, 5), "shuffle": st.booleans(), "drop_last": st.booleans()}
)


@given(examples=st.integers(1, 12), shape=shapes, seed=st.integers(), cut=st.integers(0, 30))
@settings(max_examples=60)
def test_the_batches_continue_from_every_position(examples, shape, seed, cut):
    def loader():
        return KeyedLoader(Augmented(examples), **shape, seed=seed, collate_fn=noisy)

    if not len(loader()):
        assert list(loader()) == []
        return
    whole = stream(loader())
    cut %= len(whole)
    position = whole[cut][0]
    assert equal(stream(at(position, loader())), whole[cut + 1 :])


@pytest.mark.parametrize("options", [{}, {"persistent_workers": True}, {"prefetch_factor": 4}])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_batches_are_the_same_for_every_number_of_workers(workers, options):
    alone = stream(KeyedLoader(Augmented(11), 2, True, seed=5))
    loader = KeyedLoader(Augmented(11), 2, True, seed=5, num_workers=workers, **options)
    assert equal(stream(loader), alone)
    assert equal(stream(at((1, 4), loader)), [e for e in alone if e[0] > (1, 4)])


def test_each_epoch_has_every_example_once_in_another_order():
    loader = KeyedLoader(Augmented(20), 3, True)
    epochs = [[int(row[0]) for row in torch.cat(list(loader))] for _ in range(2)]
    assert [sorted(epoch) for epoch in epochs] == [[*range(20)]] * 2
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generators_are_left_unchanged(workers):
    def states():
        legacy = numpy.random.get_state()
        return random.getstate(), legacy[1].tolist(), legacy[2], torch.get_rng_state().tolist()

    before = states()
    stream(KeyedLoader(Augmented(6), 4, True, num_workers=workers))
    assert states() == before


@pytest.mark.parametrize("batch_size", [7, 5000])
def test_a_large_epoch_has_every_example_once(batch_size):
    rows = [*range(11_000)]
    whole = torch.cat(list(KeyedLoader(rows, batch_size, True)))
    assert sorted(whole.tolist()) == rows
    later = at((0, 2), KeyedLoader(rows, batch_size, True))
    assert torch.equal(torch.cat(list(later)), whole[2 * batch_size :])


def test_after_the_last_batch_the_position_is_the_next_epoch():
    loader = KeyedLoader(Augmented(4), 2)
    batches = iter(loader)
    assert loader.position == (0, 0)
    next(batches)
    assert loader.position == (0, 1)
    next(batches)
    assert loader.position == (1, 0)
    assert next(batches, None) is None
    assert loader.position == (1, 0)


def test_the_pass_after_an_abandoned_one_is_the_next_epoch():
    loader = KeyedLoader(Augmented(6), 2, True)
    whole = stream(KeyedLoader(Augmented(6), 2, True))
    list(islice(loader, 2))
    assert loader.position == (1, 0)
    left = iter(loader)
    next(left)
    assert torch.equal(next(iter(loader)), whole[6][1])


def test_an_abandoned_pass_does_not_change_the_position():
    loader = KeyedLoader(Augmented(8), 2)
    old = iter(loader)
    next(old)
    at((5, 2), loader)
    next(old)
    old.close()
    assert loader.position == (5, 2)


@pytest.mark.parametrize("batch", [10, 1_000_000])
def test_examples_before_the_position_are_not_loaded(batch):
    data = Augmented(4_000_080)
    first = next(iter(at((3, batch), KeyedLoader(data, 4, True))))
    assert data.touched == first[:, 0].tolist()
    assert len(data.touched) == 4


def test_getitems_of_the_dataset_loads_whole_batches():
    class Whole(Augmented):
        def __getitems__(self, indices):
            return [torch.tensor([float(index)]) for index in indices]

    assert next(iter(KeyedLoader(Whole(4), 4))).flatten().tolist() == [0, 1, 2, 3]


def test_a_position_of_another_loader_is_refused_with_the_differences():
    state = KeyedLoader(Augmented(8), 2, True, seed=1).state_dict()
    other = KeyedLoader(Augmented(9), 2, True, seed=2)
    with pytest.raises(ValueError, match="seed was 1, is 2; examples was 8, is 9"):
        other.load_state_dict(state)
    assert other.position == (0, 0)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(range(3))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((Stream(),), {}, TypeError, "no positions"),
        ((iter([1]),), {}, TypeError, "no positions"),
        (([1], 0), {}, ValueError, "batch_size=0"),
        (([1], 1.5), {}, TypeError, "batch_size=1.5"),
        (([1],), {"seed": None}, TypeError, "seed=None"),
        (([1],), {"generator": torch.Generator()}, TypeError, "generator=…"),
        (([1],), {"worker": 2}, TypeError, "worker"),
    ],
)
def test_wrong_arguments_are_refused(arguments, options, error, message):
    with pytest.raises(error, match=message):
        KeyedLoader(*arguments, **options)


def test_an_error_of_the_dataset_escapes_and_the_generators_are_restored():
    class Broken(Augmented):
        def __getitem__(self, index):
            torch.rand(1)
            raise OSError(f"no example {index}")

    before = torch.get_rng_state()
    with pytest.raises(OSError, match="no example 0"):
        next(iter(KeyedLoader(Broken(3))))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_are_collated_like_torchs():
    data = TensorDataset(torch.arange(4.0), torch.arange(4))
    x, y = next(iter(KeyedLoader(data, 4)))
    assert (x.tolist(), y.tolist()) == ([0.0, 1.0, 2.0, 3.0], [0, 1, 2, 3])


TRAINER = """
import os, sys, time, torch
from trackside.engine import KeyedLoader

class Data:
    def __len__(self): return 100
    def __getitem__(self, index):
        os.write(1, f'{{os.getpid()}}\\n'.encode())  # a line at once: two workers write
        {stuck}
        return index

for batch in KeyedLoader(Data(), 1, num_workers=2, multiprocessing_context="{method}"):
    time.sleep(600)
"""


@pytest.mark.parametrize("method", ["fork", "forkserver"])
@pytest.mark.parametrize("stuck", ["pass", "time.sleep(600)"], ids=["idle", "stuck"])
def test_a_worker_exits_when_the_trainer_is_killed(tmp_path, method, stuck):
    script = tmp_path / "trainer.py"
    code = TRAINER.format(stuck=stuck, method=method)
    if method == "forkserver":  # it imports the script
        head, loop = code.split("\nfor ")
        code = f"{head}\nif __name__ == '__main__':\n  for {loop.replace(chr(10), chr(10) + '  ')}"
    script.write_text(code)
    command = [sys.executable, str(script)]
    with Forked(command, stdout=subprocess.PIPE, text=True) as trainer:
        workers = set()
        try:
            while len(workers) < 2:
                workers.add(int(trainer.stdout.readline()))
        finally:
            trainer.kill()
        trainer.wait()
        until(lambda: not any(is_running(pid) for pid in workers))


def is_running(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class ToldWorkers:
    """Examples that are what their process was told when it started."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return torch.tensor(int(os.environ.get("TOLD_BY_THE_TEST", "-1")))


def tell(worker_id):
    os.environ["TOLD_BY_THE_TEST"] = str(worker_id + 7)


def test_a_function_of_ones_own_is_called_in_each_worker_and_only_there():
    loader = KeyedLoader(ToldWorkers(), 2, num_workers=1, worker_init_fn=tell)
    assert [batch.tolist() for batch in loader] == [[7, 7], [7, 7]]
    assert ToldWorkers()[0].item() == -1


def test_another_seed_begins_with_the_first_epoch_of_that_seed():
    used, new = (
        KeyedLoader([*range(9)], shuffle=True),
        KeyedLoader([*range(9)], shuffle=True, seed=7),
    )
    list(used)
    used.set_seed(7)
    assert [b.tolist() for b in used] == [b.tolist() for b in new]


@pytest.mark.parametrize("seed", ["7", 1.5, None])
def test_a_seed_that_is_no_whole_number_is_refused_and_the_loader_stays(seed):
    loader = KeyedLoader([*range(9)], shuffle=True, seed=7)
    with pytest.raises((TypeError, ValueError), match=r"KeyedLoader\.set_seed\("):
        loader.set_seed(seed)
    assert loader.state_dict() == KeyedLoader([*range(9)], shuffle=True, seed=7).state_dict()


def test_a_pass_without_a_batch_is_one_epoch():
    loader = KeyedLoader(range(3), 4, drop_last=True)
    for epoch in (1, 2):
        assert list(loader) == []
        assert loader.state_dict()["epoch"] == epoch


def test_the_end_of_an_epoch_is_the_last_position_in_it():
    loader = KeyedLoader(Augmented(8), 2)
    assert list(at((0, 4), loader)) == []
    with pytest.raises(ValueError, match="batch 5 is no position in it"):
        at((0, 5), loader)

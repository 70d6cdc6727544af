"""Samplers are functions of the seed and the epoch, with every promise of the loader."""

import random
from itertools import chain

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from trackside.engine import KeyedLoader, ResumeError, SimilarLengths, Trainer, pad_collate
from trackside.engine.order import sampling
from trackside.engine.order.sampling import read_sampler

ROWS = list(range(20))
LENGTHS = torch.randint(1, 100, (40,), generator=torch.Generator().manual_seed(1)).tolist()


def twice(seed, epoch):
    return [(seed + epoch) % 20, 1, 1, 5, 7]


class Drawing(Sampler):
    """A sampler of a user's, which draws from every global generator."""

    def __iter__(self):
        yield random.randrange(20)
        yield numpy.random.randint(20)
        yield from torch.randperm(20).tolist()


SAMPLERS = {
    "function": lambda: twice,
    "weights": lambda: WeightedRandomSampler([1.0] * 19 + [9], 12),
    "weights, each once": lambda: WeightedRandomSampler(
        [*range(1, 21)], 9, replacement=False, generator=torch.Generator()
    ),
    "random": lambda: RandomSampler(ROWS),
    "subset": lambda: SubsetRandomSampler([2, 3, 5, 7, 11]),
    "own": Drawing,
    "distributed": lambda: DistributedSampler(ROWS, 2, 1),
}
BATCHES = {
    "function": lambda seed, epoch: [[1], [2, 3, 4], [epoch]],
    "batches": BatchSampler(RandomSampler(ROWS), 3, drop_last=False),
    "lengths": SimilarLengths(LENGTHS[:20], 3, spread=2),
}
LOADERS = {
    **{name: lambda f=f: KeyedLoader(ROWS, 2, sampler=f(), seed=3) for name, f in SAMPLERS.items()},
    **{f"{n}, whole": lambda f=f: KeyedLoader(ROWS, batch_sampler=f) for n, f in BATCHES.items()},
}


def epochs(loader, count=3):
    return [[batch.tolist() for batch in loader] for _ in range(count)]


def states():
    twister = numpy.random.get_state()
    return random.getstate(), twister[1].tolist(), torch.get_rng_state().tolist()


@pytest.mark.parametrize("name", LOADERS)
def test_a_sampler_resumes_at_any_batch_and_leaves_the_generators(name):
    before = states()
    whole = epochs(LOADERS[name]())
    saved, other = LOADERS[name](), LOADERS[name]()
    list(saved)
    passing = iter(saved)
    next(passing)
    other.load_state_dict(saved.state_dict())
    assert epochs(other, 2) == [whole[1][1:], whole[2]]
    assert whole[0] != whole[1]
    assert states() == before
    assert [LOADERS[name]().length(epoch) for epoch in range(3)] == [*map(len, whole)]


class OwnGenerator(Sampler):
    """A sampler of a user's, which draws from a generator of its own."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(5)

    def __iter__(self):
        yield from torch.randperm(20, generator=self.generator).tolist()


def test_a_generator_of_a_sampler_is_seeded_by_the_epoch_and_restored():
    samplers = [OwnGenerator(), OwnGenerator()]
    torch.randperm(20, generator=samplers[1].generator)
    before = [sampler.generator.get_state() for sampler in samplers]
    first, second = (epochs(KeyedLoader(ROWS, sampler=sampler), 2) for sampler in samplers)
    assert first == second
    assert first[0] != first[1]
    for sampler, state in zip(samplers, before, strict=True):
        assert torch.equal(sampler.generator.get_state(), state)


@pytest.mark.parametrize("name", ["weights", "own", "lengths, whole"])
def test_a_sampler_gives_the_same_batches_to_a_worker(name):
    loader = LOADERS[name]()
    alone = epochs(LOADERS[name](), 2)
    loader = KeyedLoader(ROWS, num_workers=1, **options_of(name))
    assert epochs(loader, 2) == alone


def options_of(name):
    if name.endswith("whole"):
        return {"batch_sampler": BATCHES[name.split(",")[0]]}
    return {"batch_size": 2, "seed": 3, "sampler": SAMPLERS[name]()}


def test_weights_choose_the_examples():
    weights = [0.0] * 18 + [1.0, 3.0]
    loader = KeyedLoader(ROWS, 500, sampler=WeightedRandomSampler(weights, 2000))
    found = torch.cat(list(loader))
    assert set(found.tolist()) == {18, 19}
    assert 1400 < int((found == 19).sum()) < 1600


def test_weights_without_replacement_choose_each_example_once():
    sampler = WeightedRandomSampler([1.0] * 10 + [0.0] * 10, 10, replacement=False)
    assert sorted(torch.cat(list(KeyedLoader(ROWS, 4, sampler=sampler))).tolist()) == ROWS[:10]


def test_columns_in_memory_are_sampled_at_once():
    data = TensorDataset(torch.arange(20.0))
    found = [x.tolist() for (x,) in KeyedLoader(data, 2, sampler=twice, seed=3)]
    assert found == [[3, 1], [1, 5], [7]]


def test_the_last_batch_of_a_sampler_may_be_dropped():
    loader = KeyedLoader(ROWS, 2, sampler=twice, drop_last=True)
    assert len(loader) == len(list(loader)) == 2


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=60),
    batch_size=st.integers(1, 7),
    spread=st.integers(1, 9),
)
@settings(max_examples=40)
def test_batches_of_similar_length_have_every_example_once(lengths, batch_size, spread):
    rows = list(range(len(lengths)))
    loader = KeyedLoader(rows, batch_sampler=SimilarLengths(lengths, batch_size, spread))
    batches = epochs(loader, 1)[0]
    assert sorted(chain(*batches)) == rows
    assert len(batches) == -(-len(rows) // batch_size)


def test_batches_of_similar_length_have_little_padding():
    def padding(batches):
        return sum(max(batch) * len(batch) - sum(batch) for batch in batches)

    similar = epochs(KeyedLoader(LENGTHS, batch_sampler=SimilarLengths(LENGTHS, 4)), 1)[0]
    assert padding(similar) < padding(epochs(KeyedLoader(LENGTHS, 4, shuffle=True), 1)[0]) / 4


def test_texts_of_different_length_are_padded():
    texts = [{"ids": torch.arange(1, n + 1), "label": n} for n in (2, 1, 3)]
    batch = next(iter(KeyedLoader(texts, 3, collate_fn=pad_collate)))
    assert batch["ids"].tolist() == [[1, 2, 0], [1, 0, 0], [1, 2, 3]]
    assert batch["label"].tolist() == [2, 1, 3]


NAN = float("nan")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sampler": WeightedRandomSampler([1.0], 1)}, ValueError, "found 1 weights; allowed: 20"),
        ({"sampler": WeightedRandomSampler([NAN] * 20, 1)}, ValueError, "weight 0 is nan"),
        ({"sampler": WeightedRandomSampler([1, -1] * 10, 1)}, ValueError, r"weight 1 is -1\.0"),
        ({"sampler": WeightedRandomSampler([0] * 20, 1)}, ValueError, "found 0 weights above 0"),
        (
            {"sampler": WeightedRandomSampler([1] + [0] * 19, 3, replacement=False)},
            ValueError,
            "needed: 3, the examples of an epoch without replacement",
        ),
        ({"batch_sampler": SimilarLengths([1, 2], 2)}, ValueError, "found 2 lengths; allowed: 20"),
        ({"sampler": twice, "shuffle": True}, ValueError, "the sampler chooses the order"),
        ({"sampler": 3}, TypeError, r"sampler=3\): allowed: a function of \(seed, epoch\)"),
        ({"sampler": RandomSampler}, TypeError, r"RandomSampler is a class; did you forget \(\)"),
        ({"batch_sampler": BatchSampler}, TypeError, "BatchSampler is a class"),
        ({"sampler": iter(ROWS)}, TypeError, "can be read once"),
        ({"sampler": lambda epoch: []}, TypeError, "too many positional arguments"),
        ({"batch_sampler": BATCHES["function"], "batch_size": 2}, ValueError, "none of batch_size"),
        ({"batch_sampler": BATCHES["function"], "sampler": twice}, ValueError, "none of"),
    ],
)
def test_a_sampler_that_cannot_work_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        KeyedLoader(ROWS, **options)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1, -1], 2), ValueError, "finite"),
        (([1, NAN], 2), ValueError, "finite"),
        (([[1]], 2), ValueError, "finite"),
        (([1], 0), ValueError, "batch_size=0"),
        (([1], 1, 0), ValueError, "spread=0"),
    ],
)
def test_wrong_lengths_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        SimilarLengths(*arguments)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([20], IndexError, "gave indices from 20 to 20; allowed: 0 to 19"),
        ([-1, 3], IndexError, "from -1 to 3"),
        ([0.5], TypeError, "float32"),
        ([True], TypeError, "bool"),
        ([[1]], TypeError, "one an example"),
    ],
)
def test_what_is_no_index_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        next(iter(KeyedLoader(ROWS, sampler=lambda seed, epoch: given)))


@pytest.mark.parametrize("given", [[3], [[]]])
def test_what_is_no_batch_is_refused(given):
    with pytest.raises(TypeError, match="allowed: lists of indices"):
        next(iter(KeyedLoader(ROWS, batch_sampler=lambda seed, epoch: given)))


def test_a_sampler_without_examples_gives_no_batch():
    assert list(KeyedLoader(ROWS, sampler=lambda seed, epoch: [])) == []


def test_a_position_in_a_loader_with_another_sampler_is_refused():
    state = KeyedLoader(ROWS, sampler=twice).state_dict()
    for other in (KeyedLoader(ROWS), KeyedLoader(ROWS, sampler=RandomSampler(ROWS))):
        with pytest.raises(ValueError, match="sampler was twice, is"):
            other.load_state_dict(state)
    with pytest.raises(ValueError, match="sampler was None, is twice"):
        KeyedLoader(ROWS, sampler=twice).load_state_dict(KeyedLoader(ROWS).state_dict())


def trainer_of():
    torch.manual_seed(0)
    model = nn.Linear(1, 1)
    return Trainer(model, nn.MSELoss(), torch.optim.SGD(model.parameters(), 0.01))


def test_a_sampler_that_is_no_function_of_the_epoch_cannot_resume_inside_one():
    data = TensorDataset(torch.ones(20, 1), torch.ones(20, 1))
    trainer, calls = trainer_of(), []

    def sampler(seed, epoch):
        calls.append(epoch)
        return [len(calls) % 20, 1, 2]

    for transition in trainer.steps(KeyedLoader(data, 1, sampler=sampler)):
        if transition.trigger == "after_batch":
            saved = trainer.state_dict()
            break
    with pytest.raises(ResumeError, match="gives other examples for epoch 1"):
        trainer_of().fit(KeyedLoader(data, 1, sampler=sampler), resume=saved)


def test_weights_leave_the_global_generators_to_other_threads():
    seen = []

    class Weights(torch.Tensor):
        """Looks at the global generators while examples are drawn."""

        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            if function is torch.multinomial:
                seen.append(states())
            return super().__torch_function__(function, types, args, kwargs)

    sampler = WeightedRandomSampler([1.0] * 20, 5)
    sampler.weights = sampler.weights.as_subclass(Weights)
    before = states()
    list(KeyedLoader(ROWS, sampler=sampler))
    assert seen == [before]


@pytest.mark.parametrize("name", ["weights", "own", "function, whole", "lengths, whole"])
def test_two_ranks_read_together_what_one_process_reads(name):
    def loader(batch_size):
        return KeyedLoader(ROWS, **{**options_of(name), **batch_size})

    size = {} if name.endswith("whole") else {"batch_size": 4}
    half = {} if name.endswith("whole") else {"batch_size": 2}
    whole, parts = epochs(loader(size), 2), []
    for rank in range(2):
        part = loader(half)
        part.set_rank(rank, 2)
        parts.append(epochs(part, 2))
    for epoch in range(2):
        pairs = zip(*(part[epoch] for part in parts), whole[epoch], strict=True)
        for one, other, together in pairs:
            assert one + (other if len(together) > 1 else []) == together


def test_a_sampler_of_one_rank_is_refused_where_the_loader_divides():
    loader = KeyedLoader(ROWS, 2, sampler=DistributedSampler(ROWS, 2, 1))
    loader.set_rank(1, 2)
    with pytest.raises(ValueError, match="divides each batch among the ranks itself"):
        next(iter(loader))


def test_an_epoch_for_which_the_sampler_gives_nothing_is_followed_by_the_next():
    loader = KeyedLoader([1, 2, 3], sampler=lambda seed, epoch: [0, 1] if epoch else [])
    assert [len([*loader]) for _ in range(3)] == [0, 2, 2]


def test_a_function_that_tells_no_signature_is_refused_when_it_gives_no_indices():
    loader = KeyedLoader(ROWS, sampler=max)
    with pytest.raises(TypeError, match="int"):
        list(loader)


def test_more_weights_than_torch_draws_from_are_refused(monkeypatch):
    monkeypatch.setattr(sampling, "_MOST_WEIGHTS", 19)
    with pytest.raises(ValueError, match="found 20 weights; torch draws from 19"):
        KeyedLoader(ROWS, sampler=WeightedRandomSampler([1.0] * 20, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": -1}, "epoch -1 is no position in it"),
        ({"epoch": 1 << 60}, "is no position in it"),
        ({"epoch": "1"}, "epoch '1' is no position in it"),
        ({"batch": -1}, "batch -1 is no position in it"),
        ({"batch": 2.0}, r"batch 2\.0 is no position in it"),
        ({"batch": 99}, "batch 99 is no position in it"),
        ({"seed": None}, "seed None is that of no loader"),
    ],
)
def test_a_fit_does_not_resume_at_what_is_no_position(change, message):
    data, trainer = TensorDataset(torch.ones(20, 1), torch.ones(20, 1)), trainer_of()
    for transition in trainer.steps(KeyedLoader(data, 1)):
        if transition.trigger == "after_batch":
            saved = trainer.state_dict()
            break
    saved["loaders"]["train"].update(change)
    with pytest.raises(ResumeError, match=message):
        trainer_of().fit(KeyedLoader(data, 1), resume=saved)


def test_the_generator_of_a_sampler_is_seeded_for_the_epoch_and_left_as_it_was():
    sampler = OwnGenerator()
    before = sampler.generator.get_state()
    first, again, next_one = (read_sampler(sampler, 5, epoch) for epoch in (1, 1, 2))
    assert first == again != next_one
    assert torch.equal(sampler.generator.get_state(), before)


def test_the_generator_of_a_sampler_that_fails_is_left_as_it_was():
    class Fails(OwnGenerator):
        def __iter__(self):
            yield from super().__iter__()
            raise LookupError("no more")

    sampler = Fails()
    before = sampler.generator.get_state()
    with pytest.raises(LookupError, match="no more"):
        read_sampler(sampler, 5, 1)
    assert torch.equal(sampler.generator.get_state(), before)


def test_tensors_of_one_length_are_stacked_without_padding():
    examples = [(torch.full((3,), float(n)), n) for n in range(2)]
    x, y = pad_collate(examples)
    assert x.tolist() == [[0.0] * 3, [1.0] * 3]
    assert y.tolist() == [0, 1]
    x, _ = pad_collate([(torch.ones(1), 0), (torch.ones(3), 1)])
    assert x.tolist() == [[1, 0, 0], [1, 1, 1]]

"""KeyedLoader in several processes: each reads its share of every batch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trackside import KeyedLoader


def whole(count, size, **options):
    return KeyedLoader(torch.arange(count), size, shuffle=True, seed=3, **options)


def shares(count, size, ranks, epochs=1, **options):
    """For each batch of some epochs what every rank reads, and counts."""
    loaders = [whole(count, size, **options) for _ in range(ranks)]
    for rank, loader in enumerate(loaders):
        loader.set_rank(rank, ranks)
    found = []
    for _ in range(epochs):
        for batch, read in enumerate(zip(*loaders, strict=True)):
            counts = [loader.rank_counts(batch) for loader in loaders]
            assert {everywhere for _, everywhere in counts} == {sum(mine for mine, _ in counts)}
            found.append([r[:mine] for r, (mine, _) in zip(read, counts, strict=True)])
            assert all(len(r) == max(1, mine) for r, (mine, _) in zip(read, counts, strict=True))
    return found


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 4), st.integers(1, 2), st.booleans())
def test_the_ranks_read_together_the_batches_of_one_process(count, size, ranks, epochs, drop):
    alone = whole(count, size * ranks, drop_last=drop)
    expected = [batch for _ in range(epochs) for batch in alone]
    together = [torch.cat(parts) for parts in shares(count, size, ranks, epochs, drop_last=drop)]
    assert [b.tolist() for b in together] == [b.tolist() for b in expected]


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 4))
def test_shares_of_a_batch_differ_by_one_example_at_most(count, size, ranks):
    for parts in shares(count, size, ranks):
        lengths = [len(part) for part in parts]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("kind", ["sampler", "batch_sampler"])
def test_what_a_sampler_chooses_is_shared(kind):
    data = torch.arange(20)
    indices = list(range(19, 2, -1))
    given_ = indices if kind == "sampler" else [indices[:5], indices[5:12], indices[12:]]
    loaders = [
        KeyedLoader(data, **({"batch_size": 3} if kind == "sampler" else {}), **{kind: given_})
        for _ in range(2)
    ]
    for rank, loader in enumerate(loaders):
        loader.set_rank(rank, 2)
    read = [torch.cat(parts).tolist() for parts in zip(*loaders, strict=True)]
    assert [index for batch in read for index in batch] == indices
    assert len(read) == 3


def test_a_position_of_two_ranks_fits_one_process_with_twice_the_batch_size():
    loader = whole(40, 4)
    loader.set_rank(1, 2)
    batches = iter(loader)
    next(batches)
    next(batches)
    alone, other = whole(40, 8), whole(40, 4)
    alone.load_state_dict(loader.state_dict())
    assert next(iter(alone)).tolist()[4:] == next(batches).tolist()
    with pytest.raises(ValueError, match="batch_size was 8, is 4"):
        other.load_state_dict(loader.state_dict())


def test_the_random_numbers_of_two_ranks_differ():
    class Noise(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            return torch.rand(())

    read = []
    for rank in range(2):
        loader = KeyedLoader(Noise(), 4, seed=1)
        loader.set_rank(rank, 2)
        read.append(torch.cat(list(loader)))
    assert not torch.isin(*read).any()


def test_one_rank_again_after_several_reads_whole_batches():
    loader = whole(12, 4)
    loader.set_rank(1, 2)
    next(iter(loader))
    loader.set_rank(0, 1)
    assert loader.position == (1, 0)
    assert [len(batch) for batch in loader] == [4, 4, 4]


def test_another_rank_ends_a_pass_and_keeps_a_position_that_was_loaded():
    loader = whole(12, 2)
    reading = iter(loader)
    next(reading)
    loader.set_rank(1, 2)
    assert loader.position == (1, 0)

    restored = whole(12, 4)
    restored.load_state_dict({**restored.state_dict(), "batch": 2})
    restored.set_rank(0, 1)
    assert restored.position == (0, 2)

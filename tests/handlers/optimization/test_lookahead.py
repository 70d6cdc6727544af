"""Batches that are fetched one ahead, to know the last one of a loader without a length."""

from trackside.handlers.optimization._lookahead import LookaheadIterator


def test_looking_twice_fetches_one_batch_and_a_loop_over_the_rest_has_it():
    fetched = []
    batches = LookaheadIterator(fetched.append(n) or n for n in range(3))
    assert not batches.is_at_end()
    assert not batches.is_at_end()
    assert fetched == [0]
    assert [*batches] == [0, 1, 2]
    assert batches.is_at_end()

from hypothesis import given
from hypothesis import strategies as st

from trackside.events.utils.rank_share import rank_share


@given(start=st.integers(0, 9), count=st.integers(0, 40), ranks=st.integers(1, 9))
def test_shares_follow_each_other_and_differ_by_one_at_most(start, count, ranks):
    shares = [rank_share(start, start + count, rank, ranks) for rank in range(ranks)]
    edges = [start, *(stop for _, stop in shares)]
    assert [first for first, _ in shares] == edges[:-1]
    assert edges[-1] == start + count
    lengths = [stop - first for first, stop in shares]
    assert max(lengths) - min(lengths) <= 1

import pytest
from helpers import state_of

from trackside.engine.batches.batch import open_pass


@pytest.mark.parametrize(
    ("loader", "limit", "expected", "yielded"),
    [
        (range(5), None, 5, 5),
        (range(5), 3, 3, 3),
        (range(2), 3, 2, 2),
        (range(3), 3, 3, 3),
        (iter(range(5)), 3, 3, 3),
        (iter(range(5)), None, None, 5),
    ],
)
def test_a_pass_has_as_many_batches_as_its_loader_or_its_limit(loader, limit, expected, yielded):
    state = state_of()
    assert len([*open_pass(state, loader, limit)]) == yielded
    assert state.n_batches == expected

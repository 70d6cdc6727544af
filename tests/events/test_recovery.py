import pytest

from trackside.events.recovery import RetryBatchException, Rollback, RollbackException, Snapshot


def test_a_retry_carries_to_other_ranks_how_it_is_split_and_its_budget():
    assert RetryBatchException("spike").carried() == {"split": 1, "budget": 10}
    assert RetryBatchException(split=3, budget=0).carried() == {"split": 3, "budget": 0}


def test_a_rollback_carries_the_step_of_its_snapshot():
    snapshot = Snapshot(4, 0, 3, {})
    assert RollbackException("spike", to=snapshot).carried() == {
        "to": 4,
        "skip": None,
        "budget": 10,
        "at": None,
    }
    none = RollbackException(to=0, skip=0, budget=0)
    assert none.carried() == {"to": 0, "skip": 0, "budget": 0, "at": None}


@pytest.mark.parametrize("options", [{"split": 0}, {"budget": -1}])
def test_a_number_of_a_retry_that_is_too_small_is_refused_by_name(options):
    (name, value), *_ = options.items()
    with pytest.raises(ValueError, match=rf"RetryBatchException\({name}={value}\)"):
        RetryBatchException(**options)


@pytest.mark.parametrize("name", ["to", "skip", "budget"])
def test_a_number_of_a_rollback_below_0_is_refused_by_name(name):
    with pytest.raises(ValueError, match=rf"RollbackException\({name}=-1\)"):
        RollbackException(**{name: -1})


def test_a_rollback_leaves_out_its_first_and_last_batch_and_those_between():
    rollback = Rollback("spike", 9, 4, (1, 3), (2, 0))
    left_out = [at for at in [(1, 2), (1, 3), (1, 9), (2, 0), (2, 1)] if rollback.leaves_out(*at)]
    assert left_out == [(1, 3), (1, 9), (2, 0)]


def test_a_snapshot_is_equal_to_itself_only():
    assert Snapshot(4, 0, 3, {}) != Snapshot(4, 0, 3, {})


def test_a_retry_whose_class_does_not_call_the_one_above_has_the_defaults():
    class Own(RetryBatchException):
        def __init__(self, loss):
            self.loss = loss

    assert Own(0.5).carried() == RetryBatchException().carried()

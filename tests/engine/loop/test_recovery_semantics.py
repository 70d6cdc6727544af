"""Every plan of retries, rollbacks, cancels and errors has the same result as nested loops."""

import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import ACTIVITIES, Raise, assert_nested
from recovering import RECOVERED, RECOVERING_SIGNALS, RecoveringRig, recovered_by_hand

from trackside.events import CANCELS, RetryBatchException, RollbackException

RECOVERIES = RetryBatchException, RollbackException
KINDS = (*CANCELS.values(), ValueError, KeyboardInterrupt)
POINTS = (*RECOVERING_SIGNALS, *ACTIVITIES)

used_rig = functools.cache(RecoveringRig)

raises = st.builds(
    Raise,
    st.sampled_from((*RECOVERIES, *RECOVERIES, *KINDS)),
    st.sampled_from(POINTS),
    st.integers(1, 5),
)
recoveries = st.builds(
    Raise,
    st.sampled_from(RECOVERIES),
    st.sampled_from(("begin_batch", "after_loss", "begin_backward", "model", "after_batch")),
    st.integers(1, 6),
)
plans = st.tuples(recoveries, st.lists(raises, max_size=4)).map(lambda plan: (plan[0], *plan[1]))


def check(plan):
    result = used_rig().run(plan)
    assert result == recovered_by_hand(plan)
    assert_nested([signal for signal in result.signals if signal not in RECOVERED])


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("kind", RECOVERIES)
@pytest.mark.parametrize("point", POINTS)
def test_a_recovery_at_any_point_has_the_result_of_loops_by_hand(point, kind, n):
    check((Raise(kind, point, n),))


@given(plans)
@settings(max_examples=60)
def test_any_plan_with_recoveries_has_the_result_of_loops_by_hand(plan):
    check(plan)


@pytest.mark.long
@given(plans)
@settings(max_examples=2000)
def test_many_plans_with_recoveries_have_the_result_of_loops_by_hand(plan):
    check(plan)

from helpers import state_of

from trackside.engine.order.leaving_out import leaving_out
from trackside.events import Rollback


def test_the_batches_of_a_rollback_are_dropped_and_counted_and_those_of_other_epochs_are_not():
    rollbacks = [Rollback("spike", 4, 2, (1, 0), (1, 0)), Rollback("spike", 9, 7, (1, 2), (1, 3))]
    state = state_of(rollbacks=rollbacks)

    def read(epoch):
        state.epoch, state.batch_index = epoch, -1
        numbers = []
        for batch in leaving_out(state, iter("abcdef")):  # the activity counts what it is given
            state.batch_index += 1
            numbers.append((state.batch_index, batch))
        return numbers

    assert read(1) == [(1, "b"), (4, "e"), (5, "f")]
    assert read(0) == read(2) == [*enumerate("abcdef")]
    batches = iter("abc")
    state.rollbacks = []
    assert leaving_out(state, batches) is batches

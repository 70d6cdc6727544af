import pytest

from trackside import events
from trackside.events import Cancel, TrainState

CANCELS = [
    kind for kind in vars(events).values() if isinstance(kind, type) and kind.__base__ is Cancel
]


def test_there_is_one_cancel_for_each_of_the_seven_scopes():
    scopes = {kind.scope for kind in CANCELS}
    assert scopes == {"fit", "epoch", "train", "validate", "batch", "backward", "step"}


@pytest.mark.parametrize("kind", CANCELS)
def test_except_exception_does_not_catch_a_cancel(kind):
    def careless():
        try:
            raise kind("why")
        except Exception:
            return "eaten"

    with pytest.raises(kind):
        careless()


def test_a_cancel_carries_its_reason():
    assert events.CancelFitException("enough").reason == "enough"
    assert str(events.CancelFitException("enough")) == "enough"


def test_the_abstract_cancel_cannot_be_raised():
    with pytest.raises(TypeError, match="Cancel has no scope"):
        Cancel("why")


def test_a_scope_of_ones_own_gets_a_cancel_of_its_own():
    class CancelGeneratorException(Cancel):
        scope = "generator"

    assert CancelGeneratorException("why").scope == "generator"


def test_the_state_shows_where_it_is_and_nothing_heavy():
    state = TrainState(model=None, phase="fit.ready", n_epochs=3)
    assert repr(state) == "TrainState(fit.ready, epoch=-1/3, batch=-1/None, step=0)"


def test_a_misspelt_field_of_the_state_is_an_error():
    with pytest.raises(AttributeError):
        TrainState(model=None).los = 1

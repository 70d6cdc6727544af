from dataclasses import dataclass, field

from helpers import model

from trackside.engine.loop.fit_reset import reset_state
from trackside.events import TrainState


@dataclass
class Own(TrainState):
    """A state with fields of its own."""

    seen: list[int] = field(default_factory=list)
    best: float = 9.0
    limit: float = field(kw_only=True)


def test_fields_of_ones_own_get_their_defaults_and_one_without_a_default_is_kept():
    state = Own(model=model(), limit=3.0)
    state.seen.append(1)
    state.best, state.limit, state.step = 1.0, 2.0, 5
    seen = state.seen
    reset_state(state, {"n_epochs": 4})
    assert (state.best, state.limit, state.step, state.n_epochs) == (9.0, 2.0, 0, 4)
    assert state.seen == []
    assert state.seen is not seen

import pytest
from helpers import trainer_of

from trackside.engine.fit_state.saved_pictures import (
    capture_pictures,
    is_pictures,
    restored_pictures,
)
from trackside.events import Confusion, Example, Examples

EXAMPLE = ["in", b"png", "out", None, 0.5]
PICTURES = {
    "worst": Examples((Example("in", b"png", "out", None, 0.5), Example("a", "b", "c", True, 1))),
    "confusion": Confusion(("a", "b"), ((1, 2), (3, 4))),
}


def test_pictures_of_a_fit_come_back():
    trainer = trainer_of()
    state = trainer.state
    state.phase = "fit.epoch.train.fetch"
    state.pictures |= PICTURES
    saved = capture_pictures(state)
    assert is_pictures(saved)
    assert restored_pictures(saved) == PICTURES


@pytest.mark.parametrize(
    "forged",
    [
        [],
        {"a": None},
        {"a": ["examples"]},
        {"a": ["another", []]},
        {3: ["examples", []]},
        {"a": ["examples", [EXAMPLE[:4]]]},
        {"a": ["examples", [[*EXAMPLE[:4], "0.5"]]]},
        {"a": ["examples", [EXAMPLE, None]]},
        {"a": ["confusion", ["a"], [[1.5]]]},
        {"a": ["confusion", [3], [[1]]]},
    ],
)
def test_what_no_fit_has_saved_is_refused(forged):
    assert not is_pictures(forged)


def test_a_picture_of_a_strange_kind_is_left_out():
    state = trainer_of().state
    state.phase = "fit.epoch.train.fetch"
    state.pictures |= {"strange": object(), "odd": Examples((Example(3, b"", "", None, None),))}
    assert capture_pictures(state) == {}
